package core

import (
	"fmt"
	"math"
)

// rateControl decides the pace of the group. All rates are bits a second on the wire.
//
// It starts at a rate that any wired LAN of today bears and doubles while what reaches the best receiver doubles too.
// Then it holds the rate at which loss or memory pressure began, backs off when they appear, and probes: fast towards
// the rate that was good when the line seems to be ours alone, as slowly as TCP would when somebody else took part of
// it.
//
// Loss that does not follow the pace is not congestion. After a cut the loss is measured again: where it stayed, it was
// the medium's own, it becomes the receiver's baseline, and the cut is undone.
type rateControl struct {
	rate, low, high float64
	fixed           bool
	weight          float64
	bits            float64 // of a packet

	startup    bool
	doubleSeq  uint64
	doubleAt   int64
	roundBest  float64 // most that reached any peer since the doubling
	roundLow   float64 // least loss
	roundHeard int     // windows since the doubling
	roundPeers int     // receivers that they are of
	untried    int     // rounds in which the rate was not reached
	roundSent  float64 // rate at which roundBest was sent
	lastBest   float64

	cutState
	cutSeq    uint64
	suspicion float64 // that what is lost is lost by congestion
	fulls     float64 // share of the latest reports that said that the queue is full
	linkBest  float64 // best of the casts that share the way
	others    int     // other casts of ours that share the way
	best      float64 // most that reached any peer, slowly forgotten
	grownAt   int64
	rtt       int64
	heardAt   int64 // latest sample

	sentBits float64 // since markAt
	markAt   int64
	sendRate float64  // what really went out lately
	idled    bool     // the plan ran dry since markAt
	hold     int64    // no growth before: a receiver's memory fills
	draining *Peer    // whose queue is to be empty before the pace grows
	doubted  int64    // when doubt was last resolved for the better
	doubt    bool     // cuts for want of news that nothing has confirmed
	sure     cutState // before them
	heardSeq uint64   // highest number that any receiver has reported
	blind    bool     // startup, and nothing was reported yet of what was sent
	movedAt  int64    // when heardSeq grew
	blindAt  int64    // latest cut for want of news
	gap      int64    // expected time between reports, whoever sends them
	times    [1024]struct {
		seq uint64
		at  int64
	}
	timeAt int
}

// cutState is the latest cut of the pace, and all that growth goes by.
type cutState struct {
	was    float64 // rate before the cut
	wmax   float64 // rate at which the latest congestion began, 0: there was none yet
	wcut   float64 // rate after the cut
	cutAt  int64
	shared bool
	back   int64 // time until the pace is back at wmax, when alone
}

// Constants of rate control.
const (
	beta      = 0.85     // rate after a cut
	cubicTime = 250 * ms // from a cut to the rate where it was made, when alone
	// the same where that rate was found in a few milliseconds: at the start, or when a CPU was busy
	roughTime = 40 * ms
	slowTime  = 700 * ms // the same when a receiver with a long queue sets the pace
	// a receiver that takes more and has no memory left is one whose CPU was busy for a moment, not one with a slow
	// disk
	busyCPU   = 2e9
	outgrown  = 1.1     // of the rate of the latest congestion: past it, that says nothing any more
	restart   = 25.0    // growth of the pace from there on, of itself a second
	firstRate = 1e9     // of a cast whose link is faster or unknown
	fullTime  = 50 * ms // a queue that is full for so long starves others: back off although little is lost
	betaFull  = 0.92    // and this far
	// of the latest reports, as many as there are receivers but not more than voices, must say that it is full
	mostFull = 0.7
	voices   = 16   // receivers that speak for all of a larger group
	mine     = 0.55 // of the line: beside others no less than this is given up for a full queue alone
	// delay of a queue that is too long whatever its size: on a LAN it is a receiver that does not keep up
	standing   = 80 * ms
	quietTime  = 80 * ms          // without news of what was sent: somebody drowns
	lowestRate = 5e6              // never slower: a receiver that stands less than this is not waited for in any LAN
	lossFloor  = 0.005            // loss above the baseline that is congestion
	fullFloor  = 0.002            // the same while the queue is full: then all loss is
	pressed    = 150              // pressure that slows the pace while it rises, of 255
	brimful    = 220              // and whether it rises or not
	easing     = 80               // pressure at which the pace may grow again
	forget     = 0.02             // of best, a second
	slowest    = 2e7              // of growth beside others, bits a second each second
	perRTT     = 0.5              // growth of the pace in a round trip
	beyond     = 1.5              // of best: the pace does not grow past it, until more has reached somebody
	aloneShare = 0.97             // of best, at congestion: less means that somebody else has the rest
	unknownRTT = 5 * ms           // before it was measured
	tcpBits    = 0.5 * 1500.0 * 8 // growth of half a packet a round trip each round trip: TCP's, for a cut to beta
)

func (c *rateControl) init(cfg SenderConfig, bits float64, now int64) {
	c.bits = bits
	c.weight = cfg.Weight
	c.low = lowestRate
	c.high = math.Inf(1)
	if cfg.Link > 0 {
		c.high = cfg.Link
	}
	if cfg.Cap > 0 {
		c.high = min(c.high, cfg.Cap)
	}
	c.low = min(c.low, c.high)
	c.rtt = unknownRTT
	c.doubleAt, c.markAt, c.grownAt, c.heardAt = now, now, now, now
	if cfg.Rate > 0 {
		c.fixed, c.rate = true, cfg.Rate
		return
	}
	c.startup = true
	c.rate = min(firstRate, c.high)
	c.roundLow = 1
}

// sent notes that n packets went out, the last of them before seq.
func (c *rateControl) sent(now int64, seq uint64, n int) {
	c.note(now, seq)
	c.sentBits += float64(n) * c.bits
	if t := now - c.markAt; t >= 5*ms {
		r := c.sentBits / float64(t) * 1e9
		if c.idled {
			r = max(r, c.sendRate) // there was not enough to send: that says nothing
		}
		c.sendRate = 0.5*c.sendRate + 0.5*r
		c.sentBits, c.markAt, c.idled = 0, now, false
		if !c.fixed {
			c.listen(now, seq)
		}
		c.grow(now)
	}
}

// note remembers that everything before seq was sent by now.
func (c *rateControl) note(now int64, seq uint64) {
	if t := &c.times[c.timeAt]; now-t.at > ms/2 || t.seq == 0 {
		c.timeAt = (c.timeAt + 1) % len(c.times)
		c.times[c.timeAt] = struct {
			seq uint64
			at  int64
		}{seq, now}
	}
}

func (c *rateControl) idle(now int64) { c.idled = true }

// age is how long ago sequence number seq was sent, or -1 when that is forgotten.
func (c *rateControl) age(now int64, seq uint64) int64 {
	for i := range c.times {
		t := &c.times[(c.timeAt+len(c.times)-i)%len(c.times)]
		if t.seq == 0 {
			break
		}
		if t.seq <= seq+1 {
			return now - t.at
		}
	}
	return -1
}

// unheard is for how long packets have been on their way that nobody has reported yet.
func (c *rateControl) unheard(now int64) int64 {
	lag := int64(0)
	for i := range c.times {
		t := &c.times[(c.timeAt+len(c.times)-i)%len(c.times)]
		if t.seq <= c.heardSeq+1 {
			break
		}
		lag = now - t.at
	}
	return lag
}

// pace is the rate to send at. While startup has heard nothing yet it is an eighth of what it tries after a moment: a
// receiver may be drowning.
func (c *rateControl) pace() float64 {
	if c.blind {
		return max(c.rate/8, c.low)
	}
	return c.rate
}

// patience is how long news may be missing. A receiver that drowns in packets reports none at all, so silence is
// congestion.
func (c *rateControl) patience() int64 {
	return max(quietTime, 4*c.gap, int64(32*c.bits/c.rate*1e9))
}

// listen slows down when nothing is heard of what was sent.
func (c *rateControl) listen(now int64, seq uint64) {
	lag := c.unheard(now)
	if c.startup && c.roundBest == 0 && c.lastBest == 0 {
		c.blind = lag > 30*ms
		return
	}
	c.blind = false
	if c.startup && lag > c.patience() {
		// What was tried last fills a queue.
		c.startup = false
		c.best = max(c.best, c.lastBest, c.roundBest)
		to := max(0.9*max(c.lastBest, c.roundBest), c.rate/8)
		c.cut(now, seq, to, to, false)
		c.blindAt = now
		return
	}
	if lag > c.patience() && now-c.movedAt > c.patience() && now-c.blindAt > c.patience() {
		c.blindAt = now
		c.startup = false
		if !c.doubt {
			// It may be that a machine stood still for a moment: then this is undone.
			c.doubt, c.sure = true, c.cutState
			c.sure.was, c.sure.wmax = c.rate, max(c.rate, min(c.wmax, beyond*c.rate))
		}
		to := min(max(c.rate/2, c.best/8), c.rate)
		c.cut(now, seq, c.sure.wmax, to, c.shared)
	}
}

// rateOf is the rate at which the packets of a window were sent.
func (c *rateControl) rateOf(w window) float64 {
	first, last := c.age(0, w.first), c.age(0, w.top)
	if first == -1 || last == -1 || first-last < ms {
		return 0 // not known
	}
	return float64(w.top-w.first) * c.bits / float64(first-last) * 1e9
}

// limited says that the sender itself cannot keep the pace, or has little to send: a higher pace would tell nothing.
func (c *rateControl) limited() bool { return c.sendRate < 0.75*c.pace() }

// tried is the rate at which a window was sent, or what is sent now if the window is empty: less than the pace where
// the sender cannot keep it.
func (c *rateControl) tried(win window) float64 {
	return min(c.rate, max(c.sendRate, c.rateOf(win), c.low))
}

// grow probes for more when nothing speaks against it. It is called every few milliseconds.
func (c *rateControl) grow(now int64) {
	dt := min(float64(now-c.grownAt)/1e9, 0.05)
	c.grownAt = now
	if !c.shared {
		c.best *= 1 - forget*dt
	}
	if c.fixed {
		return
	}
	if silence := now - c.heardAt; silence > sec {
		// Nobody says how it goes: slow down, by half each second.
		c.set(c.rate * math.Exp2(-dt))
		return
	}
	if c.startup || now < c.hold || c.limited() || c.draining != nil || c.doubt {
		if c.limited() && now-c.cutAt > 500*ms && c.wmax > 0 {
			c.wmax = max(c.wmax, c.rate)
		}
		return
	}
	since := float64(now-c.cutAt) / 1e9
	if c.shared {
		rtt := float64(min(max(c.rtt, 2*ms), 50*ms)) / 1e9
		a := tcpBits / rtt / rtt
		best := max(c.best, c.linkBest)
		a = min(max(a, 0.02*best, slowest), max(0.4*best, 5*slowest)) * c.weight / float64(1+c.others)
		if since > 1 {
			a *= math.Exp2(min(2*(since-1), 6)) // whoever shared the line has gone
		}
		c.set(c.rate + a*dt)
		return
	}
	k := float64(c.back) / 1e9
	x := since - k
	w := c.wmax + max(c.wmax-c.wcut, (1-beta)*c.wmax)*x*x*x/(k*k*k)
	most := 4.0
	if c.back != slowTime && c.rate > outgrown*c.wmax {
		// What held the pace back is not there any more.
		w, most = c.high, restart
	}
	// What growth did must be heard before more of it: no more than perRTT a round trip, nor far beyond what has
	// reached anybody.
	w = min(w, c.rate*(1+min(most, perRTT*1e9/float64(max(c.rtt, ms)))*dt))
	if c.best > 0 {
		w = min(w, beyond*c.best)
	}
	if w > c.rate {
		c.set(w)
	}
}

func (c *rateControl) set(r float64) { c.rate = min(max(r, c.low), c.high) }

// newRound begins a round of startup with the packets from seq on.
func (c *rateControl) newRound(now int64, seq uint64) {
	c.doubleSeq, c.doubleAt, c.roundBest, c.roundLow, c.roundHeard, c.roundPeers = seq, now, 0, 1, 0, 0
}

// round ends a round of startup when enough was heard of it. Another may follow at twice the rate if double says so.
func (c *rateControl) round(now int64, seq uint64, double bool) {
	if c.roundBest == 0 {
		return
	}
	if c.roundSent < 0.75*c.rate &&
		(c.untried < 2 || c.roundBest > 0.5*c.roundSent && c.roundLow < 0.5 && c.untried < 6) {
		// It was not tried yet: the pace was held back for want of news, or the first packets came into a queue that
		// another had filled.
		c.untried++
		c.newRound(now, seq)
		c.lastBest = max(c.lastBest, 1)
		return
	}
	if double && c.roundBest > 0.7*c.roundSent && c.roundLow < 0.25 && c.roundSent >= 0.75*c.rate && c.rate < c.high &&
		now >= c.hold {
		c.untried = 0
		c.lastBest = c.roundBest
		c.set(2 * c.rate)
		c.newRound(now, seq)
		return
	}
	c.startup = false
	c.best = max(c.best, c.roundBest)
	switch {
	case c.roundSent < 0.75*c.rate && c.roundLow < 0.1:
		// The sender makes no more at the moment. Of the network nothing is known yet.
		c.cut(now, seq, 0, max(1.1*c.sendRate, 0.5*c.rate), false)
	case c.rate >= c.high && c.roundLow < 0.02:
		c.cut(now, seq, c.rate, c.rate, false)
	default:
		// A window that was starved by chance must not end it all: at most an eighth at a time.
		to := max(0.95*c.roundBest, c.rate/8)
		c.cut(now, seq, max(c.roundBest, to), to, false)
		c.back = roughTime
	}
}

// cut lowers the pace.
func (c *rateControl) cut(now int64, seq uint64, wmax, to float64, shared bool) {
	c.set(to)
	c.wmax, c.wcut = min(wmax, c.high), c.rate
	c.cutAt, c.cutSeq, c.shared, c.back = now, seq, shared, cubicTime
	c.grownAt = now
	c.suspicion = 0
}

// Debug describes the state of rate control for a test's log.
func (s *Sender) Debug() string {
	c := &s.ctl
	out := fmt.Sprintf("back in %d ms draining %v startup %v best %.0f wmax %.0f sendRate %.0f shared %v rtt %.2fms "+
		"fb %.1fms ahead %.2f later %d", c.back/ms, c.draining != nil, c.startup, c.best/1e6, c.wmax/1e6,
		c.sendRate/1e6, c.shared,
		float64(c.rtt)/1e6, float64(s.fb.active)/1e6, s.ahead, s.nLater)
	for _, p := range s.order[:min(len(s.order), 3)] {
		out += fmt.Sprintf(" [%v base %.4f loss %.4f press %d rate %.1f delay %.0f of %.0f to %.0f ms]",
			p.State, p.baseline, p.Loss, p.Pressure, p.Rate/1e6, float64(p.delay)/1e6, float64(p.queued.low)/1e6,
			float64(p.queued.high)/1e6)
	}
	return out
}
