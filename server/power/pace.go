package power

import (
	"context"
	"sync"
	"time"
)

// Pace is how many machines are worked at together, so that neither fuses nor BMCs' networks see all of them at once.
type Pace struct {
	AtOnce int           // machines in work
	Gap    time.Duration // between the starts of two
}

// Each calls do for the machines 0 to n-1 as the pace allows, and returns when all calls have. When ctx ends no more
// calls begin, and skip is called for each machine whose turn did not come.
func (p Pace) Each(ctx context.Context, n int, do func(i int), skip func(i int)) {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, max(1, p.AtOnce))
	for i := range n {
		if i > 0 {
			_ = wait(ctx, p.Gap) // what ended is seen below
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			for j := i; j < n; j++ {
				skip(j)
			}
			return
		}
		// Ends with its machine, which ctx bounds.
		all.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
}
