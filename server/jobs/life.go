package jobs

import (
	"fmt"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// LifeWindow is how long after a machine left a sign of life of its restored system is looked for, where the session
// asks for no longer.
const LifeWindow = 10 * time.Minute

// Lives says that the node's restored system gave a sign of life: it was seen after it left, and was not the agent.
type Lives struct{ Node, Sign string }

// ClockSet says that the server's clock was set, by so much: what is not over is told in the new time from now on.
type ClockSet struct{ By time.Duration }

// expects is how long a sign of life must come within for a part of the session to be done; 0: none is asked for.
func (s *Session) expects() time.Duration {
	if !s.StartsDisks() {
		return 0
	}
	return seconds(s.Spec.ExpectAlive)
}

// StartsDisks reports whether the session's machines start what is on their disks when they are done.
func (s *Session) StartsDisks() bool {
	if !s.Kind.Traits().Boots || s.Kind.Traits().Sure {
		return false
	}
	if s.Spec.Boot == nil {
		return true
	}
	switch s.Spec.Boot.Method {
	case session.BootKexec, session.BootReboot, session.BootShell:
		return true
	}
	return false
}

// leave begins to look for a sign of life of a machine that has left. Where the session asks for one, the part is not
// done before it came; the node is free meanwhile, for it is out of the agent's hands. It reports whether that is so.
func (r *run) leave(s *Session, p *doc.Part) bool {
	if !s.StartsDisks() {
		return false
	}
	p.Life = &doc.Life{Since: r.now}
	if s.expects() == 0 {
		return false
	}
	p.State = doc.Starting
	r.do(SavePart{s.ID, p.Node})
	r.log("node has left; a sign of life is waited for", "session", s.ID, "node", p.Node, "for", s.expects())
	if n := r.nodes[p.Node]; n != nil && n.Session == s.ID {
		r.free(s, n, p)
	}
	return true
}

// Awaited is the part of which a sign of life of the node counts now, nil for none.
func (st *State) Awaited(node string, now time.Time) (*Session, *doc.Part) {
	n := st.nodes[node]
	if n == nil || n.Session != "" {
		return nil, nil
	}
	s := st.sessions[n.Last]
	if s == nil {
		return nil, nil
	}
	p := s.Parts[node]
	if p == nil || p.Life == nil || p.Life.Sign != "" || p.State != doc.Done && p.State != doc.Starting ||
		now.Sub(p.Life.Since) > max(LifeWindow, s.expects()) {
		return nil, nil
	}
	return s, p
}

func (in Lives) step(r *run) {
	s, p := r.Awaited(in.Node, r.now)
	if s == nil || !r.Settled(in.Node, r.now) {
		return
	}
	p.Life = &doc.Life{Since: p.Life.Since, Sign: in.Sign, Time: r.now}
	r.log("sign of life", "session", s.ID, "node", p.Node, "sign", in.Sign)
	if p.State == doc.Starting {
		r.endStarting(s, p, doc.Done, "")
		return
	}
	r.do(SavePart{s.ID, p.Node})
}

// endStarting ends a part that waited for a sign of life.
func (r *run) endStarting(s *Session, p *doc.Part, state, reason string) {
	p.State, p.Reason = state, reason
	r.log("node is over with its part", "session", s.ID, "node", p.Node, "state", state, "reason", reason)
	r.left(s, p)
	r.account(s, p)
	r.do(SavePart{s.ID, p.Node})
	r.maybeEnd(s)
}

// lifeless fails a part whose machine gave no sign of life for as long as the session asks.
func (r *run) lifeless(s *Session, p *doc.Part) {
	if r.now.Sub(p.Life.Since) < s.expects() {
		return
	}
	r.endStarting(s, p, doc.Failed, fmt.Sprintf("no sign of life within %v after the machine left to start its disk: "+
		"no DHCP request of its system, no SSH at its address. The image is on the disk; look at the machine's "+
		"console: it may not start, or its system may have no network", s.expects()))
}

func (in ClockSet) step(r *run) {
	move := func(t *time.Time) {
		if !t.IsZero() {
			*t = t.Add(in.By)
		}
	}
	move(&r.began)
	for _, id := range r.order {
		s := r.sessions[id]
		if s.Over() {
			continue
		}
		for _, t := range []*time.Time{&s.Created, &s.Started, &s.waited, &s.Store.Since} {
			move(t)
		}
		for _, h := range s.Hooks {
			s.setHook(h.When, func(h *doc.HookRun) { move(&h.Since); move(&h.Time) })
		}
		for _, node := range s.Order {
			p := s.Parts[node]
			move(&p.Joined)
			move(&p.Heard)
			move(&p.Planned)
			if p.Life != nil {
				l := *p.Life
				move(&l.Since)
				move(&l.Time)
				p.Life = &l
			}
			if p.Power != nil {
				w := *p.Power
				move(&w.Since)
				move(&w.Time)
				p.Power = &w
			}
			steps := make(map[string]doc.Mark, len(p.Steps))
			for step, m := range p.Steps {
				move(&m.Time)
				steps[step] = m
			}
			p.Steps = steps
			boots := make([]doc.Mark, 0, len(p.Reboots))
			for _, m := range p.Reboots {
				move(&m.Time)
				boots = append(boots, m)
			}
			p.Reboots = boots
			r.do(SavePart{s.ID, node})
		}
		r.do(SaveSession{s.ID})
	}
	for _, n := range r.nodes {
		move(&n.Heard)
		move(&n.Rival)
	}
}
