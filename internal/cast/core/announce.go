package core

import (
	"github.com/diskcast/diskcast/internal/cast/wire"
)

// How often the sender announces itself: while it has much to tell, while it sends, while it waits for receivers, and once it has waited long.
const (
	annFast = 10 * ms
	annRun  = 100 * ms
	annIdle = 50 * ms
	annSlow = 400 * ms
)

// PollAnnounce does what is due at the time now. It appends the body of an ANNOUNCE to buf when one is due, with its number.
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
	if now < s.announce {
		return nil, 0, false
	}
	s.annRun = run
	changed := s.fb.update(now, s.present(), s.active)
	a := wire.AnnounceBody{
		Active: uint32(s.fb.active / 1000), Done: uint32(s.fb.done / 1000), Kick: uint32(s.kick() / 1000),
		Receivers: uint32(len(s.order)), Size: s.p.Size, Payload: uint16(s.p.Payload), K: uint16(s.p.K),
		Rate: uint64(s.ctl.rate), Pending: uint64(s.Pending()),
	}
	if run {
		a.Flags |= wire.AnnSending
	}
	var ids [wire.MaxAcks]uint64
	n := min(len(s.acks), len(ids))
	for i := range n {
		ids[i] = s.acks[i].id
		s.acks[i].left--
	}
	body = a.Append(buf, ids[:n])
	for len(s.acks) > 0 && s.acks[0].left <= 0 {
		s.acks = s.acks[1:]
	}
	if len(s.acks) == 0 {
		s.acks = nil
	}
	seq = s.seq
	s.seq++
	s.ctl.note(now, s.seq)
	s.Replies++
	every := annRun
	switch {
	case changed || len(s.acks) > 0 || run && now-s.runAt < 200*ms:
		every = annFast
	case !run && now-s.idleAt < 10*sec:
		every = annIdle
	case !run:
		every = annSlow
	}
	s.announce = now + every
	return body, seq, true
}

// kick is the time within which receivers report while nothing is sent. While nobody has come it is short, since the first
// report starts the cast and makes the others wait their turn.
func (s *Sender) kick() int64 {
	if len(s.order) == 0 && s.cfg.Expect <= 1 {
		return firstKick
	}
	return s.fb.active
}

const firstKick = 50 * ms

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

// feedback keeps reports below a number a second, whatever the size of the group. It measures how many come at the interval that was
// announced, which says how many receivers there are, known or not, and announces an interval that suits them.
type feedback struct {
	active, done   int64 // intervals
	init0          int64
	since          int64
	nActive, nDone int
	perSecond      float64
	most           float64 // receivers that there seemed to be lately
	shrank         bool    // the active interval is shorter than before
}

// Reports a second that are aimed at, of receivers that lack something and of those that are done.
const (
	activeTarget = 500
	doneTarget   = 300
	shortest     = 10 * ms
	firstGuess   = 400 * ms
)

func (f *feedback) init(expect int, now int64) {
	f.active = firstGuess
	if expect > 0 {
		f.active = max(shortest, int64(expect)*sec/activeTarget)
	}
	f.init0, f.done = f.active, f.active
	f.since = now
}

// report counts one, and says whether there are so many that the interval must grow now.
func (f *feedback) report(now int64, done bool) bool {
	if done {
		f.nDone++
	} else {
		f.nActive++
	}
	n := int64(f.nActive + f.nDone)
	return n >= 32 && n*sec > 2*(activeTarget+doneTarget)*(now-f.since) && now-f.since >= annFast
}

func (f *feedback) reportsPerSecond() float64 { return f.perSecond }

// update adapts the intervals to the reports since the last update, and says whether they changed much.
func (f *feedback) update(now int64, present, active int) bool {
	t := now - f.since
	if t < annFast {
		return false
	}
	a, d := f.active, f.done
	f.perSecond = 0.5*f.perSecond + 0.5*float64(f.nActive+f.nDone)*float64(sec)/float64(t)
	f.active = adapt(f.active, f.nActive, t, activeTarget, active)
	// Those that are here now will all be done at about the same time. How many they are is what their reports say, few as they are
	// while few receivers are known, and otherwise enough of them, at an interval that had not become shorter: then reports come all together.
	f.most *= 1 - min(float64(t)/float64(20*sec), 1)
	if n := f.nActive; n >= 8 && (active < 32 || n >= 32 && !f.shrank) {
		f.most = max(f.most, float64(n)*float64(a)/float64(t))
	}
	f.done = adapt(f.done, f.nDone, t, doneTarget, max(present, int(f.most)))
	if present == 0 {
		f.active = max(f.active, f.init0)
	}
	f.shrank = f.active < a
	f.since, f.nActive, f.nDone = now, 0, 0
	return f.active < a*3/4 || f.active > a*3/2 || f.done < d*3/4 || f.done > d*3/2
}

// adapt returns the interval that would have brought the target number of reports a second, and never one at which the known receivers
// alone bring more. While few are known, growth is taken at once, since thousands may have come at the same moment. In a group that is known
// both ways go by small steps: receivers that a longer interval kept waiting report all together when it shrinks.
func adapt(interval int64, n int, t int64, target int64, known int) int64 {
	least := max(shortest, int64(known)*sec/target)
	want := int64(float64(n+1) * float64(interval) / float64(t) / float64(target) * 1e9)
	crowd := known >= 32
	if want > interval {
		if n < 4 || int64(n)*sec < 2*target*t {
			return max(interval, least) // chance
		}
		if crowd {
			want = min(want, 2*interval)
		}
		return min(max(want, least), maxInterval)
	}
	if crowd {
		return max(want, interval*9/10, least)
	}
	return max(want, interval/2, least)
}
