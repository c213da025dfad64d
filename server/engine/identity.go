package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// dmi is what a machine's firmware says of it.
type dmi struct {
	UUID   string
	Serial string
}

func dmiOf(inv *session.Inventory) dmi {
	return dmi{UUID: strings.ToLower(strings.TrimSpace(inv.UUID)), Serial: strings.TrimSpace(inv.Serial)}
}

func (d dmi) String() string {
	return fmt.Sprintf("UUID %s, serial %s", orNone(d.UUID), orNone(d.Serial))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// same reports whether UUID and serial are known, genuine and equal.
func (d dmi) same(o dmi) bool { return d == o && !session.Filler(d.UUID) && !session.Filler(d.Serial) }

// macsOf returns the MAC addresses of an inventory, the boot NIC's first, which must be one that a machine can have.
func macsOf(inv *session.Inventory) ([]string, error) {
	var macs []string
	for _, boot := range []bool{true, false} {
		for _, nic := range inv.NICs {
			if nic.Boot != boot {
				continue
			}
			id, err := doc.NodeID(nic.MAC)
			if err != nil && boot && len(macs) == 0 {
				return nil, refuse("the boot NIC of the hello: %w", err)
			}
			if mac := macOf(id); err == nil && !slices.Contains(macs, mac) {
				macs = append(macs, mac)
			}
		}
	}
	if len(macs) == 0 {
		return nil, refuse("hello names no NIC with a MAC address")
	}
	return macs, nil
}

func macOf(id string) string   { return strings.ReplaceAll(id, "-", ":") }
func nameOf(mac string) string { return strings.ReplaceAll(mac, ":", "-") }

// identify finds the node that says hello, or makes it. The boot NIC's MAC decides, never a second NIC's. One that
// another node has as a second NIC means that node only if both say the same genuine UUID and serial; else it goes over
// to a node of its own.
func (e *Engine) identify(macs []string, inv *session.Inventory) (*node, error) {
	boot := macs[0]
	n := e.nodes[e.byMAC[boot]]
	var lost *node
	if n != nil && n.MACs[0] != boot && !n.dmi().same(dmiOf(inv)) {
		n, lost = nil, n
	}
	if n == nil {
		id, err := e.nameFor(macs)
		if err != nil {
			return nil, err
		}
		if lost != nil {
			lost.MACs = slices.DeleteFunc(lost.MACs, func(m string) bool { return m == boot })
			e.saveNode(lost)
		}
		n = e.addNode(id, boot)
	}
	e.takeMACs(n, macs)
	if lost != nil {
		e.warn(lost, oddMAC, fmt.Sprintf("its second NIC %s is now what another machine, node %s, boots from: "+
			"a dongle or dock that changed hands, or a forged hello", boot, n.ID))
		e.warn(n, oddMAC, fmt.Sprintf("it boots from the NIC %s, which was a second NIC of another machine, node %s: "+
			"a dongle or dock that changed hands, or a forged hello", boot, lost.ID))
		e.giveNamed(n, lost)
	}
	return n, nil
}

// nameFor is the name of a new node: its boot NIC's MAC, unless a machine that has it no more is still called so.
func (e *Engine) nameFor(macs []string) (string, error) {
	for i, m := range macs {
		if owner := e.byMAC[m]; e.nodes[nameOf(m)] == nil && (i == 0 || owner == "") {
			return nameOf(m), nil
		}
	}
	return "", refuse("the machine boots from the NIC %s, and node %s, another machine that had it once, is still "+
		"called so: "+
		"`diskcast node forget %s` frees the name", macs[0], nameOf(macs[0]), nameOf(macs[0]))
}

// takeMACs gives the node those of its MAC addresses that no other node has, and takes from it those that it reports no
// more.
func (e *Engine) takeMACs(n *node, macs []string) {
	for _, m := range n.MACs {
		if !slices.Contains(macs, m) && e.byMAC[m] == n.ID {
			delete(e.byMAC, m)
		}
	}
	n.MACs = nil
	for i, m := range macs {
		if owner, taken := e.byMAC[m]; i == 0 || !taken || owner == n.ID {
			e.byMAC[m] = n.ID
			n.MACs = append(n.MACs, m)
		}
	}
}

// dmi is what the node's first hello said.
func (n *node) dmi() dmi {
	if n.First == (dmi{}) {
		return dmiOf(&n.Inventory)
	}
	return n.First
}

// recognise warns when a node says another UUID or serial than before.
func (e *Engine) recognise(n *node, inv *session.Inventory) {
	now := dmiOf(inv)
	if n.Boot == "" {
		n.First = now
		return
	}
	n.First = n.dmi()
	was := n.First
	if now == was && n.Odd[oddDMI] != "" {
		// It is again what it was: what was said meanwhile stays for the operator to see, and stops nothing more.
		last := dmiOf(&n.Inventory)
		delete(n.Odd, oddDMI)
		e.warn(n, oddSpoke, fmt.Sprintf("it says %s again; from %s somebody said %s in its name meanwhile: a forged "+
			"hello, "+
			"or a NIC that changed hands for a while; `diskcast machine trust %s` ends these words", now,
			orNone(n.Addr),
			last, n.ID))
		return
	}
	if (was.UUID != "" && was.UUID != now.UUID) || (was.Serial != "" && was.Serial != now.Serial) {
		e.warn(n, oddDMI, fmt.Sprintf("it said %s before and says %s now: another board, a NIC that changed hands, "+
			"or a forged hello; "+
			"if that is right, `diskcast node forget %s`", was, now, n.ID))
	}
}

// Kinds of what is odd about a node.
const (
	oddMAC     = "mac"
	oddDMI     = "dmi"
	oddSpoke   = "spoke"
	oddHeld    = "held"
	oddBoots   = "boots"
	oddMachine = "machine"
	oddLists   = "lists"
	oddDisk    = "disk"
)

// warn tells the operator what is odd about who speaks as the node: on the node, in its log and on its session.
func (e *Engine) warn(n *node, kind, words string) {
	if n.Odd[kind] == words {
		return
	}
	if n.Odd == nil {
		n.Odd = map[string]string{}
	}
	n.Odd[kind] = words
	e.log.Warn("a node is odd", "node", n.ID, "why", words)
	ev := session.Event{Step: session.StepLog, Level: session.Warn, Message: words, Time: e.now()}
	if s := e.current(n); s != nil {
		ev.Session = s.ID
		e.step(jobs.Odd{Node: n.ID, Words: words})
	}
	e.record(n, "", ev)
	e.saveNode(n)
}

// oddWords are the node's warnings.
func (n *node) oddWords() []string {
	var out []string
	for _, kind := range []string{oddBoots, oddDMI, oddHeld, oddSpoke, oddMachine, oddMAC, oddLists, oddDisk} {
		if w := n.Odd[kind]; w != "" {
			out = append(out, w)
		}
	}
	return out
}

// note puts what is odd about the node on a part that it gets.
func (n *node) note(p *doc.Part) {
	for _, w := range n.oddWords() {
		p.Identity = also(p.Identity, w)
	}
}

// adopt gives the node the parts that name it by another of its MAC addresses, and says so where it is a second NIC's.
func (e *Engine) adopt(n *node) {
	e.adoptMachine(n)
	for _, sid := range e.jobs.Order() {
		s := e.jobs.Session(sid)
		if s.Over() {
			continue
		}
		for i, m := range n.MACs {
			alias := nameOf(m)
			p := s.Parts[alias]
			if p == nil || alias == n.ID || !p.Joined.IsZero() || e.nodes[alias] != nil {
				continue
			}
			words := fmt.Sprintf("session %s names %s, which is a NIC of node %s by its own word", s.ID, alias, n.ID)
			if s.Parts[n.ID] != nil {
				words += fmt.Sprintf(", and that node too: the part of %s waits for a machine that boots from it; "+
					"if there is none, cancel the session and name the node once", alias)
				e.step(jobs.Odd{Node: n.ID, Session: s.ID, Words: words})
				e.step(jobs.Odd{Node: alias, Session: s.ID, Words: words})
				continue
			}
			e.step(jobs.Renamed{Session: s.ID, From: alias, To: n.ID})
			if i > 0 {
				e.step(jobs.Odd{Node: n.ID, Session: s.ID, Words: words})
			}
		}
	}
}

// adoptMachine gives the node the parts of its machine that wait for it by another NIC from which the machine alone
// boots, or by the machine's id.
func (e *Engine) adoptMachine(n *node) {
	m := e.fleet.Of(n.ID)
	if m == nil {
		return
	}
	aliases := []string{m.ID}
	for _, mac := range m.Boots {
		if len(e.fleet.Booted(mac)) == 1 && !slices.Contains(n.MACs, mac) && e.byMAC[mac] == "" {
			aliases = append(aliases, nameOf(mac))
		}
	}
	for _, sid := range e.jobs.Order() {
		s := e.jobs.Session(sid)
		if s.Over() || s.Parts[n.ID] != nil {
			continue
		}
		for _, alias := range aliases {
			if p := s.Parts[alias]; p != nil && p.Joined.IsZero() && e.nodes[alias] == nil {
				e.step(jobs.Renamed{Session: sid, From: alias, To: n.ID})
				break
			}
		}
	}
}

// giveNamed gives a node the parts of sessions that name it by the boot NIC that another node had as its second one.
func (e *Engine) giveNamed(n, had *node) {
	alias := nameOf(n.MACs[0])
	for _, sid := range e.jobs.Order() {
		s := e.jobs.Session(sid)
		p := s.Parts[had.ID]
		if s.Over() || p == nil || s.Parts[n.ID] != nil || !slices.Contains(s.Spec.Nodes, alias) {
			continue
		}
		words := fmt.Sprintf("session %s names %s, which node %s boots from; node %s had the part, because it was "+
			"its second NIC", s.ID, alias, n.ID, had.ID)
		if p.Joined.IsZero() && !e.named(s, had) {
			e.step(jobs.Renamed{Session: s.ID, From: had.ID, To: n.ID})
		} else {
			e.step(jobs.Odd{Node: had.ID, Session: s.ID, Words: words})
			if s.Upload != nil {
				continue
			}
			e.step(jobs.Added{Part: &doc.Part{Session: s.ID, Node: n.ID, State: doc.Waiting,
				Unbootable: e.foreseen(s, n)}})
		}
		e.step(jobs.Odd{Node: n.ID, Session: s.ID, Words: words})
	}
}

// named reports whether the session names the node by its name or by a MAC address that it still has.
func (e *Engine) named(s *sess, n *node) bool {
	return slices.ContainsFunc(s.Spec.Nodes, func(id string) bool { return id == n.ID || e.byMAC[macOf(id)] == n.ID })
}

// meant finds the node that a name in a session's spec means, and what the operator should know of that.
func (e *Engine) meant(name string) (id, words string) {
	mac := macOf(name)
	owner := e.nodes[e.byMAC[mac]]
	switch {
	case e.nodes[name] != nil && owner != nil && owner.ID != name:
		return name, fmt.Sprintf("%s is the name of this node and the NIC that another one, %s, has now: the node of "+
			"that name is meant", name, owner.ID)
	case e.nodes[name] != nil || owner == nil:
		return name, ""
	case owner.MACs[0] != mac:
		return owner.ID, fmt.Sprintf("%s is a second NIC of node %s by its own word, so that node is meant; "+
			"a machine that boots from that NIC is another one", name, owner.ID)
	}
	return owner.ID, ""
}

// nameParts makes the parts of the nodes that a new session names, and says where two names are of one node.
func (e *Engine) nameParts(s *sess) {
	by := map[string][]string{}
	for _, name := range s.Spec.Nodes {
		id, words := e.meant(name)
		p := s.Parts[id]
		if p == nil {
			p = &doc.Part{Session: s.ID, Node: id, State: doc.Waiting, Unbootable: e.foreseen(s, e.nodes[id])}
			s.Add(p)
			if n := e.nodes[id]; n != nil {
				n.note(p)
			}
		}
		if words != "" {
			p.Identity = also(p.Identity, words)
		}
		if by[id] = append(by[id], name); len(by[id]) > 1 {
			p.Identity = also(p.Identity,
				fmt.Sprintf("%s are names of one node, %s: it has one part", strings.Join(by[id], " and "), id))
		}
	}
}
