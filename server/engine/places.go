package engine

import "slices"

// A session of the first so many nodes keeps a place for each. Who holds one and has not chosen a disk has written nothing, and loses it to the
// next machine when it is not there any more, or is a stranger and the other one booted from this server: names cost nothing.

// vacancy is the part whose place the node may take, empty for none.
func (e *Engine) vacancy(s *sess, n *node) string {
	if s.Spec.Count == 0 {
		return ""
	}
	for _, id := range s.order {
		p, holder := s.parts[id], e.nodes[id]
		switch {
		case id == n.ID || p.Over() || p.Disk != nil || p.Step != "":
		case holder == nil, e.now().Sub(later(holder.LastSeen, e.began)) >= presence, n.Booted && !holder.Booted && !holder.Worked:
			return id
		}
	}
	return ""
}

// displace takes a place from a node that has done nothing with it.
func (e *Engine) displace(s *sess, id, by string) {
	delete(s.parts, id)
	s.order = slices.DeleteFunc(s.order, func(x string) bool { return x == id })
	e.w.del(partPrefix + s.ID + "/" + id)
	e.log.Info("a place in a session goes to another machine", "session", s.ID, "from", id, "to", by)
	if n := e.nodes[id]; n != nil && n.Session == s.ID {
		n.Session = ""
		e.idle(n)
		e.saveNode(n)
	}
	e.touchSession(s)
}
