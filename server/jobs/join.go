package jobs

import (
	"slices"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
)

// sorted is all nodes, by name.
func (r *run) sorted() []*Node {
	out := make([]*Node, 0, len(r.nodes))
	for _, n := range r.nodes {
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *Node) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// wants reports whether the session would take the node.
func (r *run) wants(s *Session, n *Node) bool {
	if s.Over() || n.Unapproved != "" {
		return false
	}
	if p := s.Parts[n.ID]; p != nil {
		return p.State == doc.Waiting || p.State == doc.Absent || unreached(p)
	}
	return s.Spec.All || len(s.Parts) < s.Spec.Count || r.vacancy(s, n) != ""
}

// join gives a present node to the first session that names it, else to the first that wants it.
func (r *run) join(n *Node) {
	if r.Current(n.ID) != nil {
		return
	}
	var found *Session
	for _, id := range r.order {
		s := r.sessions[id]
		if !r.wants(s, n) {
			continue
		}
		if named := s.Parts[n.ID] != nil; found == nil || (named && found.Parts[n.ID] == nil) {
			found = s
		}
	}
	if found == nil {
		return
	}
	s, p := found, found.Parts[n.ID]
	if p == nil {
		if s.Spec.Count > 0 && len(s.Parts) >= s.Spec.Count {
			r.displace(s, r.vacancy(s, n), n.ID)
		}
		p = &doc.Part{Session: s.ID, Node: n.ID}
		s.Add(p)
	}
	p.State, p.Reason, p.Left, p.Joined, p.Heard = doc.Waiting, "", "", r.now, r.now
	n.Session, n.Claim = s.ID, nil
	r.settlePower(s, p, doc.Done, "the machine came before all of that was known")
	for _, w := range n.Odd {
		p.Identity = Also(p.Identity, w)
	}
	p.Steps, p.Unbootable = n.trace(), s.Foreseen(n.Firmware)
	r.do(SavePart{s.ID, n.ID})
	r.do(SaveNode{n.ID})
	if s.Going() {
		r.offer(s, n, p)
	} else {
		r.advance(s, Trouble{})
	}
}

// trace is the node's way to the agent, for a part that begins.
func (n *Node) trace() map[string]doc.Mark {
	steps := make(map[string]doc.Mark, len(n.Trace))
	for _, s := range n.Trace {
		steps[s.Name] = s.Mark
	}
	return steps
}

// A session of the first so many nodes keeps a place for each. Who holds one, has not chosen a disk and never ended
// with a receipt has written nothing, and loses it to the next machine when it is not there any more, or is a stranger
// and the other one booted from this server: names cost nothing.

// vacancy is the part whose place the node may take, empty for none.
func (r *run) vacancy(s *Session, n *Node) string {
	if s.Spec.Count == 0 {
		return ""
	}
	for _, id := range s.Order {
		p, holder := s.Parts[id], r.nodes[id]
		switch {
		case id == n.ID || p.Over() || p.Disk != nil || len(p.MoreDisks) > 0 || p.Step != "" ||
			!p.Planned.IsZero() || p.Receipts > 0:
		case holder == nil, r.now.Sub(later(holder.Heard, r.began)) >= Presence,
			n.Booted && !holder.Booted && !holder.Worked:
			return id
		}
	}
	return ""
}

// displace takes a place from a node that has done nothing with it.
func (r *run) displace(s *Session, id, by string) {
	s.remove(id)
	r.do(SavePart{s.ID, id})
	r.log("a place in a session goes to another machine", "session", s.ID, "from", id, "to", by)
	if n := r.nodes[id]; n != nil && n.Session == s.ID {
		n.Session = ""
		r.do(Withdraw{id})
		r.do(SaveNode{id})
	}
	r.do(Show{Session: s.ID})
}

func (in Renamed) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.Over() || s.Parts[in.From] == nil || s.Parts[in.To] != nil || !s.Parts[in.From].Joined.IsZero() {
		return
	}
	p := s.Parts[in.From]
	delete(s.Parts, in.From)
	s.Order[slices.Index(s.Order, in.From)] = in.To
	p.Node = in.To
	s.Parts[in.To] = p
	r.do(SavePart{s.ID, in.From})
	r.do(SavePart{s.ID, in.To})
	if r.switching(s.ID, in.To) {
		r.do(NoSwitch{s.ID, in.From})
		r.do(Switch{s.ID, in.To})
	}
}

// prune forgets the oldest sessions that are over.
func (r *run) prune() {
	over := 0
	for _, id := range r.order {
		if r.sessions[id].Over() {
			over++
		}
	}
	r.order = slices.DeleteFunc(r.order, func(id string) bool {
		s := r.sessions[id]
		if over < MaxHistory || !s.MayRemove() {
			return false
		}
		over--
		r.do(Prune{id, slices.Clone(s.Order)})
		delete(r.sessions, id)
		return true
	})
}
