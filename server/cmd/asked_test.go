package cmd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/cmd/ui"
)

// TestAsking prints a list again when its document is another one, not when only its words are, and goes on when the
// server was away.
func TestAsking(t *testing.T) {
	var out, said strings.Builder
	e := &env{UI: ui.UI{Out: &out, Err: &said}, pace: time.Millisecond}
	answers := []any{"one", "one", errors.New("it does not answer"), "two", "two",
		&client.StatusError{Code: 401, Message: "the token has ended"}}
	n := 0
	err := e.asking(t.Context(), func() error {
		if e.JSON {
			n++
			if err, ok := answers[n-1].(error); ok {
				return err
			}
			return e.Doc(answers[n-1])
		}
		out.WriteString(answers[n-1].(string) + " for 3 s\n")
		return nil
	})
	const want = "one for 3 s\ntwo for 3 s\n"
	if err == nil || !strings.Contains(err.Error(), "the token has ended") || out.String() != want ||
		!strings.Contains(said.String(), "it does not answer; asking again") || e.JSON {
		t.Errorf("%v, %q, %q", err, out.String(), said.String())
	}
	first := errors.New("no server")
	if err := e.asking(t.Context(), func() error { return first }); err != first {
		t.Errorf("a server that is not there: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	if err := e.asking(ctx, func() error { stop(); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}
