package core

import (
	"math"
	"sync"
)

// LinkShare lets the casts of one process that leave by the same NIC know of each other, so that those that meet at one
// bottleneck share it evenly at once instead of after many rounds of congestion.
//
// Whether two casts meet is seen from when they lose: what overflows a common queue hits both. Two that are new to each
// other are taken to meet until one was seen to back off while the other lost nothing. Between casts that meet, rate
// moves from the one that has more to the one that has less; the sum stays, so nothing is taken from the line. Casts
// that do not meet leave each other alone.
type LinkShare struct {
	mu    sync.Mutex
	casts map[*Sender]*shareEntry
}

type shareEntry struct {
	rate, weight float64
	best         float64 // most that reached any receiver
	lossAt       int64   // when it last lost anything to congestion
	cutAt        int64   // when it backed off, 0 once that was weighed
	meets        map[*Sender]float64
}

const (
	strangers  = 1.5 // score of two casts that nothing is known of; above 1 they meet
	together   = 100 * ms
	shareEvery = 20 * ms
	shareStep  = 0.15
)

// publish notes the pace of a cast that has something to send, and returns the pace that it should move to: its own
// when nobody shares its way.
func (l *LinkShare) publish(now int64, s *Sender, rate, weight, best float64) (fair, linkBest float64, others int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.casts == nil {
		l.casts = map[*Sender]*shareEntry{}
	}
	e := l.casts[s]
	if e == nil {
		e = &shareEntry{lossAt: math.MinInt64 / 2, meets: map[*Sender]float64{}}
		for o, oe := range l.casts {
			e.meets[o], oe.meets[s] = strangers, strangers
		}
		l.casts[s] = e
	}
	e.rate, e.weight, e.best = rate, weight, best
	linkBest = best
	l.weigh(now, s, e)
	sum, weights := rate, weight
	for o, score := range e.meets {
		if score > 1 {
			others++
			sum += l.casts[o].rate
			weights += l.casts[o].weight
			linkBest = max(linkBest, l.casts[o].best)
		}
	}
	return sum * weight / weights, linkBest, others
}

// weigh judges, some time after a cast backed off, who lost together with it.
func (l *LinkShare) weigh(now int64, s *Sender, e *shareEntry) {
	if e.cutAt == 0 || now-e.cutAt < together {
		return
	}
	for o, score := range e.meets {
		oe := l.casts[o]
		if oe.lossAt >= e.cutAt-together {
			score = min(score+0.5, 3)
		} else {
			score = max(score-0.25, -2)
		}
		e.meets[o], oe.meets[s] = score, score
	}
	e.cutAt = 0
}

// lost notes that a cast lost to congestion at the time now, and whether it backed off for it.
func (l *LinkShare) lost(s *Sender, now int64, cut bool) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.casts[s]; e != nil {
		e.lossAt = now
		if cut {
			e.cutAt = now
		}
	}
}

// Remove forgets a cast.
func (l *LinkShare) Remove(s *Sender) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.casts, s)
	for _, e := range l.casts {
		delete(e.meets, s)
	}
}

// share tells our other casts of this one's pace and evens out.
func (s *Sender) share(now int64) {
	l := s.cfg.Share
	if l == nil || s.ctl.fixed {
		return
	}
	if !s.Sending() {
		if s.sharing {
			l.Remove(s)
			s.sharing = false
		}
		return
	}
	if now-s.sharedAt < shareEvery {
		return
	}
	s.sharedAt = now
	c := &s.ctl
	rate := c.rate
	if !s.sharing {
		// The line may be in use: begin with a part of what the others have instead of finding out the hard way.
		rate = 0
	}
	fair, linkBest, others := l.publish(now, s, rate, s.cfg.Weight, c.best)
	c.others, c.linkBest = others, linkBest
	if others > 0 {
		switch {
		case !s.sharing:
			c.startup = false
			c.cut(now, s.seq, max(fair, c.low), max(fair, c.low), true)
		case c.startup:
		default:
			f := (c.rate + shareStep*(fair-c.rate)) / c.rate
			c.set(c.rate * f)
			c.wmax *= f
			c.wcut *= f
		}
	}
	s.sharing = true
}
