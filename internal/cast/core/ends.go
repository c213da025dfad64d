package core

import "github.com/diskcast/diskcast/internal/cast/wire"

// endFor is how long a sender tells its receivers that it ends, beside the time that a report may take to come.
const endFor = 3 * sec

// End stops the cast for a fault of the source. ANNOUNCEs say so from now on, and so does the answer to every report;
// nobody's being done is acknowledged any more. An ANNOUNCE alone ends no receiver: one that was recorded could be sent
// again when the cast goes on.
func (s *Sender) End(now int64) {
	if s.endedAt != 0 {
		return
	}
	s.endedAt = max(now, 1)
	s.acks, s.cur = nil, burst{}
	s.clearWants()
	s.announce = now
}

// Ended says whether End was called.
func (s *Sender) Ended() bool { return s.endedAt != 0 }

// Told says that all receivers know that the cast has ended, or have had the time to hear it.
func (s *Sender) Told(now int64) bool {
	return s.Ended() && (s.present() == 0 || now-s.endedAt > endFor+s.fb.active)
}

// reportOfEnd answers a report after the end.
func (s *Sender) reportOfEnd(now int64, p *Peer, seq uint64, r *wire.ReportBody, buf []byte) []byte {
	p.Need = max(p.Need, 1)
	if r.Flags&wire.RepLeaving != 0 {
		p.State = PeerGone
	}
	s.Replies++
	m := wire.ReplyBody{Receiver: p.ID, Echo: seq, Flags: wire.RplEnds, Interval: uint32(endFor / 1000), Place: s.seq}
	return m.Append(buf)
}

// Ended says that the sender has ended for a fault of its source before this receiver's being done was acknowledged.
func (r *Receiver) Ended() bool { return r.ended && !r.acked }

// ending takes note of an ANNOUNCE that says that the sender ends: the answer to a report tells whether that is so.
func (r *Receiver) ending(now int64) {
	if now-r.askedAt < 200*ms && r.askedAt != 0 {
		return
	}
	r.askedAt = now
	r.sched.urgent(now)
}
