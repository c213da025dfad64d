package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// LoadingGrace is how long a session whose time to wait is over still waits for nodes that fetch their boot files.
const LoadingGrace = 5 * time.Minute

// Need is how many nodes the session waits for before it starts.
func (s *Session) Need() int {
	need := max(1, s.Spec.MinNodes)
	if len(s.Spec.Nodes) > 0 {
		need = max(1, min(need, len(s.Parts)-s.unreached())) // two of the names may be of one machine
	}
	return need
}

// Joined counts the parts whose nodes came.
func (s *Session) Joined() int {
	n, _ := s.joined()
	return n
}

// Working reports whether a node of the session that came is not over with its part.
func (s *Session) Working() bool {
	there, over := s.joined()
	return over < there
}

// Early reports whether the session's start time has not come.
func (s *Session) Early(now time.Time) bool { return !s.Go && now.Before(s.Spec.At) }

// Due reports whether a session that waits has what it waits for, but for its turn.
func (st *State) Due(s *Session, now time.Time) bool {
	there := s.Joined()
	return s.State == doc.Waiting && s.Prepared() && !s.Early(now) && there > 0 && (there >= s.Need() || s.late(now))
}

// byTurn is all sessions, in the order in which they have their turn.
func (st *State) byTurn() []*Session {
	var out []*Session
	for _, id := range st.order {
		out = append(out, st.sessions[id])
	}
	slices.SortStableFunc(out, func(a, b *Session) int { return cmp.Compare(b.Spec.Priority, a.Spec.Priority) })
	return out
}

// Turn is which place a session that waits has in the queue of those that are due, 0 when it may start, and the
// sessions that cast meanwhile. Only what is cast waits for its turn.
func (st *State) Turn(s *Session, now time.Time) (place int, casting []string) {
	if st.casts == 0 || len(s.Casts()) == 0 {
		return 0, nil
	}
	for _, id := range st.order {
		if st.sessions[id].Sends() {
			casting = append(casting, id)
		}
	}
	ahead := 0
	for _, o := range st.byTurn() {
		if o == s {
			break
		}
		if len(o.Casts()) > 0 && st.Due(o, now) {
			ahead++
		}
	}
	return max(0, len(casting)+ahead-st.casts+1), casting
}

// mayCome reports whether a node that the session would take fetches its boot files, and time is left for it.
func (r *run) mayCome(s *Session) bool {
	if s.Go || r.now.Sub(s.since()) >= seconds(s.Spec.MaxWait)+LoadingGrace {
		return false
	}
	for _, n := range r.nodes {
		if n.Loading && r.now.Sub(n.Heard) < Presence && r.wants(s, n) && r.Current(n.ID) == nil {
			return true
		}
	}
	return false
}

// miss ends the waiting for a node that did not come.
func (r *run) miss(s *Session, p *doc.Part) {
	p.State, p.Reason = doc.Absent, s.absence()
	r.left(s, p)
	r.settlePower(s, p, doc.Cancelled, "the machine was waited for no longer")
	r.do(SavePart{s.ID, p.Node})
}

// absence says why a node that did not come is waited for no longer.
func (s *Session) absence() string {
	if s.Go {
		return "was not there when the operator had the session start with those that were"
	}
	return fmt.Sprintf("did not come within %v", seconds(s.Spec.MaxWait))
}

func (in Go) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.Over() || s.Joined() == 0 {
		return
	}
	s.Go = true
	r.do(SaveSession{s.ID})
	r.advance(s, Trouble{})
}

// MayEdit says why the change cannot be made, nil when it can: what a cast goes by is settled once it started.
func (s *Session) MayEdit(c *doc.SessionChange) error {
	switch {
	case s.Over() && (c.MinNodes != nil || c.MaxWait != nil || c.Rate != nil || c.At != nil || c.Priority != nil):
		return fmt.Errorf("session %s is over: only its notes can be changed; `diskcast session retry %s` does again "+
			"what failed", s.ID, s.ID)
	case s.State != doc.Waiting && c.MinNodes != nil, s.State != doc.Waiting && c.At != nil,
		s.State != doc.Waiting && c.Rate != nil, s.State != doc.Waiting && c.Priority != nil:
		return fmt.Errorf("session %s has started: its rate, priority, start time and number of nodes are settled; "+
			"max-wait and notes can be changed", s.ID)
	}
	return nil
}

func (in Edited) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.MayEdit(&in.Change) != nil {
		return
	}
	s.Spec = in.Change.Apply(s.Spec)
	r.do(SaveSession{s.ID})
	if !s.Over() {
		r.advance(s, Trouble{})
	}
}

func (in Removed) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || !s.MayRemove() {
		return
	}
	r.do(Prune{s.ID, slices.Clone(s.Order)})
	delete(r.sessions, s.ID)
	r.order = slices.DeleteFunc(r.order, func(id string) bool { return id == s.ID })
}

// MayRemove reports whether the session can be forgotten: nothing runs for it.
func (s *Session) MayRemove() bool {
	return s.Over() && len(s.casting) == 0 && s.BeingSwitched() == 0 && !s.Hooking()
}
