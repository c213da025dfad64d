package cmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// printed gives what a command prints to who waits for it.
type printed chan string

func (p printed) Write(b []byte) (int, error) {
	p <- string(b)
	return len(b), nil
}

// TestAgain: a list with --watch is printed when something changes, and not before.
func TestAgain(t *testing.T) {
	o := newOffice(t)
	id := strings.TrimSpace(o.must("create", "--image", "debian", "--nodes", o.node))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, done := make(printed, 100), make(chan error, 1)
	go func() {
		done <- Run(ctx, []string{"session", "list", "--watch", "-o", "name", "--server", o.url, "--state", o.state},
			strings.NewReader(""), out, io.Discard)
	}()
	next := func() string {
		t.Helper()
		select {
		case s := <-out:
			return s
		case err := <-done:
			t.Fatalf("it ended with %v", err)
		case <-time.After(time.Minute):
			t.Fatal("nothing was printed")
		}
		return ""
	}
	if got := next(); got != id+"\n" {
		t.Errorf("at first there is %q", got)
	}
	other := strings.TrimSpace(o.must("create", "--image", "debian", "--nodes", "52:54:00:00:00:09"))
	var all strings.Builder
	for !strings.Contains(all.String(), other+"\n") {
		all.WriteString(next())
	}
	stop()
	if err := <-done; !errors.Is(err, errInterrupted) {
		t.Errorf("it ends with %v", err)
	}
	var help bytes.Buffer
	err := Run(t.Context(), []string{"machine", "show", "--help"}, strings.NewReader(""), &help, io.Discard)
	if err != nil || !strings.Contains(help.String(), "--watch") {
		t.Errorf("%v: %s", err, help.String())
	}
}
