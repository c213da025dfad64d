package metrics

import (
	"slices"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// account makes counters of sessions, which come, change and are forgotten.
type account struct {
	known map[string]*knownSession

	sessions map[[2]string]uint64 // ended, by kind and state
	parts    map[[2]string]uint64 // ended, by kind and state
	cast     castBytes
	received receivedBytes
	session  map[string]*histogram    // seconds from start to end of sessions that were done, by kind
	steps    map[[2]string]*histogram // seconds of a step, by kind and step
}

// castBytes are what casts sent since the server started.
type castBytes struct{ sent, repair, wire, rejected float64 }

// receivedBytes are what nodes say that they have received and written.
type receivedBytes struct{ multicast, unicast, written, captured float64 }

// knownSession is what is counted of a session already.
type knownSession struct {
	over  bool
	cast  doc.CastStats
	parts map[string]knownPart
}

type knownPart struct {
	state    string
	progress session.Progress
	steps    map[string]bool
}

func newAccount() account {
	return account{known: map[string]*knownSession{}, sessions: map[[2]string]uint64{}, parts: map[[2]string]uint64{},
		session: map[string]*histogram{}, steps: map[[2]string]*histogram{}}
}

// closed says that nothing of the session is to be counted any more.
func (a *account) closed(id string) bool {
	k := a.known[id]
	return k != nil && k.over
}

// begin has what is there now count as counted.
func (a *account) begin(f engine.Figures) {
	fresh := newAccount()
	fresh.add(f)
	known := fresh.known
	*a = newAccount()
	a.known = known
	a.zero(f.Kinds)
}

// zero has the counters that alerts are on be there before they count: of a series that begins at 1 Prometheus sees no
// increase.
func (a *account) zero(kinds []string) {
	for _, kind := range kinds {
		for _, state := range []string{doc.Done, doc.Failed, doc.Cancelled} {
			a.sessions[[2]string{kind, state}] = 0
			a.parts[[2]string{kind, state}] = 0
		}
		a.parts[[2]string{kind, doc.Absent}] = 0
		of(a.session, durations, kind)
	}
}

// add counts what is new.
func (a *account) add(f engine.Figures) {
	there := map[string]bool{}
	for i := range f.Sessions {
		s := &f.Sessions[i]
		there[s.ID] = true
		a.addSession(s)
	}
	for id := range a.known {
		if !there[id] {
			delete(a.known, id)
		}
	}
}

func (a *account) addSession(s *engine.SessionFigures) {
	k := a.known[s.ID]
	if k == nil {
		k = &knownSession{parts: map[string]knownPart{}}
		a.known[s.ID] = k
		for _, step := range doc.TimelineSteps {
			of(a.steps, durations, [2]string{s.Kind, step})
		}
	}
	if k.over {
		return
	}
	a.cast.sent += grown(k.cast.Sent, s.Cast.Sent)
	a.cast.repair += grown(k.cast.Repair, s.Cast.Repair)
	a.cast.wire += grown(k.cast.Wire, s.Cast.Wire)
	a.cast.rejected += grown(k.cast.Rejected, s.Cast.Rejected)
	k.cast = s.Cast
	for i := range s.Parts {
		a.addPart(s, k, &s.Parts[i])
	}
	if doc.Over(s.State) && !s.Casting {
		k.over, k.parts = true, nil
		a.sessions[[2]string{s.Kind, s.State}]++
		if s.State == doc.Done && !s.Started.IsZero() {
			observe(a.session, durations, s.Kind, s.Ended.Sub(s.Started).Seconds())
		}
	}
}

func (a *account) addPart(s *engine.SessionFigures, k *knownSession, p *engine.PartFigures) {
	old := k.parts[p.Node]
	a.received.multicast += grown(old.progress.Multicast, p.Progress.Multicast)
	a.received.unicast += grown(old.progress.Unicast, p.Progress.Unicast)
	a.received.written += grown(old.progress.Written, p.Progress.Written)
	a.received.captured += grown(old.progress.Sent, p.Progress.Sent)
	over := doc.Over(p.State) || p.State == doc.Absent
	if over && p.State != old.state {
		a.parts[[2]string{s.Kind, p.State}]++
	}
	if old.steps == nil || p.Step != "" && len(p.Steps) < len(old.steps) { // it booted anew
		old.steps = map[string]bool{}
	}
	a.addSteps(s.Kind, p, old.steps)
	k.parts[p.Node] = knownPart{p.State, p.Progress, old.steps}
}

// addSteps observes how long each step took that was reached since: from the one before it on the part's timeline.
func (a *account) addSteps(kind string, p *engine.PartFigures, seen map[string]bool) {
	var reached []string
	for _, step := range doc.TimelineSteps {
		if _, ok := p.Steps[step]; ok {
			reached = append(reached, step)
		}
	}
	for step := range p.Steps { // those of other kinds of session
		if session.Known(step) && !slices.Contains(reached, step) {
			reached = append(reached, step)
		}
	}
	slices.SortStableFunc(reached, func(x, y string) int { return p.Steps[x].Time.Compare(p.Steps[y].Time) })
	for i, step := range reached {
		if seen[step] {
			continue
		}
		seen[step] = true
		if i > 0 {
			took := p.Steps[step].Time.Sub(p.Steps[reached[i-1]].Time)
			observe(a.steps, durations, [2]string{kind, step}, took.Seconds())
		}
	}
}

// grown is by how much a count has grown; one that is smaller than before began anew. Nodes may say what cannot be.
func grown(before, now int64) float64 {
	if before = max(before, 0); now < before {
		before = 0
	}
	return float64(max(now, 0) - before)
}
