package jobs

import (
	"slices"

	"github.com/diskcast/diskcast/server/doc"
)

// Outside says, in words, that the machine of a part is none of those any more that the session was made within. A part
// that was told nothing yet leaves the session; one that was may have written, and goes on.
type Outside struct{ Session, Node, Words string }

func (in Outside) step(r *run) {
	s := r.sessions[in.Session]
	if s == nil || s.Over() || s.Parts[in.Node] == nil || s.Parts[in.Node].Over() {
		return
	}
	p, n := s.Parts[in.Node], r.nodes[in.Node]
	if !Untold(p) {
		p.Identity = Also(p.Identity, in.Words)
		r.do(SavePart{s.ID, in.Node})
		r.do(Show{Session: s.ID})
		return
	}
	r.log("a machine leaves a session", "session", s.ID, "node", in.Node, "why", in.Words)
	if len(s.Order) == 1 {
		r.end(s, doc.Cancelled, in.Words)
		return
	}
	if r.switching(s.ID, in.Node) {
		r.do(NoSwitch{s.ID, in.Node})
	}
	s.remove(in.Node)
	s.Spec.Nodes = slices.DeleteFunc(slices.Clone(s.Spec.Nodes), func(id string) bool { return id == in.Node })
	s.Spec.MinNodes = min(s.Spec.MinNodes, len(s.Order)) // more cannot come
	r.do(SavePart{s.ID, in.Node})
	r.do(SaveSession{s.ID})
	if n != nil && n.Session == s.ID {
		n.Session = ""
		r.do(Withdraw{in.Node})
		r.do(SaveNode{in.Node})
		if n.Here {
			r.join(n)
		}
	}
	r.do(Show{Session: s.ID})
	r.advance(s, Trouble{})
}

// Untold reports whether a part's machine was given nothing to do yet, so that nothing of it is written.
func Untold(p *doc.Part) bool {
	return p.State == doc.Waiting && p.Disk == nil && len(p.MoreDisks) == 0 && p.Step == "" && p.Planned.IsZero()
}
