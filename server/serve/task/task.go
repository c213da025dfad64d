// Package task runs the long-lived pieces of the server: each one is a Task, all of them live in one group,
// and the first that fails ends the others.
package task

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"golang.org/x/sync/errgroup"
)

// Task is one long-lived piece of the server.
type Task interface {
	// Name is what the log calls the task.
	Name() string
	// Run works until ctx ends, which is not an error: it returns nil then.
	Run(ctx context.Context) error
	// Ready is closed when the task does its work: it listens, it has loaded its state.
	Ready() <-chan struct{}
}

// Run runs all tasks until ctx ends or one fails; the error names the task. When every task is ready,
// ready (if not nil) is called once.
func Run(ctx context.Context, log *slog.Logger, ready func(), tasks ...Task) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		group.Go(func() error {
			log.Debug("task starts", "task", t.Name())
			err := t.Run(ctx)
			if err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("%s: %w", t.Name(), err)
			}
			if ctx.Err() == nil {
				return fmt.Errorf("%s: ended before it was asked to", t.Name())
			}
			return nil
		})
	}
	// Ends with ctx, or when every task is ready.
	group.Go(func() error {
		for _, t := range tasks {
			select {
			case <-t.Ready():
			case <-ctx.Done():
				return nil
			}
		}
		if ready != nil {
			ready()
		}
		return nil
	})
	return group.Wait()
}
