package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/waiting"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/feed"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/fleet/book"
	"github.com/diskcast/diskcast/server/jobs"
)

// Which nodes sessions may take. The operator approves machines, and the store has that; a rule approves a node by what
// it says now, and nothing of that is kept. So no hello approves anything that was not approved before.

// approvedBy is whose word it is that sessions may take the node; or why they may not, with why not empty.
func (e *Engine) approvedBy(n *node) (by, why string) {
	if why := e.impostor(n); why != "" {
		return "", why
	}
	if e.cfg.Approve == doc.ApproveAll {
		return "every machine is (--approve all)", ""
	}
	m := e.fleet.Of(n.ID)
	if m == nil {
		return "", "nobody can tell which machine it is"
	}
	mac := n.MACs[0]
	if why = m.Unapproved(mac, fleet.BoardOf(n.Inventory.UUID, n.Inventory.Serial)); why == "" {
		return "by hand at " + m.Approval.At.UTC().Format("2006-01-02 15:04"), ""
	}
	if e.cfg.Approve == doc.ApproveRules && !m.Refused {
		if rule := e.book.Fits(claimOf(mac, n)); rule != "" {
			return "by the rule " + rule, ""
		}
		if m.Approval == nil {
			why = "no rule fits it, and nobody approved it by hand"
		}
	}
	return "", why
}

// claimOf is what rules are asked about: who boots from the NIC, and what the node said at its last hello, if it ever
// did.
func claimOf(mac string, n *node) book.Claim {
	addr, _ := netip.ParseAddr(n.Addr)
	inv := &n.Inventory
	return book.Claim{Vendor: inv.Vendor, Product: inv.Product, Serial: inv.Serial, MAC: mac, Addr: addr,
		Port: portOf(n), Relay: n.Relay}
}

// unapproved says why sessions may not take the machine as it was seen last; empty when they may.
func (e *Engine) unapproved(m *fleet.Machine) string {
	_, why := e.approval(m)
	return why
}

// approval is approvedBy of a machine.
func (e *Engine) approval(m *fleet.Machine) (by, why string) {
	n, err := e.nodeOf(m)
	switch {
	case err == nil && n.Boot != "":
		return e.approvedBy(n)
	case e.cfg.Approve == doc.ApproveAll:
		return "every machine is (--approve all)", ""
	case m.Approval != nil:
		return "by hand at " + m.Approval.At.UTC().Format("2006-01-02 15:04"), ""
	case m.Refused:
		return "", "its approval was taken away"
	case e.cfg.Approve == doc.ApproveRules:
		return "", "nobody approved it by hand, and whether a rule fits is seen when it comes"
	}
	return "", "it was not approved"
}

// unapprovedFor is said to a node that is not approved, and to the operator of it; nil when it is.
func (e *Engine) unapprovedFor(n *node) *waiting.For {
	_, why := e.approvedBy(n)
	if why == "" {
		return nil
	}
	return &waiting.For{Cause: waiting.Approval, Machine: e.title(n.ID), Why: why}
}

// waitWords are unapprovedFor as a sentence; empty when the node is approved.
func (e *Engine) waitWords(n *node) string {
	if f := e.unapprovedFor(n); f != nil {
		return "this machine waits for " + f.Words()
	}
	return ""
}

// consoleWords are what a node that has nothing to do says on its console: those of idleFor for one that
// sessions may not take, for one whose session has not started, and for one whose last part failed.
func (e *Engine) consoleWords(n *node) string {
	if f := e.unapprovedFor(n); f != nil {
		return f.Words()
	}
	if s := e.current(n); s != nil && s.State == doc.Waiting {
		return (&waiting.For{Cause: waiting.Start, Session: s.ID}).Words()
	} else if s == nil && e.idles(n) {
		if f := e.againFor(n); f != nil {
			return f.Words()
		}
	}
	return ""
}

// tellWaiting has the node say on its console what it waits for, when that has changed. One that works is left alone.
func (e *Engine) tellWaiting(n *node) {
	if n.Boot == "" || e.jobs.Told(n.ID) || e.current(n) != nil && n.Descriptor != nil && !e.idles(n) {
		return
	}
	d, said := e.idleDescriptor(n), &session.Descriptor{}
	if n.Descriptor != nil {
		said = n.Descriptor
	}
	if d.Why != said.Why || menuID(d.Menu) != menuID(said.Menu) {
		e.describe(n, d)
	}
}

// waitersAtOnce bounds the nodes that one tick looks at: 10,000 at once would hold all requests up for a while.
const waitersAtOnce = 1000

// tellAllWaiting is tellWaiting of nodes that are there and may have something else to say, some at each tick. What is
// changed by somebody tells them itself; this is for what time alone changes.
func (e *Engine) tellAllWaiting() {
	if len(e.waiters) == 0 {
		e.waiters = slices.Collect(maps.Keys(e.nodes))
	}
	part := e.waiters[:min(waitersAtOnce, len(e.waiters))]
	e.waiters = e.waiters[len(part):]
	for _, id := range part {
		n := e.nodes[id]
		if n != nil && n.Where == doc.Ready && (e.current(n) != nil || e.idles(n)) {
			e.tellWaiting(n)
		}
	}
}

// idles reports whether the node is told that there is nothing to do.
func (e *Engine) idles(n *node) bool {
	return n.Descriptor != nil && n.Descriptor.Action == session.Idle
}

// approveAgain looks at all nodes again, after what was approved changed.
func (e *Engine) approveAgain() {
	for _, id := range slices.Sorted(maps.Keys(e.nodes)) {
		n := e.nodes[id]
		e.news[id] = n
		if e.waitWords(n) != "" {
			e.step(jobs.Unready{Node: id})
		} else if n.Where == doc.Ready && e.now().Sub(n.LastSeen) < presence {
			if e.current(n) != nil {
				e.step(jobs.CameBack{Node: id})
			}
			e.join(n)
		}
		e.tellWaiting(n)
	}
	for _, id := range e.jobs.Order() {
		if s := e.jobs.Session(id); !s.Over() {
			e.touchSession(s)
			for _, node := range s.Order {
				e.touchPart(s, node)
			}
		}
	}
	for _, m := range e.fleet.All() {
		e.feed.Touch(feed.Key{Machine: m.ID})
	}
}

// unapprovedHere are warnings of a session that would take nodes that are there, and are not approved.
func (e *Engine) unapprovedHere(s *sess) []string {
	if !s.Spec.All && s.Spec.Count == 0 {
		return nil
	}
	var names []string
	for _, id := range slices.Sorted(maps.Keys(e.nodes)) {
		n := e.nodes[id]
		if n.Where == doc.Ready && s.Parts[id] == nil && e.now().Sub(n.LastSeen) < presence && e.waitWords(n) != "" {
			name := id
			if m := e.fleet.Of(id); m != nil {
				name = m.Title()
			}
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d machines are here and not approved, and it takes none of them: %s. `diskcast "+
		"machine approve NAME` ends that.", len(names), few(names))}
}
