package core

import (
	"fmt"
	"math"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// lossTest asks whether a receiver's loss went away with a cut of the pace.
type lossTest struct {
	on      bool
	seq     uint64  // the cut
	sent    float64 // rate before it
	excess  float64
	before  cutState
	cutAt   int64
	n, lost float64 // since
}

// window is what a peer received of a run of packets.
type window struct {
	first, top, got uint64
	span            uint64 // microseconds
}

const maxBaseline = 0.25

// measure learns from the window of a peer's report.
func (s *Sender) measure(now int64, p *Peer, r *wire.ReportBody) {
	if r.Epoch != s.cfg.Epoch || r.Top >= s.seq {
		return
	}
	c := &s.ctl
	if p.waited() && r.Top > c.heardSeq {
		c.heardSeq, c.movedAt, c.heardAt = r.Top, now, now
	}
	if r.WinFirst > r.Top || r.WinFirst == 0 {
		return
	}
	// At a slow pace a window holds too few packets to tell anything: add up those that follow each other.
	if p.win.first == 0 || p.win.top+1 != r.WinFirst {
		p.win = window{first: r.WinFirst}
	}
	p.win.top = r.Top
	p.win.got += uint64(r.WinGot)
	p.win.span += uint64(r.WinSpan)
	n := float64(r.Top - p.win.first + 1)
	lost := max(n-float64(p.win.got), 0)
	loss := lost / n
	if age := c.age(now, r.Top); age >= 0 {
		p.delay = max(age-int64(r.Hold)*1000, 0)
		p.queued.note(p.delay)
		if p.waited() {
			c.rtt = (7*c.rtt + p.delay) / 8
		}
	}
	if c.doubt && r.Top >= c.cutSeq && loss < 0.3 && p.waited() && p.delay < p.queued.low+standing/2 {
		// News is back, and good: the machine had stood still. Where that happens often it is one that drowns.
		c.doubt = false
		if c.sure.was > c.rate && now-c.doubted > 5*sec {
			c.cut(now, s.seq, c.sure.was, c.sure.was, c.sure.shared)
		}
		c.doubted = now
	}
	if n < 16 {
		return
	}
	win := p.win
	p.win = window{}
	w := min(n/2000, 0.5)
	p.Loss += w * (loss - p.Loss)
	if win.span >= 1000 {
		d := float64(win.got) * s.bits / float64(win.span) * 1e6
		p.Rate = min(d, 2*max(c.rate, c.rateOf(win)))
	} else {
		p.Rate = c.rate * (1 - loss)
	}
	p.avg += 0.15 * (p.Rate - p.avg)
	if c.fixed {
		learn(p, n, loss)
		return
	}
	if int(p.Pressure) >= easing {
		p.strainedAt = now
		if p.waited() {
			c.hold = max(c.hold, now+2*shortest)
		}
	}
	if s.strained(now, p) {
		return
	}
	if p.State == PeerSlow {
		s.slowMeasure(now, p, loss)
		return
	}
	if c.startup {
		s.startupMeasure(now, p, win, loss)
		return
	}
	if d := min(p.avg, c.rate); !c.limited() && d > c.best {
		c.best = d
	}
	s.testLoss(now, p, win, n, lost)
	s.answer(now, p, r, win, n, loss)
}

// answer changes the pace for what a window of n packets, of which the share loss was lost, and the way's delay say.
func (s *Sender) answer(now int64, p *Peer, r *wire.ReportBody, win window, n, loss float64) {
	c := &s.ctl
	// While the memory empties, the pace is low enough, however full it still is.
	p.pressedAt = min(p.pressedAt, p.Pressure)
	if p.learned == 0 {
		p.baseline = max(p.baseline, s.typical)
	}
	excess := loss - p.baseline
	full, said := p.queued.full(p.delay), 0.0
	if full {
		said = 1
	}
	c.fulls += (said - c.fulls) / float64(min(max(s.active, 1), voices))
	if p.delay < p.queued.low+standing/2 {
		p.lastDelay = 0
	}
	if p.delay < p.queued.low+standing {
		p.overSince, p.overs, p.drains = now, 0, 0
	}
	p.overs++
	p.drains = max(p.drains, p.Rate)
	// One late report is a machine that was busy; several in a row are a queue.
	over := p.delay > p.queued.low+standing && p.overs > 3 && now-p.overSince > standing/2
	if !full || p.fullSince < c.cutAt {
		p.fullSince = now
	}
	bound := max(lossFloor, 3*math.Sqrt((p.baseline+lossFloor)/n))
	if full {
		bound = max(fullFloor, 3*math.Sqrt((p.baseline+fullFloor)/n))
	}
	if win.first >= c.cutSeq {
		c.doubt = false
		if c.draining == p {
			// All that waited before it when the pace was cut is through, and what it took meanwhile is what it can
			// take.
			c.draining = nil
			c.cut(now, s.seq, c.wmax, max(0.9*c.wmax, c.rate), c.shared)
			c.back = slowTime
		}
	}
	switch {
	case int(p.Pressure) >= pressed && r.Top >= c.cutSeq && now-c.cutAt > 20*ms &&
		(p.Pressure > p.pressedAt+1 || int(p.Pressure) >= brimful):
		p.pressedAt = p.Pressure
		s.congested(now, p, 0.8*min(c.rate, max(c.sendRate, c.low)), 0, excess, true)
	case over && p.delay > p.lastDelay+standing/8 && (r.Top >= c.cutSeq || 0.5*p.drains < 0.9*c.rate) &&
		now-c.cutAt > standing/2:
		// A queue is building up that no loss ends for long: a receiver with a large buffer and a slow CPU. Half of
		// what it takes lets it drain.
		p.lastDelay = p.delay
		least := 8.0
		if c.limited() {
			least = 2 // what came says little of what could have come
		}
		s.congested(now, p, max(0.5*p.drains, c.rate/least), p.drains, excess, loss < 0.2)
		if c.cutAt == now {
			c.draining = p
		}
	case win.first < c.cutSeq:
		// The window began before the latest cut: it has been answered already.
	case excess > bound:
		s.cfg.Share.lost(s, now, false)
		// Once may be chance. Twice in a row, or at two receivers, or three times as much, is not.
		if c.suspicion += min(excess/bound, 3); c.suspicion >= 2 {
			s.congested(now, p, min(beta, (1-excess)*0.98)*c.tried(win), 0, excess, false)
		}
	case full && c.fulls > mostFull && (!c.shared || c.others > 0 || c.rate > mine*c.best) &&
		now-p.fullSince > fullTime && c.rate > 0.9*p.avg:
		s.congested(now, p, betaFull*c.rate, 0, max(excess, 0), false)
	default:
		c.suspicion /= 2
		if !full || loss < p.baseline {
			learn(p, n, loss)
		}
	}
}

// learn follows the loss that a peer has without congestion: down fast, up slowly, since what congestion there is hides
// in it.
func learn(p *Peer, n, loss float64) {
	w := min(n/20000, 0.3)
	if loss < p.baseline {
		w = min(n/10000, 0.3)
	}
	if p.learned++; p.learned < 10 {
		// Nothing is known of it yet: in a large group it is long until it reports again.
		w = max(w, 1/float64(p.learned))
	}
	p.baseline = min(p.baseline+w*(loss-p.baseline), maxBaseline)
}

// quorum is how many receivers that did not get what was tried are enough to end the start before the others have been
// heard: until then what is sent is lost to them.
const quorum = 3

// startupMeasure feeds a round of startup: only the best receiver ends it, so that one that is slow cannot keep the
// sender from learning what the others stand.
func (s *Sender) startupMeasure(now int64, p *Peer, win window, loss float64) {
	c := &s.ctl
	if win.first < c.doubleSeq {
		return
	}
	if int(p.Pressure) >= pressed && s.active == 1 {
		c.roundLow = 1
	}
	sent := min(c.rateOf(win), c.rate)
	if sent == 0 {
		return
	}
	if p.Rate > c.roundBest {
		c.roundBest, c.roundSent = p.Rate, sent
	}
	c.roundLow = min(c.roundLow, loss)
	if loss < 0.1 && p.Rate > 0.7*c.roundSent {
		p.baseline = loss
	}
	c.roundHeard++
	if p.roundSeq != c.doubleSeq {
		p.roundSeq = c.doubleSeq
		c.roundPeers++
	}
	switch {
	case s.active >= voices && c.roundHeard >= voices:
		// In such a group each reports so rarely that much would be lost before it is known that a rate was doubled in
		// vain.
		c.round(now, s.seq, false)
	case c.roundPeers >= s.active || c.roundPeers >= quorum && c.roundBest < 0.7*c.roundSent ||
		now-c.doubleAt > 2*s.fb.active+min(c.rtt, 5*ms):
		c.round(now, s.seq, true)
	}
}

// testLoss finds out whether a cut helped against a peer's loss.
func (s *Sender) testLoss(now int64, p *Peer, win window, n, lost float64) {
	t := &p.test
	if !t.on || win.first < t.seq {
		return
	}
	t.n += n
	t.lost += lost
	if t.n < 400 && now-t.cutAt < sec {
		return
	}
	t.on = false
	if after := s.ctl.rateOf(window{first: t.seq, top: win.top}); after > 0.95*t.sent {
		return // the cut did not change what is sent
	}
	left := t.lost/t.n - p.baseline
	if left < 0.5*t.excess || t.n < 50 {
		return
	}
	p.baseline = min(p.baseline+left, maxBaseline)
	if c := &s.ctl; c.cutAt == t.cutAt {
		c.cutState = t.before
		c.set(t.before.was)
		c.cutSeq = s.seq
	}
}

// congested lowers the pace for peer p, or stops waiting for it when that would hold the others back.
func (s *Sender) congested(now int64, p *Peer, target, wmax, excess float64, memory bool) {
	c := &s.ctl
	stands := target
	if !memory {
		// Its baseline is bounded, what it loses is not.
		stands = max(p.Rate, min(target, (1-p.baseline-excess)*c.rate))
	}
	if floor := s.floor(now, p, target, memory); stands < floor && (memory || stands < 0.6*c.rate) {
		if p.slowAt == 0 {
			p.slowAt = now
		}
		patience := 60 * ms
		if memory {
			patience = 2 * sec
		}
		if now-p.slowAt >= patience {
			what := fmt.Sprintf("loses %.0f %% of the packets", 100*p.Loss)
			if memory {
				what = fmt.Sprintf("has its memory %d %% full: its disk or CPU does not keep up",
					int(p.Pressure)*100/255)
			}
			s.slow(now, p, target, fmt.Sprintf("it %s at %.0f Mbit/s and stands %.0f Mbit/s, while the others stand "+
				"more than %.0f",
				what, c.rate/1e6, stands/1e6, floor/1e6))
			return
		}
		if !memory {
			return
		}
	} else {
		p.slowAt = 0
	}
	p.limit, p.limitAt = target, now
	reached := c.rate * (1 - max(excess, 0))
	alone := (reached >= aloneShare*c.best || memory) && c.others == 0
	if !memory {
		s.cfg.Share.lost(s, now, true)
	}
	if !memory && !p.test.on && excess > lossFloor {
		p.test = lossTest{on: true, seq: s.seq, sent: c.tried(window{}), excess: excess, before: c.cutState, cutAt: now}
		p.test.before.was = c.rate
	}
	if wmax == 0 && !memory {
		wmax = reached
	} else {
		wmax = max(wmax, target*1.1)
		c.hold = now + 3*shortest
	}
	c.cut(now, s.seq, wmax, target, !alone)
	if memory && target > busyCPU {
		c.back = roughTime
	}
}

// queueing tells from delays whether the queue before a receiver is full.
type queueing struct{ low, high int64 }

func (q *queueing) note(d int64) {
	if q.low == 0 || d < q.low {
		q.low = d
	}
	q.high = max(q.high, d)
	// Both ends are forgotten slowly, since routes and neighbours change.
	span := q.high - q.low
	q.low += span / 4096
	q.high -= span / 512
}

// full says whether delay d is that of a queue which is nearly full. Spans below half a millisecond are noise.
func (q *queueing) full(d int64) bool {
	span := q.high - q.low
	return span > ms/2 && d > q.low+span*6/10
}
