package engine

import (
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// clock notices that the wall clock was set, by one that only goes on. Times are wall times without Go's monotonic
// reading, so that those of before and after a restart are reckoned with alike.
type clock struct {
	up   func() time.Duration // since this program began; nil: nothing is noticed
	wall time.Time
	at   time.Duration
}

// maxSlew is how far the clocks may come apart between two looks, a second apart, before it is no slewing any more.
const maxSlew = 2 * time.Second

// set is by how much the wall clock was set since the last look; 0 when it was not.
func (c *clock) set(wall time.Time) time.Duration {
	if c.up == nil {
		return 0
	}
	at := c.up()
	by := wall.Sub(c.wall) - (at - c.at)
	first := c.wall.IsZero()
	c.wall, c.at = wall, at
	if first || by.Abs() <= maxSlew {
		return 0
	}
	return by
}

// watchClock has all times that are reckoned with told in the new time when the clock was set. The caller holds the
// lock.
func (e *Engine) watchClock() {
	by := e.clock.set(e.now())
	if by == 0 {
		return
	}
	e.log.Warn("the server's clock was set; times of what is not over are told by the new one", "by", by.Round(time.Second))
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
	e.w.clockSet(by)
	e.step(jobs.Tick{})
}
