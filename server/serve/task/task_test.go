package task

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

type fake struct {
	run   func(ctx context.Context) error
	ready chan struct{}
}

func (f *fake) Name() string                  { return "fake" }
func (f *fake) Run(ctx context.Context) error { return f.run(ctx) }
func (f *fake) Ready() <-chan struct{}        { return f.ready }

func TestRun(t *testing.T) {
	untilEnd := func(ctx context.Context) error { <-ctx.Done(); return nil }
	quiet := slog.New(slog.DiscardHandler)
	closed := make(chan struct{})
	close(closed)

	t.Run("ready, then ended", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		if err := Run(ctx, quiet, cancel, &fake{untilEnd, closed}, &fake{untilEnd, closed}); err != nil {
			t.Error(err)
		}
	})
	t.Run("one fails", func(t *testing.T) {
		broken := errors.New("broken")
		err := Run(t.Context(), quiet, func() { t.Error("ready") }, &fake{untilEnd, make(chan struct{})},
			&fake{func(context.Context) error { return broken }, closed})
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "fake: ") {
			t.Error(err)
		}
	})
	t.Run("one ends by itself", func(t *testing.T) {
		err := Run(t.Context(), quiet, nil, &fake{untilEnd, closed},
			&fake{func(context.Context) error { return nil }, closed})
		if err == nil || !strings.Contains(err.Error(), "before it was asked to") {
			t.Error(err)
		}
	})
}
