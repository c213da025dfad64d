package core

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/cast/wire"
)

// AnnounceFresh says whether an ANNOUNCE may be news: its number is beyond that of the latest one, whatever else had
// come.
func (r *Receiver) AnnounceFresh(epoch, seq uint64) bool {
	c := r.channel(epoch)
	return c == nil || seq > c.place
}

// proved notes an ANNOUNCE that the sender has signed, and says whether it is of the current epoch.
func (r *Receiver) proved(now int64, epoch, seq uint64) bool {
	c := r.channel(epoch)
	switch {
	case c == nil:
		// An epoch never seen: the sender has started anew.
		c = newChannel(now, epoch)
		r.become(c)
		r.sched.newEpoch(now)
	case c == r.cur || c.denied:
	case !r.cur.proven(), !r.away && now-r.heard > 300*ms:
		// One seen before, while the current one is silent: the one in between was a replayed recording.
		r.become(c)
	}
	if c.wary {
		c.window.Mark(seq)
	}
	switch {
	case c.prove(now, seq):
		r.odd(now, wire.Ahead)
		r.sched.urgent(now)
	case !c.wary && c.fresh(seq):
		c.mark(now, seq)
	}
	if c != r.cur {
		return false
	}
	r.hears(now)
	return true
}

// Announce takes the body of an ANNOUNCE that the sender has signed.
func (r *Receiver) Announce(now int64, epoch, seq uint64, body []byte) error {
	if !r.AnnounceFresh(epoch, seq) {
		return nil
	}
	var a wire.AnnounceBody
	if err := a.Parse(body); err != nil {
		return err
	}
	if a.Size != r.p.Size || int(a.Payload) != r.p.Payload || int(a.K) != r.p.K {
		// Authentic, so it is no stranger: the sender was started with another object under the same key.
		return fmt.Errorf("%w: the sender casts %d bytes in packets of %d and blocks of %d, this receiver expects "+
			"%d, %d, %d",
			wire.ErrMalformed, a.Size, a.Payload, a.K, r.p.Size, r.p.Payload, r.p.K)
	}
	if !r.proved(now, epoch, seq) {
		return nil
	}
	r.cur.pps = float64(a.Rate) / 8 / float64(r.p.Payload+wire.Overhead)
	s := &r.sched
	s.quiet = 0
	s.active, s.done, s.kick = interval(a.Active), interval(a.Done), interval(a.Kick)
	s.first = a.Flags&wire.AnnFirst != 0
	s.sending(now, a.Flags&wire.AnnSending != 0)
	if a.Flags&wire.AnnEnds != 0 {
		r.ending(now)
	}
	if r.missing == 0 && a.Acked(r.cfg.ID) {
		r.acked = true
	}
	return nil
}

// Reply takes the body of an authentic REPLY.
func (r *Receiver) Reply(now int64, origin, seq uint64, body []byte) error {
	if !r.markStream(now, origin, seq) {
		return nil
	}
	var m wire.ReplyBody
	if err := m.Parse(body); err != nil {
		return err
	}
	if m.Receiver != r.cfg.ID || r.sched.seq-m.Echo > 1024 {
		return nil
	}
	s := &r.sched
	s.quiet = 0
	s.own = max(interval(m.Interval), 5*ms)
	r.lastReply = now
	if m.Flags&wire.RplEnds != 0 {
		r.ended = true
	}
	if m.Flags&wire.RplDone != 0 && r.missing == 0 {
		r.acked = true
	}
	if m.Flags&wire.RplUnicast != 0 && !r.away {
		r.away = true
		if r.missing > 0 {
			r.setPhase(Unicast, "the sender took this receiver out of the group because it held the others back")
		}
	}
	if m.Flags&wire.RplBack != 0 && r.away {
		r.away = false
		r.rejoin(now)
	}
	// The sender's word on its epoch and its place is fresh: it answers our own report.
	c := r.channel(origin)
	switch {
	case c == nil:
		c = newChannel(now, origin)
		r.deny()
		r.become(c)
	case c != r.cur:
		r.deny()
		r.become(c)
	}
	c.denied = false
	if far := m.Place + jumpRoom + uint64(c.pps); !c.wary && (m.Flags&wire.RplMisled != 0 || c.got > 0 && c.top > far) {
		r.odd(now, wire.Ahead)
		c.distrust(now, max(m.Place, 1)-1)
	}
	return nil
}

// Mismatch notes that what arrives is not what this receiver expects, which it says when it goes silent.
func (r *Receiver) Mismatch(err error) { r.mismatch = err }

// deny notes that the current epoch is not the sender's: recordings of it do not come back.
func (r *Receiver) deny() {
	if r.cur != nil {
		r.cur.denied = true
	}
}

// Hold leaves the group, or comes back to it, by our own decision.
func (r *Receiver) Hold(now int64, on bool) {
	if r.held == on {
		return
	}
	r.held = on
	if on && r.missing > 0 {
		r.setPhase(Unicast, "held out of the group by the operator")
	}
	if !on {
		r.rejoin(now)
	}
	r.sched.urgent(now)
}

func (r *Receiver) rejoin(now int64) {
	if !r.InGroup() {
		return
	}
	if r.cur != nil {
		r.pastGot += r.cur.got
		r.pastLost += r.cur.lost()
		r.cur.restart()
	}
	r.heard = now
	if r.missing > 0 {
		r.setPhase(Receiving, "")
	}
	r.sched.urgent(now)
	if r.cfg.Changed != nil {
		r.cfg.Changed()
	}
}

// interval is the time from one report to the next, as things stand.
func (r *Receiver) interval() int64 {
	s := &r.sched
	switch {
	case !r.InGroup() || r.phase == Silent || !s.heard:
		return s.own
	case r.missing == 0:
		return s.done
	case !s.run:
		return s.kick
	}
	return s.active
}

// due is when the next report is due, as things stand.
func (r *Receiver) due() int64 {
	s := &r.sched
	if s.first && s.heard && !s.run && r.missing > 0 && r.InGroup() && r.phase != Silent {
		return s.dueFirst()
	}
	return s.due(r.interval())
}

// Next is when Poll wants to be called at the latest.
func (r *Receiver) Next() int64 {
	due := r.due()
	if r.missing > 0 && r.InGroup() && r.phase != Silent {
		due = min(due, r.heard+r.cfg.SilenceAfter)
	}
	if r.strange.out {
		due = min(due, r.strange.until)
	}
	return due
}

// Poll does what is due at the time now. It appends the body of a REPORT to buf when one is due, with its sequence
// number.
func (r *Receiver) Poll(now int64, buf []byte) (report []byte, seq uint64, ok bool) {
	r.dareBack(now)
	if r.missing > 0 && r.InGroup() && r.phase != Silent && now-r.heard >= r.cfg.SilenceAfter {
		r.silent(now)
	}
	if now < r.due() || r.Finished() {
		return nil, 0, false
	}
	r.sched.sent(now)
	r.sched.seq++
	return r.appendReport(now, buf, 0), r.sched.seq, true
}

// Leave makes a last report that says that the receiver gives up.
func (r *Receiver) Leave(now int64, buf []byte) (report []byte, seq uint64) {
	r.sched.seq++
	return r.appendReport(now, buf, wire.RepLeaving), r.sched.seq
}

func (r *Receiver) silent(now int64) {
	seconds := float64(r.cfg.SilenceAfter) / float64(sec)
	answers := r.lastReply != 0 && now-r.lastReply < max(3*quietInterval, r.cfg.SilenceAfter)
	r.sched.own = firstInterval
	if r.mismatch != nil {
		r.setPhase(Silent, fmt.Sprintf("nothing of use came by multicast on %v for %.0f s: %v", r.p.Group, seconds,
			r.mismatch))
		return
	}
	if why := r.suspicion(); why != "" {
		r.setPhase(Silent, fmt.Sprintf("nothing of the sender's own came by multicast on %v for %.0f s, but %s",
			r.p.Group, seconds, why))
		return
	}
	switch {
	case answers && !r.everHeard:
		r.setPhase(Silent, fmt.Sprintf("no multicast on %v for %.0f s, but the sender answers by unicast: "+
			"likely a snooping switch without an IGMP/MLD querier, the wrong VLAN or interface, a firewall that "+
			"drops multicast, or an MTU below %d",
			r.p.Group, seconds, r.p.Payload+wire.Overhead+48))
	case answers:
		r.setPhase(Silent, fmt.Sprintf("multicast on %v stopped %.0f s ago, but the sender answers by unicast: "+
			"likely the switch has forgotten the group because no IGMP/MLD querier asks for members", r.p.Group,
			seconds))
	case r.everHeard:
		r.setPhase(Silent, fmt.Sprintf("the sender went silent %.0f s ago, by multicast on %v and by unicast at %v: "+
			"it has stopped, or the link is down",
			seconds, r.p.Group, r.p.Feedback))
	default:
		r.setPhase(Silent, fmt.Sprintf("nothing heard for %.0f s, neither multicast on %v nor an answer from %v: "+
			"the sender is not running, or the wrong interface or VLAN, or a firewall drops UDP", seconds, r.p.Group,
			r.p.Feedback))
	}
}
