package task

import (
	"context"
	"errors"
	"testing"
)

// TestCrew: work begins only while the crew runs, ends when it is stopped or the crew is, and is waited for.
func TestCrew(t *testing.T) {
	c := NewCrew()
	if _, err := c.Go(func(context.Context) { t.Error("work before Run") }); !errors.Is(err, context.Canceled) {
		t.Errorf("before Run: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	<-c.Ready()
	ended := make(chan string, 2)
	begin := func(name string) context.CancelFunc {
		stop, err := c.Go(func(ctx context.Context) { <-ctx.Done(); ended <- name })
		if err != nil {
			t.Fatal(err)
		}
		return stop
	}
	stop := begin("one")
	begin("two")
	stop()
	if got := <-ended; got != "one" {
		t.Errorf("stopped: %s", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	select {
	case got := <-ended:
		if got != "two" {
			t.Errorf("ended: %s", got)
		}
	default:
		t.Error("Run returned before the work")
	}
	if _, err := c.Go(func(context.Context) { t.Error("work after Run") }); !errors.Is(err, context.Canceled) {
		t.Errorf("after Run: %v", err)
	}
}
