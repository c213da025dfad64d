package engine

import (
	"sync"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// clock is the engine's time. It goes on by a clock that is never set, and takes the wall clock's word only when it is
// looked at: so all that is done between two looks is reckoned in one time, and a wall clock that was set is noticed
// before anything goes by it. Times are without Go's monotonic reading, so that those of before and after a restart are
// reckoned with alike.
type clock struct {
	read func() time.Time     // the wall clock
	up   func() time.Duration // since this program began; nil: the wall clock is believed at any time

	mu   sync.Mutex
	wall time.Time // at the last look
	at   time.Duration
}

// maxSlew is how far the clocks may come apart between two looks, a second apart, before it is no slewing any more.
const maxSlew = 2 * time.Second

func newClock(read func() time.Time, up func() time.Duration) *clock {
	c := &clock{read: read, up: up}
	c.look()
	return c
}

func (c *clock) now() time.Time {
	if c.up == nil {
		return c.read()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall.Add(c.up() - c.at)
}

// look takes the wall clock's time, and returns by how much that was set since the last look; 0 when it was not.
func (c *clock) look() time.Duration {
	if c.up == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	first := c.wall.IsZero()
	wall, at := c.read(), c.up()
	by := wall.Sub(c.wall) - (at - c.at)
	c.wall, c.at = wall, at
	if first || by.Abs() <= maxSlew {
		return 0
	}
	return by
}

// watchClock has all times that are reckoned with told in the new time when the clock was set. The caller holds the
// lock.
func (e *Engine) watchClock() {
	by := e.clock.look()
	if by == 0 {
		return
	}
	e.log.Warn("the server's clock was set; times of what is not over are told by the new one", "by",
		by.Round(time.Second))
	e.step(jobs.ClockSet{By: by}) // before nodes are told anew
	move := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(by)
		}
	}
	move(&e.began)
	move(&e.expired)
	for _, n := range e.nodes {
		for _, t := range []*time.Time{&n.LastSeen, &n.spoke, &n.zero} {
			move(t)
		}
		trace := make(map[string]doc.Mark, len(n.Trace))
		for step, m := range n.Trace {
			move(&m.Time)
			trace[step] = m
		}
		n.Trace = trace
		for i := range n.Rivals {
			move(&n.Rivals[i].Heard)
		}
		e.news[n.ID] = n
	}
	for _, m := range e.paces {
		move(&m.at)
	}
	e.w.ClockSet(by)
	e.step(jobs.Tick{})
}
