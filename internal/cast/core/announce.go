package core

import (
	"github.com/diskcast/diskcast/internal/cast/wire"
)

// How often the sender announces itself: while it has much to tell, while it has receivers to acknowledge, while it
// sends, while it waits for receivers, and once it has waited long.
const (
	annFast = 10 * ms
	annAcks = 20 * ms
	annRun  = 100 * ms
	annIdle = 50 * ms
	annSlow = 400 * ms
)

// PollAnnounce does what is due at the time now. It appends the body of an ANNOUNCE to buf when one is due, with its
// number.
func (s *Sender) PollAnnounce(now int64, buf []byte) (body []byte, seq uint64, ok bool) {
	s.sweep(now)
	run := s.Sending()
	if run != s.annRun {
		// The end of a pass is told at once: it is what makes receivers say what they still lack.
		s.announce = now
		if run {
			s.runAt = now
		} else {
			s.idleAt = now
		}
	}
	if now < s.announce && !(s.beset(now) && s.seq-s.annSeq >= annCount) {
		return nil, 0, false
	}
	s.annRun = run
	changed := s.fb.update(now, len(s.order), s.present(), s.active, s.ctl.startup)
	a := wire.AnnounceBody{
		Active: uint32(s.fb.active / 1000), Done: uint32(s.fb.done / 1000), Kick: uint32(s.kick() / 1000),
		Receivers: uint32(len(s.order)), Size: s.p.Size, Payload: uint16(s.p.Payload), K: uint16(s.p.K),
		Rate: uint64(s.ctl.rate), Pending: uint64(s.Pending()),
	}
	if run {
		a.Flags |= wire.AnnSending
	}
	if s.Ended() {
		a.Flags |= wire.AnnEnds
	}
	if s.awaitsFirst() {
		a.Flags |= wire.AnnFirst
	}
	var ids [wire.MaxAcks]uint64
	n := min(len(s.acks), len(ids))
	for i := range n {
		ids[i] = s.acks[i].id
		s.acks[i].left--
	}
	a.Source = s.cfg.Source
	body = a.Append(buf, ids[:n])
	for len(s.acks) > 0 && s.acks[0].left <= 0 {
		s.acks = s.acks[1:]
	}
	if len(s.acks) == 0 {
		s.acks = nil
	}
	seq = s.seq
	s.seq++
	s.annSeq = seq
	s.ctl.note(now, s.seq)
	s.Replies++
	every := annRun
	switch {
	case s.Ended():
		every = annIdle
	case changed || run && now-s.runAt < 200*ms || s.beset(now):
		every = annFast
	case len(s.acks) > 0:
		every = annAcks
	case !run && now-s.idleAt < 10*sec:
		every = annIdle
	case !run:
		every = annSlow
	}
	s.announce = now + every
	return body, seq, true
}

// kick is the time within which receivers report while nothing is sent. While nobody has come it is short, since the
// first report starts the cast and makes the others wait their turn.
func (s *Sender) kick() int64 {
	if s.awaitsFirst() {
		return firstKick
	}
	return s.fb.active
}

func (s *Sender) awaitsFirst() bool { return len(s.order) == 0 && s.cfg.Expect <= 1 }

const firstKick = 30 * ms

// present counts the receivers that are alive and not done.
func (s *Sender) present() int {
	n := 0
	for _, p := range s.order {
		if p.present() {
			n++
		}
	}
	return n
}

// sweep looks after peers now and then.
func (s *Sender) sweep(now int64) {
	s.share(now)
	if now-s.swept < 50*ms {
		return
	}
	s.swept = now
	goneAfter := max(6*sec, 5*s.fb.active, 5*s.fb.done)
	gone := false
	for _, p := range s.order {
		if p.present() && now-p.Heard > goneAfter {
			p.State = PeerGone
			gone = true
			s.relieve(p)
			s.event("gone", p, "nothing was heard of it for long")
		}
	}
	if gone {
		s.count()
	}
	s.ctl.gap = s.fb.active / int64(max(s.active, 1))
	if s.active >= crowd {
		// An interval that shrinks brings reports in waves, one with each ANNOUNCE.
		s.ctl.gap = max(s.ctl.gap, annRun*3/4)
	}
	s.judge(now)
	s.bound(now)
	s.sweepStreams()
	s.foresee()
}

// bound moves peers that ran out of credit to unicast, when there are others whom they cost time.
func (s *Sender) bound(now int64) {
	for _, p := range s.order {
		if !p.broke {
			continue
		}
		p.broke = false
		if s.contended() && p.State == PeerActive {
			p.State, p.slowAt = PeerUnicast, now
			p.Why = "it asked for more than it can have lost"
			s.count()
			s.event("unicast", p, p.Why)
			s.relieve(p)
		}
	}
}
