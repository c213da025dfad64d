package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// loadMachines reads the machines. Nodes that were stored before there were machines are sightings that nobody has
// weighed.
func (e *Engine) loadMachines(tx store.Tx) error {
	var seq uint64
	if err := optional(store.GetJSON(tx, record.MachineSeq, &seq)); err != nil {
		return err
	}
	var stored []*fleet.Machine
	err := walk(tx, record.MachinePrefix, func(_ string, r *record.Machine) error {
		stored = append(stored, r.Machine())
		return nil
	})
	if err != nil {
		return err
	}
	e.fleet = fleet.New(seq, stored)
	e.fleet.Keep(func(node string) bool { return e.nodes[node] != nil })
	byAge := slices.SortedFunc(maps.Values(e.nodes), func(a, b *node) int {
		return cmp.Or(a.FirstSeen.Compare(b.FirstSeen), strings.Compare(a.ID, b.ID))
	})
	for _, n := range byAge {
		if n.Boot != "" && e.fleet.Of(n.ID) == nil {
			e.fleet.Sight(e.sighting(n, &n.Inventory), n.LastSeen)
		}
	}
	e.saveMachines()
	return nil
}

// sighting is what a node says of itself.
func (e *Engine) sighting(n *node, inv *session.Inventory) fleet.Sighting {
	macs, err := macsOf(inv)
	if err != nil || !slices.Contains(macs, n.MACs[0]) {
		macs = n.MACs // its inventory is of an older version
	}
	return fleet.Sighting{Node: n.ID, Boot: n.MACs[0], MACs: macs, Board: fleet.BoardOf(inv.UUID, inv.Serial),
		Awake: e.awake}
}

// awake reports whether the agent of the node was heard of late.
func (e *Engine) awake(id string) bool {
	n := e.nodes[id]
	return n != nil && n.Where == doc.Ready && e.now().Sub(n.LastSeen) < presence
}

// sight tells which machine says hello, and the operator what is to be wondered at. What was said at the hello of a
// boot holds for all of it.
func (e *Engine) sight(n *node, inv *session.Inventory, rebooted bool) {
	seq := e.fleet.Seq()
	v := e.fleet.Sight(e.sighting(n, inv), e.now())
	e.saveMachines()
	if e.fleet.Seq() != seq {
		e.sayMachine(n)
	}
	switch {
	case v.Words != "":
		e.warn(n, oddMachine, v.Words)
	case rebooted:
		delete(n.Odd, oddMachine)
	}
}

// entered reports whether the node is a sighting of a machine of which the operator has entered something, by a NIC
// that is the machine's.
func (e *Engine) entered(n *node) bool {
	m := e.fleet.Of(n.ID)
	return m != nil && m.Entered() && slices.Contains(m.Boots, n.MACs[0])
}

// findMachine finds a machine by id or name, or by any MAC address of it or of its node.
func (e *Engine) findMachine(word string) (*fleet.Machine, error) {
	if m := e.fleet.Find(word); m != nil {
		return m, nil
	}
	id, err := doc.NodeID(word)
	if err != nil {
		return nil, fmt.Errorf("machine %.80q: %w: it is neither an id, a name nor a MAC address of one (`diskcast "+
			"machine list`)%s", word, ErrNotFound, nearest.Hint(word, e.machineNames()))
	}
	if n, err := e.findNode(id); err == nil {
		if m := e.fleet.Of(n.ID); m != nil {
			return m, nil
		}
	}
	switch owners := e.fleet.Booted(macOf(id)); len(owners) {
	case 0:
		if n, err := e.findNode(id); err == nil && n.Boot != "" {
			return nil, fmt.Errorf("machine %s: %w: node %s is there, and its machine was removed; `diskcast machine "+
				"name %s NAME` makes one of it, and so does its agent's next start", id, ErrNotFound, n.ID, id)
		} else if err == nil {
			return nil, fmt.Errorf("machine %s: %w: node %s asked for boot files, and its agent has not started yet; "+
				"`diskcast machine import` or `diskcast apply` enters machines before", id, ErrNotFound, n.ID)
		}
		return nil, fmt.Errorf("machine %s: %w: nothing with this address came, and none was entered; `diskcast "+
			"machine import` or `diskcast apply` enters machines before they come", id, ErrNotFound)
	case 1:
		return owners[0], nil
	default:
		var names []string
		for _, m := range owners {
			names = append(names, m.Title())
		}
		return nil, refuse("the NIC %s is shared by the machines %s: name one of them", macOf(id),
			strings.Join(names, ", "))
	}
}

// enterMachine is findMachine, and makes the machine of a node that is there without one: it was removed, and would
// come again with the node's next hello.
func (e *Engine) enterMachine(word string) (*fleet.Machine, error) {
	m, err := e.findMachine(word)
	if !errors.Is(err, ErrNotFound) {
		return m, err
	}
	n, bad := e.findNode(word)
	if bad != nil || n.Boot == "" || e.fleet.Of(n.ID) != nil {
		return nil, err
	}
	e.fleet.Sight(e.sighting(n, &n.Inventory), n.LastSeen)
	if m = e.fleet.Of(n.ID); m == nil {
		return nil, err
	}
	return m, nil
}

// nodeOf is the latest sighting of a machine that is there.
func (e *Engine) nodeOf(m *fleet.Machine) (*node, error) {
	for _, id := range slices.Backward(m.Nodes) {
		if n := e.nodes[id]; n != nil {
			return n, nil
		}
	}
	return nil, fmt.Errorf("machine %s has no node: %w: nothing was seen of it since its last one was forgotten",
		m.Title(), ErrNotFound)
}

// nameMachines puts nodes in the place of the names of machines, and of a selector. It returns what the operator should
// know of that.
func (e *Engine) nameMachines(spec *doc.Spec) ([]string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if spec.On != "" {
		return e.selectNodes(spec)
	}
	if spec.Within != "" {
		return nil, e.nameWithin(spec)
	}
	by := map[string]string{} // the word by the node that it is
	for i, name := range spec.Nodes {
		if id, err := doc.NodeID(name); err == nil {
			by[id] = name
			continue
		}
		m := e.fleet.Find(name)
		if m == nil {
			return nil, refuse("%.80q is neither a machine's name or id nor a MAC address such as 52:54:00:12:34:56 "+
				"(`diskcast machine list`)%s", name, nearest.Hint(name, e.machineNames()))
		}
		node, err := e.nodeFor(m)
		if err != nil {
			return nil, err
		}
		switch other, twice := by[node]; {
		case twice && other == name:
			return nil, refuse("machine %s is named twice", name)
		case twice:
			return nil, refuse("%s and %s are the same machine: name it once", other, name)
		}
		by[node], spec.Nodes[i] = name, node
	}
	return nil, nil
}

// Machines returns all machines, by id.
func (e *Engine) Machines() []doc.Machine { return e.Within("").Machines() }

// Machine returns one machine by id, name or a MAC address.
func (e *Engine) Machine(word string) (*doc.Machine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.findMachine(word)
	if err != nil {
		return nil, err
	}
	v := e.machineView(m)
	return &v, nil
}

func (e *Engine) machineView(m *fleet.Machine) doc.Machine {
	v := doc.Machine{ID: m.ID, Name: m.Name, Labels: maps.Clone(m.Labels), Notes: m.Notes,
		Boots: append([]string{}, m.Boots...),
		Nodes: append([]string{}, m.Nodes...), Made: m.Made, Seen: m.Seen, Warnings: e.fleet.Warnings(m)}
	for _, id := range m.Nodes {
		if n := e.nodes[id]; n != nil {
			v.Seen = later(v.Seen, n.LastSeen) // an agent that waits asks, and says no hello
		}
	}
	for _, b := range m.Boards {
		v.Boards = append(v.Boards, doc.Board(b))
	}
	v.Profile, v.Declared, v.Revision = m.Profile, m.Declared, m.Revision
	v.WhenIdle, v.Idle, v.OwnDisk = m.WhenIdle, e.idleWords(m), e.ownDiskWords(m)
	if n, err := e.nodeOf(m); err == nil {
		v.Where = e.nodeView(n).Where
		v.Switch, v.Port = plugged(n)
		v.Relay = n.Relay
	}
	if m.Approval != nil || m.Refused {
		hand := m.Approval != nil
		v.ByHand = &hand
	}
	by, why := e.approval(m)
	v.Approved, v.Approval = why == "", by+why
	v.Waits = e.machineWaits(m)
	return v
}

// EditMachine enters what the operator says of a machine.
func (e *Engine) EditMachine(ctx context.Context, word string, c doc.MachineChange) (*doc.Machine, error) {
	if err := checkVersion("machine change", c.V); err != nil {
		return nil, err
	}
	return e.changeMachine(ctx, word, e.enterMachine, func(id string) (string, error) {
		if c.Profile != nil && *c.Profile != "" {
			if _, ok := e.book.Profile(*c.Profile); !ok {
				return "", e.book.NoProfile(*c.Profile)
			}
		}
		idle, err := e.checkIdle(c.WhenIdle)
		if err != nil {
			return "", err
		}
		return id, e.fleet.Edit(id, fleet.Change{Name: c.Name, Notes: c.Notes, Labels: c.Labels, Profile: c.Profile,
			WhenIdle: idle, Revision: c.Revision})
	})
}

// MergeMachines makes one machine of two, and returns it.
func (e *Engine) MergeMachines(ctx context.Context, into string, c doc.MachineMerge) (*doc.Machine, error) {
	if err := checkVersion("machine merge", c.V); err != nil {
		return nil, err
	}
	return e.changeMachine(ctx, into, e.findMachine, func(id string) (string, error) {
		from, err := e.findMachine(c.From)
		if err != nil {
			return "", err
		}
		return id, e.fleet.Merge(from.ID, id)
	})
}

// SplitMachine makes a sighting a machine of its own, and returns that one.
func (e *Engine) SplitMachine(ctx context.Context, word string, c doc.MachineSplit) (*doc.Machine, error) {
	if err := checkVersion("machine split", c.V); err != nil {
		return nil, err
	}
	return e.changeMachine(ctx, word, e.findMachine, func(id string) (string, error) {
		n, err := e.findNode(c.Node)
		if err != nil {
			return "", err
		}
		return e.fleet.Split(id, e.sighting(n, &n.Inventory), e.now())
	})
}

// RemoveMachine forgets a machine and what was entered of it. One that a node is of comes again as a new one, with the
// node's next hello.
func (e *Engine) RemoveMachine(ctx context.Context, word string) error {
	_, err := e.changeMachine(ctx, word, e.findMachine, func(id string) (string, error) {
		for _, n := range e.nodes {
			if m := e.fleet.Of(n.ID); m != nil && m.ID == id && e.current(n) != nil {
				return "", fmt.Errorf("machine %s has a part in session %s; cancel that first", m.Title(), n.Session)
			}
		}
		return "", e.fleet.Remove(id)
	})
	return err
}

// changeMachine does what the operator asks for once it is stored; what is refused has not happened.
func (e *Engine) changeMachine(ctx context.Context, word string, find func(string) (*fleet.Machine, error),
	f func(id string) (string, error)) (*doc.Machine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := find(word)
	if err != nil {
		return nil, err
	}
	id, err := f(m.ID)
	if err != nil {
		e.fleet.Revert()
		return nil, refuse("%w", err)
	}
	if err := e.storeMachines(ctx, nil); err != nil {
		return nil, err
	}
	e.leaveSessions(ctx)
	e.approveAgain()
	if m = e.fleet.Get(id); m == nil {
		return nil, nil
	}
	v := e.machineView(m)
	return &v, nil
}

func checkVersion(what string, v int) error {
	if v != session.Version {
		return refuse("%s: %w: it has v=%d, this server speaks v=%d", what, session.ErrVersion, v, session.Version)
	}
	return nil
}
