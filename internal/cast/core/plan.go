package core

// pacer is a token bucket whose size follows the pace, so that no burst overflows a small switch.
type pacer struct {
	tokens float64 // bits
	last   int64
}

// Burst bounds, in time at the present pace: what may be sent in one go, and what a sender that was not scheduled in
// time may catch up with.
const (
	burstTime   = 250e-6
	catchUpTime = 1.5e-3
)

func (p *pacer) fill(now int64, rate, packet float64) {
	p.tokens += rate * float64(now-p.last) / 1e9
	p.last = now
	p.tokens = min(p.tokens, max(rate*catchUpTime, 2*packet))
}

// Plan appends the data packets that may be sent to the group at the time now, at most one burst, and numbers them.
// What it returns must be sent. An empty plan means: wait until Next.
func (s *Sender) Plan(now int64, out []Packet) []Packet {
	rate := s.ctl.pace()
	s.pace.fill(now, rate, s.bits)
	if !s.begun {
		if s.cfg.MaxWait == 0 || s.first == 0 || now-s.first < s.cfg.MaxWait {
			return out
		}
		s.begun = true
	}
	most := s.batch(rate)
	n := min(most, int(s.pace.tokens/s.bits))
	if n < most && int64(n) < s.Pending() {
		n = 0 // a burst costs about the same whatever its size
	}
	start := len(out)
	for n > 0 {
		if s.cur.left() == 0 && !s.nextBurst() {
			break
		}
		c := &s.cur
		for ; n > 0 && c.source < c.k; n-- {
			out = append(out, Packet{s.seq, c.block, uint8(c.source), c.repair})
			c.source++
			s.seq++
		}
		for ; n > 0 && c.parity < c.to; n-- {
			out = append(out, Packet{s.seq, c.block, uint8(c.parity), true})
			c.parity++
			s.seq++
		}
	}
	if sent := out[start:]; len(sent) > 0 {
		s.pace.tokens -= float64(len(sent)) * s.bits
		s.SentPackets += int64(len(sent))
		for i := range sent {
			if sent[i].Repair {
				s.SentRepair++
			}
		}
		s.ctl.sent(now, s.seq, len(sent))
	} else if !s.Sending() {
		s.ctl.idle(now)
		s.pace.tokens = min(s.pace.tokens, 0.5*rate*burstTime+s.bits)
	}
	return out
}

// batch is how many packets make a burst at that pace.
func (s *Sender) batch(rate float64) int {
	return min(s.cfg.MaxBatch, max(1, int(rate*burstTime/s.bits)))
}

// nextBurst chooses the next block: repairs first, since partial blocks hold memory at receivers, then whole blocks in
// a circle, then the repairs that can wait.
func (s *Sender) nextBurst() bool {
	b := -1
	switch {
	case s.nFix > 0:
		if b = s.repair.next(s.fixes); b < 0 {
			b = s.repair.next(0)
		}
		s.fixes = b + 1
	case s.nFresh > 0:
		if b = s.fresh.next(s.cursor); b < 0 {
			b = s.fresh.next(0)
		}
		s.cursor = b + 1
	case s.nLater > 0:
		if b = s.later.next(s.fixes); b < 0 {
			b = s.later.next(0)
		}
		s.fixes = b + 1
	default:
		return false
	}
	k := s.p.SourcePackets(b)
	n := int(s.want[b])
	s.setWant(b, 0)
	c := &s.cur
	*c = burst{block: uint32(b), repair: s.once.has(b)}
	end := s.p.K + MaxParity
	next := int(s.next[b])
	switch {
	case n < k && next+n <= end:
		c.parity, c.to = next, next+n
	case n < k:
		// No parity is left that nobody has seen: the source packets again.
		c.k = k
	default:
		c.k = k
		c.parity, c.to = next, min(next+s.proactive(k), end)
	}
	if c.k > 0 {
		s.once.set(b)
	}
	s.next[b] = uint8(c.to)
	if c.to == 0 {
		s.next[b] = uint8(s.p.K)
	}
	l := &s.sent[b]
	l.prevEnd, l.prevN = l.end, l.n
	l.end, l.n = s.seq+uint64(c.left()), uint8(c.left())
	return true
}

// inFlight is how many packets of block b a report could not count yet that was made when top was the highest sequence
// number heard.
func (s *Sender) inFlight(b int, top uint64) int {
	l := &s.sent[b]
	return part(l.end, l.n, top) + part(l.prevEnd, l.prevN, top)
}

func part(end uint64, n uint8, top uint64) int {
	if top+1 >= end {
		return 0
	}
	return int(min(uint64(n), end-1-top))
}

// Next is when the driver must call again: Plan, PollAnnounce and PollStream.
func (s *Sender) Next(now int64) int64 {
	next := s.announce
	if s.Sending() {
		rate := s.ctl.pace()
		// Several bursts at once where the pace allows it: to wake for each costs as much as the burst.
		need := max(rate*burstTime, s.bits*float64(s.batch(rate)))
		wait := (need - s.pace.tokens) / rate * 1e9
		next = min(next, s.pace.last+int64(max(wait, 0)))
	} else if !s.begun && s.cfg.MaxWait > 0 && s.first > 0 {
		next = min(next, s.first+s.cfg.MaxWait)
	}
	return min(next, s.streamNext(now))
}

// Upcoming returns the block that will be sent whole as the nth from now, 0 being the next, or -1.
func (s *Sender) Upcoming(n int) int {
	b := s.cursor
	for ; ; n-- {
		if b = s.fresh.next(b); b < 0 || n == 0 {
			return b
		}
		b++
	}
}
