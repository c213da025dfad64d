package jobs

import (
	"time"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/doc"
)

// A session that is asked to brings the machines that are not in the agent when its time has come, and switches those
// off in the end whose part failed. What it asks for is in the part, and stays there until the shell says what came of
// it: a shell that was killed meanwhile is asked again, and reads back how things are.

// switching reports whether something was asked of the power of the part's machine of which nobody knows what came.
func (st *State) switching(id, node string) bool {
	s := st.sessions[id]
	return s != nil && s.Parts[node] != nil && pending(s.Parts[node])
}

func pending(p *doc.Part) bool { return p.Power != nil && p.Power.State == doc.Waiting }

// BeingSwitched counts the parts of which it is not known yet what came of something that was asked of their machines'
// power.
func (s *Session) BeingSwitched() int {
	n := 0
	for _, p := range s.Parts {
		if pending(p) {
			n++
		}
	}
	return n
}

// power asks for machines that are not there.
func (r *run) power(s *Session) {
	if s.Spec.Power == "" || len(s.Spec.Nodes) == 0 || s.Early(r.now) {
		return
	}
	for _, id := range append([]string(nil), s.Order...) {
		p := s.Parts[id]
		if p.Over() || !p.Joined.IsZero() || p.Power != nil || r.Spared(s.ID, id, r.now) != "" {
			continue
		}
		r.ask(s, p, s.Spec.Power)
	}
}

// ask asks for something of a machine's power. It is stored before it is done.
func (r *run) ask(s *Session, p *doc.Part, want string) {
	p.Power = &doc.PartPower{Want: want, State: doc.Waiting, Asked: 1, Since: r.now}
	r.do(SavePart{s.ID, p.Node})
	r.do(Switch{s.ID, p.Node})
	r.log("power is asked for", "session", s.ID, "node", p.Node, "want", want)
}

// askAgain asks a shell that was started anew for what nobody knows.
func (r *run) askAgain(s *Session) {
	for _, id := range s.Order {
		p := s.Parts[id]
		if !pending(p) {
			continue
		}
		w := *p.Power
		w.Asked++
		p.Power = &w
		if w.Want != doc.PowerOff && (p.Over() || !p.Joined.IsZero()) {
			r.settlePower(s, p, doc.Cancelled, "the server was started anew, and it was needed no more")
			r.do(SavePart{s.ID, id})
			continue
		}
		r.do(SavePart{s.ID, id})
		r.do(Switch{s.ID, id})
	}
}

// settlePower ends what is asked for and needed no more. The part is stored by who calls.
func (r *run) settlePower(s *Session, p *doc.Part, state, words string) {
	if !pending(p) {
		return
	}
	w := *p.Power
	w.State, w.Time, w.Words = state, r.now, words
	p.Power = &w
	r.do(NoSwitch{s.ID, p.Node})
}

// endPower does for a part of a session that ends what is to be done about its machine's power, and reports whether
// that is anything. The part is stored by who calls.
func (r *run) endPower(s *Session, p *doc.Part) bool {
	was := pending(p)
	if was && p.Power.Want == doc.PowerOff {
		return false
	}
	r.settlePower(s, p, doc.Cancelled, "the session ended before it was known what came of it")
	if !s.Spec.PowerOffFailed || p.State != doc.Failed || p.Joined.IsZero() {
		return was
	}
	r.ask(s, p, doc.PowerOff)
	return true
}

// Spared says why the power of the node's machine is left alone now, whatever the session asks for; empty when it need
// not be. To bring a machine is not needed when it is there or on its way, and no machine is switched that works for
// another session.
func (st *State) Spared(id, node string, now time.Time) string {
	n := st.nodes[node]
	if n == nil {
		return ""
	}
	if o := st.Current(node); o != nil {
		return "it works for session " + o.ID
	}
	if s := st.sessions[n.Last]; s != nil && s.ID != id && s.Parts[node] != nil && s.Parts[node].State == doc.Starting {
		return "it starts the disk that session " + s.ID + " gave it"
	}
	if s := st.sessions[id]; s != nil && s.Parts[node] != nil && s.Parts[node].Power != nil &&
		s.Parts[node].Power.Want == doc.PowerOff {
		return ""
	}
	silent := now.Sub(later(n.Heard, st.began))
	switch {
	case n.Here && silent < Presence:
		return "its agent runs"
	case n.Loading && silent < LoadingGrace:
		return "it fetches its boot files"
	}
	return ""
}

func (in Switched) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.Parts[in.Node] == nil {
		return
	}
	p := s.Parts[in.Node]
	if p.Power == nil || p.Power.Want != in.Want {
		return
	}
	awaited := pending(p)
	w := *p.Power
	w.State, w.Time, w.Power, w.Words = in.State, r.now, in.Power, plain.Line(in.Words, maxWords)
	p.Power = &w
	r.log("power", "session", s.ID, "node", p.Node, "want", w.Want, "state", w.State, "words", w.Words)
	if awaited && w.State == doc.Failed && w.Want != doc.PowerOff && p.Joined.IsZero() && !p.Over() {
		p.State, p.Reason = doc.Failed, why(w.Words)
		r.left(s, p)
	}
	r.do(SavePart{s.ID, p.Node})
	r.do(Show{Session: s.ID})
	if !s.Over() {
		r.advance(s, Trouble{})
	}
}
