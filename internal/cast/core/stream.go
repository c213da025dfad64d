package core

import (
	"slices"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// streamState is the unicast stream to one peer: a cast of its own in small, to a receiver that cannot be in the group.
type streamState struct {
	seq     uint64
	rate    float64
	pace    pacer
	records []byte // what is still to be sent of the latest plan
	rec     wire.Record
	block   int // in rec
	cur     burst
	doneSeq uint64 // sequence number at which the plan was through
	doneAt  int64
	got     uint64
	top     uint64
	active  bool
	base    float64 // loss that does not depend on the rate
	// A plan is cut to window blocks.
	window, left int
	planned      int    // packets of this plan
	need         uint32 // of the receiver when it was made
}

// StreamPacket is a packet of a unicast stream.
type StreamPacket struct {
	Peer *Peer
	Packet
}

// streams says whether p is served by a unicast stream.
func (s *Sender) streams(p *Peer) bool {
	return p.flags&wire.RepStream != 0 && (p.State == PeerUnicast && p.flags&wire.RepAway != 0 || p.State == PeerSilent)
}

// ReplySeq numbers a packet that goes to p alone.
func (s *Sender) ReplySeq(p *Peer) uint64 {
	p.stream.seq++
	return p.stream.seq
}

// streamCap is what all streams together may take while the group needs the line.
func (s *Sender) streamCap() float64 {
	limit := s.cfg.Stream
	if limit == 0 {
		limit = max(s.ctl.best, s.cfg.Link, 5e8) / 50
	}
	n := float64(len(s.streaming))
	if s.active == 0 {
		limit = max(limit, s.ctl.high, s.ctl.best, s.ctl.rate)
	}
	return limit / max(n, 1)
}

// streamReport learns from the report of a peer that is served by unicast.
func (s *Sender) streamReport(now int64, p *Peer, r *wire.ReportBody) {
	if !s.streams(p) {
		return
	}
	t := &p.stream
	if !t.active {
		t.active = true
		s.streaming = append(s.streaming, p)
		t.rate = min(2e7, s.streamCap())
		t.pace.last = now
		t.top, t.got = r.StreamTop, r.StreamGot
		t.records, t.cur = nil, burst{}
	}
	if r.StreamTop > t.top && r.StreamTop <= t.seq {
		n := float64(r.StreamTop - t.top)
		loss := max(n-float64(r.StreamGot-t.got), 0) / n
		switch {
		case loss > t.base+0.02 || int(r.Pressure) >= pressed:
			t.rate *= 0.7
		case n >= 8 && int(r.Pressure) < easing:
			t.rate *= 1.15
		}
		// Loss that stays whatever the rate is the medium's own.
		t.base += 0.3 * (min(loss, 0.5) - t.base)
		t.top, t.got = r.StreamTop, r.StreamGot
	}
	t.rate = max(min(t.rate, s.streamCap()), lowestRate)
	through := len(t.records) == 0 && t.cur.left() == 0 && t.block >= int(t.rec.Count)
	if through && (r.StreamTop >= t.doneSeq || now-t.doneAt > 500*ms) {
		t.records = append(t.records[:0], r.Records...)
		t.rec, t.block = wire.Record{}, 0
		// What a plan brings should be most of what it sent. If it is not, the receiver's memory had no room for so
		// many blocks at once.
		brought := int64(t.need) - int64(r.Need)
		switch {
		case t.window == 0:
			t.window = 16
		case t.need > 0 && brought < int64(t.planned/2):
			t.window = max(t.window/2, 1)
		default:
			t.window = min(2*t.window, 256)
		}
		t.left, t.planned, t.need = t.window, 0, r.Need
	}
}

// sweepStreams forgets the streams of peers that no longer need one.
func (s *Sender) sweepStreams() {
	s.streaming = slices.DeleteFunc(s.streaming, func(p *Peer) bool {
		if s.streams(p) {
			return false
		}
		p.stream.active = false
		return true
	})
}

// PlanStreams appends what may be sent by unicast at the time now.
func (s *Sender) PlanStreams(now int64, out []StreamPacket) []StreamPacket {
	if s.Ended() {
		return out
	}
	for _, p := range s.streaming {
		t := &p.stream
		if !s.streams(p) {
			continue
		}
		t.pace.fill(now, t.rate, s.bits)
		for n := min(int(t.pace.tokens/s.bits), 16); n > 0; n-- {
			if t.cur.left() == 0 && !s.nextStream(t) {
				if t.doneSeq < t.seq {
					t.doneSeq, t.doneAt = t.seq, now
				}
				break
			}
			t.pace.tokens -= s.bits
			t.seq++
			s.StreamPackets++
			c := &t.cur
			if c.source < c.k {
				out = append(out, StreamPacket{p, Packet{t.seq, c.block, uint8(c.source), false}})
				c.source++
			} else {
				out = append(out, StreamPacket{p, Packet{t.seq, c.block, uint8(c.parity), true}})
				c.parity++
			}
		}
	}
	return out
}

// nextStream takes the next block of a stream's plan.
func (s *Sender) nextStream(t *streamState) bool {
	for {
		for t.block < int(t.rec.Count) {
			b := int64(t.rec.Start) + int64(t.block)
			need := int(t.rec.Need)
			if t.rec.List != nil {
				need = int(t.rec.List[t.block])
			}
			t.block++
			if b >= int64(s.blocks) {
				t.block = int(t.rec.Count)
				break
			}
			if need == 0 || s.bad.has(int(b)) {
				continue
			}
			if t.left--; t.left < 0 {
				t.records, t.rec, t.block = nil, wire.Record{}, 0
				return false
			}
			k := s.p.SourcePackets(int(b))
			next := max(int(t.rec.Next), s.p.K)
			if need < k && next+need <= s.p.K+MaxParity {
				t.cur = burst{block: uint32(b), parity: next, to: next + need}
			} else {
				t.cur = burst{block: uint32(b), k: k}
			}
			t.planned += t.cur.left()
			return true
		}
		var ok bool
		if t.records, ok = t.rec.Decode(t.records); !ok {
			t.records, t.rec, t.block = nil, wire.Record{}, 0
			return false
		}
		t.block = 0
	}
}

// streamNext is when the next stream has tokens for a packet.
func (s *Sender) streamNext(now int64) int64 {
	next := now + sec
	for _, p := range s.streaming {
		t := &p.stream
		if !s.streams(p) || len(t.records) == 0 && t.cur.left() == 0 && t.block >= int(t.rec.Count) {
			continue
		}
		wait := (min(8*s.bits, t.rate*catchUpTime) - t.pace.tokens) / t.rate * 1e9
		next = min(next, t.pace.last+int64(max(wait, 0))+int64(s.bits/t.rate*1e9/4))
	}
	return next
}
