package task

import (
	"context"
	"fmt"
	"sync"
)

// Crew does work that is begun while a task runs, and ends with it: its Run and Ready are those of the task.
type Crew struct {
	ready chan struct{}

	mu   sync.Mutex
	ctx  context.Context // nil: not running
	work sync.WaitGroup
}

// NewCrew returns a crew; Run has it work.
func NewCrew() *Crew { return &Crew{ready: make(chan struct{})} }

// Ready implements Task.
func (c *Crew) Ready() <-chan struct{} { return c.ready }

// Run implements Task. It returns when all work has ended, soon after ctx.
func (c *Crew) Run(ctx context.Context) error {
	c.mu.Lock()
	c.ctx = ctx
	c.mu.Unlock()
	close(c.ready)
	<-ctx.Done()
	c.mu.Lock()
	c.ctx = nil // nothing starts any more
	c.mu.Unlock()
	c.work.Wait()
	return nil
}

// Go begins work, whose context ends with that of Run or with stop. It fails when the crew does not run.
func (c *Crew) Go(f func(ctx context.Context)) (stop context.CancelFunc, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil {
		return nil, fmt.Errorf("the server ends: %w", context.Canceled)
	}
	ctx, stop := context.WithCancel(c.ctx)
	c.work.Go(func() {
		defer stop()
		f(ctx)
	})
	return stop, nil
}
