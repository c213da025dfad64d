package jobs

import (
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

func (in Resumed) step(r *run) {
	for _, id := range r.order {
		s := r.sessions[id]
		s.Starts = in.Starts[id]
		r.askAgain(s)
		r.hookAgain(s)
		r.settle(s)
	}
	var free []*Node
	for _, n := range r.sorted() {
		if r.reconcile(n) && n.Here {
			free = append(free, n)
		}
	}
	for _, id := range r.order {
		s := r.sessions[id]
		if s.Over() {
			r.dropUpload(s)
			continue
		}
		r.hold(s)
		if s.Going() {
			r.log("session goes on", "session", s.ID, "image", s.Image.Name)
			r.startCast(s)
		}
	}
	for _, n := range free {
		r.join(n)
	}
}

// settle brings a session and its parts together, of which a shell that was killed had stored the one and not the
// other.
func (r *run) settle(s *Session) {
	for _, id := range s.Order {
		switch p := s.Parts[id]; {
		case p.Over():
		case s.Over():
			p.State, p.Reason = s.State, s.Reason
			r.left(s, p)
			r.account(s, p)
			r.endPower(s, p)
			r.do(SavePart{s.ID, id})
		case s.State == doc.Waiting && p.State != doc.Waiting:
			p.State = doc.Waiting
			r.unjoin(s, p)
			r.do(SavePart{s.ID, id})
		case p.State == doc.Waiting && r.unjoin(s, p):
			r.do(SavePart{s.ID, id})
		}
	}
}

// unjoin makes a part that waits one that nobody joined, where its node is not known to be of the session.
func (r *run) unjoin(s *Session, p *doc.Part) bool {
	if n := r.nodes[p.Node]; p.Joined.IsZero() || n != nil && n.Session == s.ID {
		return false
	}
	p.Joined = time.Time{}
	return true
}

// reconcile does for a node what a shell that was killed had not come to. It reports whether the node is free, against
// what was stored.
func (r *run) reconcile(n *Node) (free bool) {
	s := r.Current(n.ID)
	if s != nil && !s.Parts[n.ID].Joined.IsZero() {
		switch p := s.Parts[n.ID]; {
		case s.Going() && p.State == doc.Waiting:
			r.offer(s, n, p)
		case r.Told(n.ID):
			r.do(Give{n.ID})
		default:
			r.do(Withdraw{n.ID})
		}
		return false
	}
	r.do(Withdraw{n.ID})
	if n.Session == "" {
		return false
	}
	if over := r.sessions[n.Session]; s == nil && over != nil && over.Parts[n.ID] != nil {
		n.Last = over.ID
		state := over.Parts[n.ID].State
		if !over.Kind.Traits().Keeps && (state == doc.Done || state == doc.Starting) {
			n.Imaged = over.Kind.Traits().Boots
		}
	}
	n.Session, n.Claim = "", nil
	r.do(SaveNode{n.ID})
	return true
}
