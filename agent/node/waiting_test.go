package node_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// TestSaysWhatItWaitsFor: the console names it, once, with the server's words where it has some; a node that is asked
// to look does so, and says nothing anew.
func TestSaysWhatItWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{descs: make(chan *session.Descriptor), errs: make(chan error), left: make(chan string, 1)}
		var console bytes.Buffer
		var looked []string
		n := node.New(node.Options{API: f, Report: f, Log: slog.New(slog.NewTextHandler(&console, nil)),
			Look: func(_ context.Context, l *session.Look) { looked = append(looked, l.ID) }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- n.Run(ctx) }()
		time.Sleep(5 * time.Minute) // in the bubble's time: the server has nothing, ten times
		f.descs <- &session.Descriptor{V: 1, Serial: 1, Action: session.Idle, Why: "session s1 to start; `x`"}
		f.descs <- &session.Descriptor{V: 1, Serial: 2, Action: session.Idle, Why: "session s1 to start; `x`",
			Look: &session.Look{ID: "L"}}
		synctest.Wait()
		cancel()
		<-done
		text := console.String()
		for words, times := range map[string]int{"waiting for a session; on the server, `diskcast session create": 1,
			"waiting for session s1 to start; `x`": 1} {
			if got := strings.Count(text, words); got != times {
				t.Errorf("the console says %q %d times, not %d:\n%s", words, got, times, text)
			}
		}
		if len(looked) != 1 || looked[0] != "L" {
			t.Errorf("it looked for %q", looked)
		}
	})
}
