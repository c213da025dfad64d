package core

import (
	"net/netip"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// ReportFresh says whether a REPORT may be new, before it is authenticated.
func (s *Sender) ReportFresh(id, seq uint64) bool {
	p := s.peers[id]
	return p == nil || p.window.Fresh(seq)
}

// Report takes the body of an authentic REPORT and appends to buf the body of the REPLY to it, if there is to be one.
func (s *Sender) Report(now int64, id, seq uint64, addr netip.AddrPort, body, buf []byte) (reply []byte, ok bool,
	err error) {
	var r wire.ReportBody
	if err := r.Parse(body); err != nil {
		return nil, false, err
	}
	p := s.peer(now, id, addr, string(r.Label))
	if p == nil || !p.window.Fresh(seq) {
		return nil, false, nil
	}
	p.window.Mark(seq)
	s.Reports++
	done := r.Flags&wire.RepDone != 0
	if s.fb.report(now, done, p.Joined == now) {
		s.announce = now // more come than should: say so at once
	}
	if gap := now - p.Heard; gap < s.fb.active/16 && p.flags == r.Flags && p.Heard != p.Joined {
		// Far more often than it was told: not worth the work.
		s.Ignored++
		return nil, false, nil
	}
	p.flags = r.Flags
	p.Pressure = r.Pressure
	s.beware(now, p, &r)
	p.Heard = now
	if done && p.State != PeerDone && !s.Ended() && s.cfg.Sound != nil && !s.cfg.Sound() {
		s.End(now)
	}
	if s.Ended() && p.State != PeerDone {
		return s.reportOfEnd(now, p, seq, &r, buf), true, nil
	}
	s.classify(now, p, &r)
	switch p.State {
	case PeerActive:
		p.Need = r.Need
		s.measure(now, p, &r)
		if p.waited() {
			s.needs(p, &r)
		}
	case PeerSlow:
		p.Need = r.Need
		s.measure(now, p, &r)
	case PeerUnicast, PeerSilent:
		p.Need = r.Need
		s.streamReport(now, p, &r)
	case PeerDone, PeerGone:
		p.Need = 0
	}
	return s.reply(now, p, seq, &r, buf)
}

// classify moves a peer from state to state as its report's flags say.
func (s *Sender) classify(now int64, p *Peer, r *wire.ReportBody) {
	was := p.State
	switch {
	case r.Flags&wire.RepDone != 0:
		p.State = PeerDone
		s.acknowledge(p)
	case r.Flags&wire.RepLeaving != 0:
		p.State = PeerGone
	case r.Flags&wire.RepAway != 0:
		if p.State != PeerUnicast && !p.back {
			// Or a sender before this one told it to.
			p.State, p.Why, p.slowAt, p.own = PeerUnicast, "it left the group by its own decision", now, true
		}
	case r.Flags&wire.RepSilent != 0:
		// A receiver that comes says so too, until it hears something: that is no news.
		if r.Epoch != 0 || now-p.Joined > sec {
			p.State = PeerSilent
		}
	case p.State == PeerUnicast && !p.back && !p.own:
		// It has not heard yet that it must leave.
	case p.State == PeerSlow:
	default:
		p.State = PeerActive
	}
	if p.State == was {
		return
	}
	s.count()
	switch p.State {
	case PeerDone:
		s.event("done", p, "")
	case PeerGone:
		s.event("gone", p, "it gave up")
		s.relieve(p)
	case PeerSilent:
		s.event("silent", p, "it hears no multicast, though its reports arrive: likely a snooping switch without an "+
			"IGMP/MLD querier, "+
			"the wrong VLAN or interface at the receiver, a firewall that drops multicast, or an MTU too small")
		s.relieve(p)
	case PeerActive:
		if was == PeerUnicast || was == PeerSilent {
			if p.limit > 0 && p.limit < s.ctl.rate && s.active <= 1 && !s.ctl.fixed {
				s.ctl.cut(now, s.seq, p.limit, p.limit, false) // nobody else is there: go at its pace from the start
			}
			p.test, p.limit, p.back, p.own, p.slowAt = lossTest{}, 0, false, false, 0
			p.credit = max(p.credit, s.fullCredit()) // it may still lack all of it
			s.event("back", p, "")
		}
	case PeerUnicast:
		s.event("unicast", p, p.Why)
		s.relieve(p)
	}
}

// relieve drops the wants of a peer that is no longer waited for. In a large group the others' wants cover almost all
// of its own, and hearing them anew would take long.
func (s *Sender) relieve(p *Peer) {
	if s.active > 64 {
		return
	}
	s.clearWants()
	for _, o := range s.order {
		if o != p {
			o.credit = max(o.credit, s.fullCredit()) // what was cleared they must ask for again
		}
	}
}

// fullCredit is what a receiver that has nothing may ask for.
func (s *Sender) fullCredit() float64 { return float64(s.blocks)*float64(s.p.K) + 256 }

// acknowledge queues a done receiver's id for the next announces: three of them, since they may be lost.
func (s *Sender) acknowledge(p *Peer) {
	for i := range s.acks {
		if s.acks[i].id == p.ID {
			s.acks[i].left = ackRepeat
			return
		}
	}
	s.acks = append(s.acks, ack{p.ID, ackRepeat})
	if len(s.acks) == 1 {
		s.announce = min(s.announce, s.swept+5*ms)
	}
}

const ackRepeat = 3

// needs merges what a peer lacks into what is wanted.
func (s *Sender) needs(p *Peer, r *wire.ReportBody) {
	top := r.Top
	if r.Epoch != s.cfg.Epoch {
		top = 0
	}
	s.credit(p, r, top)
	var rec wire.Record
	// A report may name each block once; a mad one is cut off.
	budget := s.blocks + wire.MaxReport
	for rest, ok := rec.Decode(r.Records); ok && budget > 0; rest, ok = rec.Decode(rest) {
		if rec.List != nil {
			for i, need := range rec.List {
				if b := int64(rec.Start) + int64(i); need > 0 && b < int64(s.blocks) {
					s.need(p, int(b), int(need), rec.Next, top)
				}
			}
			budget -= len(rec.List)
			continue
		}
		end := int(min(int64(rec.Start)+int64(rec.Count), int64(s.blocks)))
		// Blocks that are wanted whole already are skipped a word at a time.
		for b := s.fresh.nextNot(s.empty, int(min(int64(rec.Start), int64(s.blocks))),
			end); b < end; b = s.fresh.nextNot(s.empty, b+1, end) {
			s.need(p, b, int(rec.Need), rec.Next, top)
			if budget--; budget <= 0 {
				break
			}
		}
		budget--
	}
}

// need notes that a peer lacks n packets of block b, by a report made when top was the highest number it had heard.
func (s *Sender) need(p *Peer, b, n int, next uint8, top uint64) {
	if s.bad.has(b) {
		return
	}
	k := s.p.SourcePackets(b)
	n = min(n, k)
	if n >= k && s.cur.left() > 0 && int(s.cur.block) == b && s.cur.k == 0 {
		// A repair of this block is on its way, of no use to this peer's need; inFlight counts it all the same.
		n = k
	}
	n -= s.inFlight(b, top)
	if s.cur.left() > 0 && int(s.cur.block) == b && top == 0 {
		n = min(n, k-s.cur.left())
	}
	if n <= 0 {
		return
	}
	patient := s.patient(p)
	if !patient {
		s.hasten(b)
	}
	have := int(s.want[b])
	if n <= have {
		return
	}
	patient = patient && (have == 0 || s.later.has(b))
	cost := float64(n - have)
	if s.contended() {
		if p.credit < cost {
			p.broke = true
			return
		}
		p.credit -= cost
	}
	if next > s.next[b] && int(next) <= s.p.K+MaxParity && s.next[b] == uint8(s.p.K) && !s.once.has(b) {
		// A sender that was restarted does not know which parity its predecessor sent: the receiver does.
		s.next[b] = next
	}
	s.setWant(b, uint8(n))
	if patient {
		s.postpone(b)
	}
}

// credit lets a peer ask for as much as it may have lost since: half of what was sent at most, whatever it claims. Its
// first credit is the object. A receiver that loses more than half for long, or that lies, runs out and is moved to
// unicast, and has cost the others no more than what it was given.
func (s *Sender) credit(p *Peer, r *wire.ReportBody, top uint64) {
	if top <= p.creditAt || top > s.seq {
		return
	}
	passed := float64(top - p.creditAt)
	p.creditAt = top
	p.credit = min(p.credit+passed*min(p.Loss*1.5+0.05, 0.5), 2*s.fullCredit())
}

// reply decides whether a report is answered. Receivers that hear the group learn all they need from announces.
func (s *Sender) reply(now int64, p *Peer, seq uint64, r *wire.ReportBody, buf []byte) ([]byte, bool, error) {
	m := wire.ReplyBody{Receiver: p.ID, Echo: seq, Interval: uint32(max(s.fb.active, 50*ms) / 1000), Place: s.seq}
	if p.misled {
		m.Flags |= wire.RplMisled
	}
	if s.Sending() {
		m.Flags |= wire.RplSending
	}
	switch p.State {
	case PeerDone:
		if r.Flags&(wire.RepSilent|wire.RepAway) == 0 && r.Epoch == s.cfg.Epoch && s.fb.reportsPerSecond() > 200 {
			return nil, false, nil // an announce will say so
		}
		m.Flags |= wire.RplDone
	case PeerUnicast:
		if p.Why == "" || r.Flags&wire.RepAway == 0 {
			m.Flags |= wire.RplUnicast
		}
		if r.Flags&wire.RepAway != 0 && s.fit(now, p) {
			m.Flags |= wire.RplBack
			p.back = true
		}
	case PeerActive, PeerSlow:
		if r.Flags&wire.RepSilent == 0 && r.Epoch == s.cfg.Epoch && !p.misled {
			return nil, false, nil
		}
	}
	if p.State != PeerDone && now-p.replyAt < 20*ms && p.replyAt != 0 {
		return nil, false, nil
	}
	if s.streams(p) {
		m.Flags |= wire.RplStream
	}
	p.replyAt = now
	s.Replies++
	return m.Append(buf), true, nil
}

// fit says whether a peer that was sent away may come back: when nobody is left whom it could hold back.
func (s *Sender) fit(now int64, p *Peer) bool {
	return p.slowAt != 0 && s.active == 0 && now-p.slowAt > 2*sec
}
