package engine

import (
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/waiting"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
)

// waits is the one thing that a session waits for, and the command that ends that; empty when it waits for nothing.
func (e *Engine) waits(s *sess) string {
	if f := e.sessionWaits(s); f != nil {
		return f.Words()
	}
	return ""
}

// sessionWaits is waits before it is put into words; nil when it waits for nothing.
func (e *Engine) sessionWaits(s *sess) *waiting.For {
	now, there, need := e.now(), s.Joined(), s.Need()
	if s.Over() {
		return nil
	}
	if f := e.hookFor(s); f != nil {
		return f
	}
	if s.Going() {
		missing := e.missing(s)
		if len(missing) == 0 || s.Working() {
			return nil
		}
		return &waiting.For{Cause: waiting.Stragglers, Session: s.ID, There: len(missing), Need: len(s.Parts),
			Names: e.firstNames(missing)}
	}
	place, casting := e.jobs.Turn(s, now)
	switch {
	case s.Early(now):
		return &waiting.For{Cause: waiting.StartTime, Session: s.ID, At: s.Spec.At, There: there}
	case e.jobs.Due(s, now) && place > 0:
		return &waiting.For{Cause: waiting.Turn, Session: s.ID, Place: place, Names: strings.Join(casting, ", "),
			AtOnce: e.cfg.MaxCasts}
	case e.jobs.Due(s, now):
		return nil
	case there == 0:
		if f := e.busyFor(s); f != nil && s.BeingSwitched() == 0 {
			return f
		}
		if f := e.allNever(e.missing(s)); f != nil {
			return f
		}
		return &waiting.For{Cause: waiting.FirstNodes, Session: s.ID, Need: need, Switching: s.BeingSwitched()}
	}
	f := &waiting.For{Cause: waiting.MoreNodes, Session: s.ID, There: there, Need: need}
	if missing := e.missing(s); len(missing) > 0 {
		f.Names = e.firstNames(missing)
	}
	return f
}

// allNever says that this server boots none of the nodes for any session, by the first of them; nil when it boots one.
func (e *Engine) allNever(nodes []string) (first *waiting.For) {
	for _, id := range nodes {
		f := e.neverFor(id)
		if f == nil {
			return nil
		}
		if first == nil {
			first = f
		}
	}
	return first
}

// missing are the named nodes that did not come.
func (e *Engine) missing(s *sess) []string {
	var out []string
	for _, id := range s.Order {
		if p := s.Parts[id]; p.Joined.IsZero() && !p.Over() {
			out = append(out, id)
		}
	}
	return out
}

// partWaits says what a part that waits waits for.
func (e *Engine) partWaits(s *sess, p *doc.Part) string {
	if f := e.partFor(s, p); f != nil {
		return "for " + f.Words()
	}
	return ""
}

// partFor is partWaits before it is put into words; nil when the part waits for nothing.
func (e *Engine) partFor(s *sess, p *doc.Part) *waiting.For {
	if s.Over() || p.Over() {
		return nil
	}
	n := e.nodes[p.Node]
	if n != nil && n.Boot != "" {
		if f := e.unapprovedFor(n); f != nil {
			return f
		}
	}
	if p.State != doc.Waiting {
		return nil
	}
	if !p.Joined.IsZero() {
		// Not what the session itself waits for: that would be worked out, and told, anew for each of its nodes.
		return &waiting.For{Cause: waiting.Start, Session: s.ID}
	}
	if f := e.neverFor(p.Node); f != nil {
		return f
	}
	if f := e.powerFor(p); f != nil && e.jobs.Spared(s.ID, p.Node, e.now()) == "" {
		return f
	}
	if n == nil {
		if e.seenEver(p.Node) {
			return &waiting.For{Cause: waiting.Power, Machine: e.title(p.Node)}
		}
		return &waiting.For{Cause: waiting.Unknown}
	}
	if o := e.current(n); o != nil && o != s {
		return &waiting.For{Cause: waiting.OtherSession, Session: o.ID, State: o.State}
	}
	if f := e.awayFor(n); f != nil {
		return f
	}
	return &waiting.For{Cause: waiting.NextWord, Machine: e.title(n.ID)}
}

// awayFor is where a machine is whose agent is not there; nil when it is.
func (e *Engine) awayFor(n *node) *waiting.For {
	name := e.title(n.ID)
	switch e.whereabouts(n) {
	case doc.Booting:
		if n.Problem != "" {
			return &waiting.For{Cause: waiting.Stuck, Machine: name, Why: n.Problem}
		}
		return &waiting.For{Cause: waiting.BootFiles, Machine: name}
	case doc.Left:
		return &waiting.For{Cause: waiting.OwnDisk, Machine: name}
	case doc.Silent:
		return &waiting.For{Cause: waiting.Silence, Machine: name}
	}
	return nil
}

// title is what to call a node to the operator.
func (e *Engine) title(id string) string {
	if m := e.machineFor(id); m != nil {
		return m.Title()
	}
	return id
}

// machineWaits is the one thing that a machine waits for; empty when it waits for nothing: it works, runs its own
// system, or is switched off and nobody wants it.
func (e *Engine) machineWaits(m *fleet.Machine) string {
	if n, err := e.nodeOf(m); err == nil {
		return e.nodeWaits(n)
	}
	for _, mac := range m.Boots {
		if f := e.wantedFor(nameOf(mac)); f != nil {
			return f.Words()
		}
	}
	if f := e.wantedFor(m.ID); f != nil {
		return f.Words()
	}
	return ""
}

// nodeWaits is machineWaits of a node.
func (e *Engine) nodeWaits(n *node) string {
	if f := e.idleFor(n); f != nil {
		return f.Words()
	}
	return ""
}

// idleFor is nodeWaits before it is put into words; nil when the node waits for nothing.
func (e *Engine) idleFor(n *node) *waiting.For {
	away := e.awayFor(n)
	if away == nil && n.Boot != "" {
		if f := e.unapprovedFor(n); f != nil {
			return f
		}
	}
	if s := e.current(n); s != nil {
		p := s.Parts[n.ID]
		switch {
		case p == nil:
			return nil
		case p.State == doc.Waiting:
			return e.partFor(s, p)
		case away != nil && away.Cause == waiting.Silence:
			return away
		}
		return nil
	}
	if f := e.wantedFor(n.ID); f != nil {
		return f
	}
	switch {
	case away != nil && (away.Cause == waiting.BootFiles || away.Cause == waiting.Stuck):
		return away
	case away != nil:
		return nil
	}
	if f := e.againFor(n); f != nil {
		return f
	}
	return &waiting.For{Cause: waiting.Work, Machine: e.title(n.ID)}
}

// wantedFor is what the node's part in a session that is not over waits for, of the oldest that has one for it.
func (e *Engine) wantedFor(id string) *waiting.For {
	for _, sid := range e.jobs.Order() {
		s := e.jobs.Session(sid)
		if p := s.Parts[id]; p != nil && !s.Over() {
			if f := e.partFor(s, p); f != nil {
				return f
			}
		}
	}
	return nil
}

// againFor is said of a node whose last part did not end well: it is free, and nothing will happen by itself.
func (e *Engine) againFor(n *node) *waiting.For {
	s := e.jobs.Session(n.Last)
	if s == nil || !s.Over() || len(e.retries(s.ID)) > 0 {
		return nil
	}
	p := s.Parts[n.ID]
	if p == nil || p.State != doc.Failed {
		return nil
	}
	return &waiting.For{Cause: waiting.Again, Machine: e.title(n.ID), Session: s.ID, Why: "failed: " + p.Reason,
		Secret: hasSecrets(&s.Spec)}
}

// seenEver reports whether anything was ever seen or entered of a machine with the node's address.
func (e *Engine) seenEver(id string) bool {
	return e.nodes[id] != nil || e.fleet.Get(id) != nil || len(e.fleet.Booted(macOf(id))) > 0
}

// Bounds on what is said of nodes that were never seen.
const (
	maxUnseen = 3 // whose nearest are looked for
	macSlip   = 2 // letters in which a mistyped address differs
)

// neverSeen says which nodes of a session that are waited for were never seen, and which known ones have an address
// that is nearly the same: for a machine that is still to come all is well, and a slip of the hand waits for ever.
func (e *Engine) neverSeen(s *sess) []string {
	var unseen []string
	for _, id := range e.missing(s) {
		if !e.seenEver(id) {
			unseen = append(unseen, id)
		}
	}
	if len(unseen) == 0 {
		return nil
	}
	out := fmt.Sprintf("%d of its nodes were never seen by this server, and are waited for: %s", len(unseen),
		e.firstNames(unseen))
	if len(unseen) == 1 {
		out = fmt.Sprintf("Node %s was never seen by this server, and is waited for", unseen[0])
	}
	known := e.knownBut(s)
	out += "."
	for _, id := range unseen[:min(len(unseen), maxUnseen)] {
		if near := nearest.Within(id, known, macSlip, 3); len(near) > 0 {
			out += fmt.Sprintf(" Nearly %s is: %s.", id, e.firstNames(near))
		}
	}
	return []string{out + fmt.Sprintf(" If they are machines to come, all is well; if not, `diskcast session cancel "+
		"%s`.",
		s.ID)}
}

// knownBut are the addresses of nodes and machines that have no part in the session.
func (e *Engine) knownBut(s *sess) []string {
	var known []string
	for id := range e.nodes {
		if s.Parts[id] == nil {
			known = append(known, id)
		}
	}
	for _, m := range e.fleet.All() {
		for _, mac := range m.Boots {
			if id := nameOf(mac); s.Parts[id] == nil {
				known = append(known, id)
			}
		}
	}
	return known
}
