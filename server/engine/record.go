package engine

import (
	"github.com/diskcast/diskcast/server/jobs"
	"github.com/diskcast/diskcast/server/store/record"
)

// What is in memory becomes records here, and comes back from them.

func (n *node) record() *record.Node {
	r := record.OfNode(&n.Node, n.Descriptor)
	r.Boot, r.Serial, r.First, r.Odd, r.Booted, r.Worked = n.Boot, n.Serial, record.DMI(n.First), n.Odd, n.Booted,
		n.Worked
	r.Chosen = n.Chosen
	for _, v := range n.Rivals {
		r.Rivals = append(r.Rivals,
			record.Rival{Boot: v.Boot, Addr: v.Addr, Heard: v.Heard, Seen: record.Window(v.Seen), Session: v.Session,
				Step: v.Step, Steps: record.OfMarks(v.Steps)})
	}
	if n.Claim != nil {
		c := record.Claim(*n.Claim)
		r.Claim = &c
	}
	return r
}

func nodeOf(r *record.Node) *node {
	n := &node{first: 1, next: 1}
	n.Node, n.Descriptor = r.Node(), r.Told()
	n.Boot, n.Serial, n.First, n.Odd, n.Booted, n.Worked = r.Boot, r.Serial, dmi(r.First), r.Odd, r.Booted, r.Worked
	n.Chosen = r.Chosen
	for _, v := range r.Rivals {
		n.Rivals = append(n.Rivals,
			rival{Boot: v.Boot, Addr: v.Addr, Heard: v.Heard, Seen: window(v.Seen), Session: v.Session,
				Step: v.Step, Steps: record.Marks(v.Steps)})
	}
	if r.Claim != nil {
		c := jobs.Claim(*r.Claim)
		n.Claim = &c
	}
	return n
}

func recordOf(s *sess) *record.Session {
	box := s.Sealed
	if s.Over() {
		box = nil // nobody may be given it any more
	}
	r := record.OfSession(&s.Session, s.Params, s.Secret, box, s.Upload)
	r.Asked, r.Alike = s.Asked, s.Alike
	for _, x := range s.More {
		r.More = append(r.More, record.OfSending(x.Params, x.Secret))
	}
	return r
}

// saveSeen stores which event numbers of the node's boot were seen.
func (e *Engine) saveSeen(n *node) {
	e.w.Put(record.SeenPrefix+n.ID, record.Seen{Boot: n.Boot, Window: record.Window(n.seen)})
}
