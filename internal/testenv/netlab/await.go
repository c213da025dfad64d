package netlab

import (
	"context"
	"errors"
	"fmt"
)

// Await waits until the kernel tells of something that fits. What subscribe begins tells what is, then what changes,
// until the second channel is closed.
func Await[U any](ctx context.Context, subscribe func(chan<- U, <-chan struct{}) error, fits func(*U) bool) error {
	updates, done := make(chan U, 16), make(chan struct{})
	if err := subscribe(updates, done); err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer func() {
		close(done)
		// It ends when the subscription has closed the channel, which it cannot while it has an update in hand.
		go func() {
			for range updates {
			}
		}()
	}()
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				return errors.New("watch: the kernel ended it before")
			}
			if fits(&u) {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
