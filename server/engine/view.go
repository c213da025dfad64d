package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// presence is how long after its last word an agent counts as being there.
const presence = jobs.Presence

func castView(p *session.Cast) *doc.Cast {
	if p == nil {
		return nil
	}
	return &doc.Cast{ID: p.ID, Group: p.Group.String(), Feedback: p.Feedback.String()}
}

// view copies a session for showing.
func (e *Engine) view(s *sess, parts bool) *doc.Session {
	v := s.Session
	v.Spec.Nodes = slices.Clone(v.Spec.Nodes)
	v.Cast = e.castOf(s, 0, s.Session.Cast)
	v.MoreDisks = slices.Clone(s.MoreDisks)
	for i := range v.MoreDisks {
		v.MoreDisks[i].Cast = e.castOf(s, i+1, s.MoreDisks[i].Cast)
	}
	v.Warnings, v.Waits, v.RetriedBy = e.warnings(s), e.waits(s), e.retries(s.ID)
	v.State = stateOf(s)
	v.ETA, v.Reason = e.eta(s), e.withNames(s, s.Reason)
	v.Unbootable = len(s.Unbootable())
	v.Parts = nil
	if parts {
		v.Parts, v.Warnings = []doc.Part{}, append(e.neverSeen(s), v.Warnings...)
		for _, id := range s.Order {
			v.Parts = append(v.Parts, e.partView(s, s.Parts[id]))
		}
	}
	return &v
}

// withNames puts machines' names into words, in the place of their nodes'.
func (e *Engine) withNames(s *sess, words string) string {
	if words == "" {
		return ""
	}
	var pairs []string
	for _, id := range s.Order {
		if m := e.machineFor(id); m != nil && m.Name != "" {
			pairs = append(pairs, id, m.Name)
		}
	}
	return strings.NewReplacer(pairs...).Replace(words)
}

// castOf is what is shown of the cast for a disk: as it is now, or what it came to.
func (e *Engine) castOf(s *sess, disk int, ended *doc.Cast) *doc.Cast {
	v := castView(s.SendingOf(disk).Params)
	if r := e.runs[s.ID]; r != nil && r.casts[disk] != nil {
		v.Stats = e.known(s, r.casts[disk].Stats())
		return v
	}
	if ended != nil {
		return ended
	}
	return v
}

// known keeps a receiver of the cast from passing for another node: a label is what anybody who has the key says, and
// counts only from that node's address.
func (e *Engine) known(s *sess, st doc.CastStats) doc.CastStats {
	st.Receivers = slices.Clone(st.Receivers)
	for i := range st.Receivers {
		r := &st.Receivers[i]
		if n := e.nodes[r.Node]; n == nil || s.Parts[r.Node] == nil || n.Addr != r.Addr {
			r.Node = fmt.Sprintf("%s, which says that it is %q", r.Addr, r.Node)
		}
	}
	return st
}

func (e *Engine) partView(s *sess, p *doc.Part) doc.Part {
	v := *p
	if m := e.machineFor(p.Node); m != nil {
		v.Name = m.Name
	}
	v.Waits, v.Alive = e.partWaits(s, p), e.lifeWords(s, p)
	e.paced(&v)
	e.afresh(s, &v)
	v.Steps = cloneMarks(p.Steps)
	if p.Handed != nil {
		h := *p.Handed
		h.Boot = bootMark(h.Boot)
		v.Handed = &h
	}
	v.Reboots, v.MoreDisks = slices.Clone(p.Reboots), slices.Clone(p.MoreDisks)
	return v
}

func cloneMarks(m map[string]doc.Mark) map[string]doc.Mark {
	out := make(map[string]doc.Mark, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// Sessions returns all sessions, oldest first.
func (e *Engine) Sessions() []*doc.Session { return e.Within("").Sessions() }

// Session returns one session.
func (e *Engine) Session(id string) (*doc.Session, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.jobs.Session(id)
	if s == nil {
		return nil, e.noSession(id)
	}
	return e.view(s, true), nil
}

// Nodes returns all nodes, by name.
func (e *Engine) Nodes() []doc.Node { return e.Within("").Nodes() }

// Node returns one node by name or by the MAC address of any of its NICs.
func (e *Engine) Node(name string) (*doc.Node, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := e.find(name)
	if err != nil {
		return nil, err
	}
	v := e.nodeView(n)
	return &v, nil
}

// find looks a node up by its name, by the MAC address of any of its NICs, or by the machine that it is a sighting of.
// The caller holds the lock.
func (e *Engine) find(name string) (*node, error) {
	if m := e.fleet.Find(name); m != nil {
		return e.nodeOf(m)
	}
	return e.findNode(name)
}

func (e *Engine) findNode(name string) (*node, error) {
	id, err := doc.NodeID(name)
	if err != nil {
		return nil, refuse("no machine has the name or the id %.40q, and it is no MAC address such as "+
			"52:54:00:12:34:56 "+
			"(`diskcast node list` lists them)%s", name, nearest.Hint(name, e.machineNames()))
	}
	n := e.nodes[id]
	if n == nil {
		n = e.nodes[e.byMAC[strings.ReplaceAll(id, "-", ":")]]
	}
	if n == nil {
		return nil, fmt.Errorf("node %s: %w%s", id, ErrNotFound, nearest.Hint(id, slices.Collect(maps.Keys(e.nodes))))
	}
	return n, nil
}

func (e *Engine) nodeView(n *node) doc.Node {
	v := n.Node
	v.MACs = slices.Clone(n.MACs)
	v.Trace = cloneMarks(n.Trace)
	v.Warnings = n.oddWords()
	if m := e.fleet.Of(n.ID); m != nil {
		v.Machine, v.Name = m.ID, m.Name
	}
	v.Where, v.Waits = e.whereabouts(n), e.nodeWaits(n)
	return v
}

// whereabouts is where a node is now: an agent that is not heard any more is silent.
func (e *Engine) whereabouts(n *node) string {
	if n.Where == doc.Ready && e.now().Sub(n.LastSeen) > presence {
		return doc.Silent
	}
	return n.Where
}

// stateOf is what is shown as the session's state: one whose machines have all but to leave their shells casts nothing.
func stateOf(s *sess) string {
	if s.Going() && s.GivesShell() && !s.Sends() && len(s.Order) > 0 {
		return doc.Open
	}
	return s.State
}

// afresh takes out of the view of a part what its machine said before it restarted, and says so at once: whether the
// part begins anew, or is done, is known when its agent speaks or the boot before has been silent for a while.
func (e *Engine) afresh(s *sess, v *doc.Part) {
	n := e.nodes[v.Node]
	if n == nil || e.current(n) != s || v.State != doc.Running {
		return
	}
	switch {
	case e.claimed(n):
		v.Waits = "for its other boots to be silent for " + jobs.Quiet.String() + ": it has all and was told to " +
			"start, or started, what is on its disk"
	case n.Where == doc.Booting || n.Where == doc.Left:
		v.Waits = "for its agent: the machine has restarted"
	default:
		return
	}
	v.Shell, v.Phase, v.Rate, v.ETA = nil, "", 0, 0
	if s.Spec.Kind == rescue.Action {
		v.Result = nil
	}
}
