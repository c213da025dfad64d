package bench

import (
	"sync/atomic"
	"time"
)

// A virtual machine may be stopped by its host, with all that runs in it, and what was measured meanwhile says nothing.

// Still watches for times at which the whole machine stands still.
type Still struct {
	stop  chan struct{}
	worst atomic.Int64
}

const (
	stillEvery = 20 * time.Millisecond
	// stillLimit is far beyond what a busy but running machine makes a thread wait.
	stillLimit = time.Second
)

// Watch begins to watch; Stood ends it.
func Watch() *Still {
	s := &Still{stop: make(chan struct{})}
	go func() { // ends with Stood
		tick := time.NewTicker(stillEvery)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-s.stop:
				return
			case <-tick.C:
				now := time.Now()
				s.worst.Store(max(s.worst.Load(), int64(now.Sub(last)-stillEvery)))
				last = now
			}
		}
	}()
	return s
}

// Stood ends the watch and returns for how long the machine stood still at worst, 0 when it did not.
func (s *Still) Stood() time.Duration {
	close(s.stop)
	if d := time.Duration(s.worst.Load()); d > stillLimit {
		return d
	}
	return 0
}
