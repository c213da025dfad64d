package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
)

// A hello costs whoever is on the LAN nothing, and what the operator entered of a machine is not to hang on it. Who
// says
// hello from the NIC of such a machine, and is by his own word another, is an impostor to it: no session takes him, the
// machine
// keeps its NIC, and sessions that name it wait for itself. While its agent is heard, he is not let in at all.

// ErrHeld says that the agent of the node is alive, and that the hello is of another machine by its own word.
var ErrHeld = errors.New("its agent was heard in the last minute, and says what the node has always said: whoever " +
	"says " +
	"something else in its name is asked to wait")

// impostor says why the node, which boots from a NIC of a machine of which something was entered, is not taken for that
// machine; empty when it is, and where the NIC is of no such machine.
func (e *Engine) impostor(n *node) string {
	if n.Boot == "" {
		return ""
	}
	m, h := e.fleet.Of(n.ID), e.fleet.Holder(n.MACs[0])
	if h == nil || m == h || m != nil && m.Entered() {
		return ""
	}
	says := fmt.Sprintf("it boots from %s, a NIC of machine %s, and says %s", n.MACs[0], h.Title(),
		fleet.BoardOf(n.Inventory.UUID, n.Inventory.Serial))
	if m == nil {
		return says + ", by which nobody can tell which machine it is"
	}
	return fmt.Sprintf("%s, which that machine never did. If it is %s with another board, `diskcast machine merge %s "+
		"%s`; "+
		"if somebody speaks in its name, `diskcast machine trust %s` once that is over; if it is a machine of its "+
		"own on "+
		"a dock that both use", says, h.Title(), m.ID, h.Title(), h.Title())
}

// held refuses a hello in the name of a node whose agent is alive, by which it would be another machine: a machine does
// not change its board while it runs. It counts for machines of which something was entered, since of others nobody
// knows which one was there first, and not against another such machine, which may have got the dock.
func (e *Engine) held(macs []string, h *session.Hello, from netip.Addr) error {
	n := e.nodes[e.byMAC[macs[0]]]
	if n == nil || n.MACs[0] != macs[0] || n.Boot == "" || n.Boot == h.Boot || e.now().Sub(n.spoke) >= quiet {
		return nil
	}
	was, says := n.dmi(), dmiOf(&h.Inventory)
	if says == was || dmiOf(&n.Inventory) != was || session.Filler(was.UUID) && session.Filler(was.Serial) {
		return nil
	}
	m := e.fleet.Of(n.ID)
	if m == nil || !m.Entered() {
		return nil
	}
	s := e.sighting(n, &h.Inventory)
	s.MACs = macs
	if o := e.fleet.Get(e.fleet.Weigh(s).Machine); o != nil && o != m && o.Entered() {
		return nil
	}
	addr := "an address that is not known"
	if from.IsValid() {
		addr = from.String()
	}
	e.warn(n, oddHeld, fmt.Sprintf("somebody at %s says hello in its name, with %s, while its agent at %s runs: he "+
		"gets "+
		"nothing. If this is over, `diskcast machine trust %s` ends these words", addr, says, orNone(n.Addr),
		m.Title()))
	return fmt.Errorf("node %s: %w", n.ID, ErrHeld)
}

// TrustMachine has the operator say that a machine is the one that it is known as: strangers that were seen at its NICs
// lose these, and what was odd about its nodes is forgotten. Nothing that was entered is lost.
func (e *Engine) TrustMachine(ctx context.Context, word string) (*doc.Machine, error) {
	var mine []*node
	if _, err := e.changeMachine(ctx, word, e.findMachine, func(id string) (string, error) {
		m := e.fleet.Get(id)
		mine = nil
		var ids []string
		for _, nid := range slices.Sorted(maps.Keys(e.nodes)) {
			n := e.nodes[nid]
			if of := e.fleet.Of(nid); of != m && !slices.Contains(m.Boots, n.MACs[0]) {
				continue
			} else if of != m && e.awake(nid) {
				return "", fmt.Errorf("whoever speaks as node %s now, from %s, says %s, and that is not what machine "+
					"%s is "+
					"known by: switch him off, or restart %s, which says hello then; if that is %s with another "+
					"board, "+
					"`diskcast machine merge %s %s`", nid, orNone(n.Addr), dmiOf(&n.Inventory), m.Title(), m.Title(),
					m.Title(), nid, m.Title())
			}
			mine, ids = append(mine, n), append(ids, nid)
		}
		return id, e.fleet.Trust(id, ids)
	}); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.findMachine(word)
	if err != nil {
		return nil, err
	}
	for _, n := range mine {
		if e.nodes[n.ID] != n {
			continue
		}
		for _, kind := range []string{oddBoots, oddDMI, oddSpoke, oddHeld, oddMachine, oddMAC} {
			delete(n.Odd, kind)
		}
		if slices.Contains(m.Boards, fleet.BoardOf(n.Inventory.UUID, n.Inventory.Serial)) {
			n.First = dmiOf(&n.Inventory)
		}
		e.saveNode(n)
		e.tellWaiting(n)
	}
	v := e.machineView(m)
	return &v, nil
}
