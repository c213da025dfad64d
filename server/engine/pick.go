package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/fleet"
	"github.com/diskcast/diskcast/server/fleet/selector"
	"github.com/diskcast/diskcast/server/jobs"
)

// pick finds the machines that a selector fits, among those of another one; of all where that is empty.
func (e *Engine) pick(text, within string) ([]*fleet.Machine, error) {
	s, err := selector.Parse(text)
	if err != nil {
		return nil, refuse("%w", err)
	}
	among := e.fleet.All()
	if within != "" {
		fits := e.heldTo(within)
		among = slices.DeleteFunc(among, func(m *fleet.Machine) bool { return !fits(m) })
	}
	ms, err := s.Pick(selector.Scope{Machines: among, Groups: e.book.Selectors(), Seen: e.pluggedInto})
	if err != nil {
		return nil, refuse("%w", err)
	}
	return ms, nil
}

// Select returns the machines that a selector fits, by id.
func (e *Engine) Select(text string) ([]doc.Machine, error) { return e.Within("").Select(text) }

// Select is Engine.Select of the machines within.
func (b Bounds) Select(text string) ([]doc.Machine, error) {
	e := b.e
	e.mu.Lock()
	defer e.mu.Unlock()
	ms, err := e.pick(text, b.on)
	if err != nil {
		return nil, err
	}
	out := []doc.Machine{}
	for _, m := range ms {
		out = append(out, e.machineView(m))
	}
	return out, nil
}

// ChangeMachines changes all machines that a selector fits, or none, and returns them.
func (e *Engine) ChangeMachines(ctx context.Context, c doc.MachinesChange) ([]doc.Machine, error) {
	return e.Within("").ChangeMachines(ctx, c)
}

// ChangeMachines is Engine.ChangeMachines of the machines within.
func (b Bounds) ChangeMachines(ctx context.Context, c doc.MachinesChange) ([]doc.Machine, error) {
	e := b.e
	if err := checkVersion("change of machines", c.V); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	ms, err := e.pick(c.On, b.on)
	if err != nil {
		return nil, err
	}
	if c.Profile != nil && *c.Profile != "" {
		if _, ok := e.book.Profile(*c.Profile); !ok {
			return nil, refuse("%w", e.book.NoProfile(*c.Profile))
		}
	}
	idle, err := e.checkIdle(c.WhenIdle)
	if err != nil {
		return nil, refuse("%w", err)
	}
	for _, m := range ms {
		entry := fleet.Entry{ID: m.ID, Labels: c.Labels, Profile: c.Profile, Approved: c.Approved, WhenIdle: idle}
		if c.Approved != nil && *c.Approved && m.Approval != nil && e.unapproved(m) != "" {
			err = e.fleet.Approve(m.ID, e.now()) // as it is known now
		}
		if err == nil {
			_, _, _, err = e.fleet.Enter(entry, e.now())
		}
		if err != nil {
			e.fleet.Revert()
			return nil, refuse("machine %s: %w; nothing was changed", m.Title(), err)
		}
	}
	if len(e.fleet.Changes()) > 0 {
		if err := e.storeLab(ctx, e.book); err != nil {
			return nil, err
		}
	}
	out := []doc.Machine{}
	for _, m := range ms {
		out = append(out, e.machineView(e.fleet.Get(m.ID)))
	}
	return out, nil
}

// selectNodes puts the nodes of the machines that the spec's selector fits now into the spec, and returns what the
// operator should know of that.
func (e *Engine) selectNodes(spec *doc.Spec) ([]string, error) {
	if spec.All || spec.Count != 0 || len(spec.Nodes) > 0 {
		return nil, refuse("a selector says which machines: leave all, count and nodes away")
	}
	s, err := selector.Parse(spec.On)
	if err != nil {
		return nil, refuse("%w", err)
	}
	ms, err := e.pick(spec.On, spec.Within)
	if err != nil {
		return nil, err
	}
	spec.On = s.String()
	picked := map[string]bool{}
	for _, m := range ms {
		picked[m.ID] = true
	}
	var strangers []string
	for _, m := range ms {
		if e.onlyHeld(m) {
			strangers = append(strangers, m.ID)
			continue
		}
		node, err := e.nodeAmong(m, picked)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(spec.Nodes, node) {
			spec.Nodes = append(spec.Nodes, node)
		}
	}
	if len(strangers) == 0 {
		return nil, nil
	}
	words := fmt.Sprintf("Left out: %s, seen only at NICs of machines of which something was entered, and nothing "+
		"was of "+
		"them: forged hellos, or docks. `diskcast machine show %s` says more.", e.firstMachines(strangers),
		strangers[0])
	if len(spec.Nodes) == 0 {
		return nil, refuse("the selector fits no machine that a session could take. %s", words)
	}
	return []string{words}, nil
}

// firstMachines names the first of the machines, and how many there are more.
func (e *Engine) firstMachines(ids []string) string {
	if more := len(ids) - jobs.MaxReasons; more > 0 {
		return strings.Join(ids[:jobs.MaxReasons], ", ") + fmt.Sprintf(", and %d more", more)
	}
	return strings.Join(ids, ", ")
}

// onlyHeld reports whether nothing was entered of the machine, and all NICs that it was seen to boot from are those of
// machines of which something was.
func (e *Engine) onlyHeld(m *fleet.Machine) bool {
	return !m.Entered() && len(m.Boots) > 0 &&
		!slices.ContainsFunc(m.Boots, func(mac string) bool { return e.fleet.Holder(mac) == nil })
}

// nodeFor is the node that a machine has in a session: its latest one whose NIC is its own, or the one that would come
// from a NIC of its own; the machine's id when only its board is known. One that has only shared NICs is refused: who
// boots from one may be another.
func (e *Engine) nodeFor(m *fleet.Machine) (string, error) {
	return e.nodeAmong(m, map[string]bool{m.ID: true})
}

// nodeAmong is nodeFor of a machine of several that are meant together.
func (e *Engine) nodeAmong(m *fleet.Machine, meant map[string]bool) (string, error) {
	node, shared := "", ""
	for _, id := range slices.Backward(m.Nodes) {
		if n := e.nodes[id]; n == nil {
			continue
		} else if !e.its(m, n.MACs[0], meant) {
			shared = n.MACs[0]
		} else {
			return id, nil
		}
	}
	for _, mac := range slices.Backward(m.Boots) {
		if !e.its(m, mac, meant) {
			shared = mac
		} else if node == "" {
			node = nameOf(mac)
			if id := e.byMAC[mac]; id != "" && e.nodes[id].MACs[0] == mac {
				node = id // a stranger speaks as it now
			}
		}
	}
	switch {
	case node != "":
		return node, nil
	case shared != "":
		var with []string
		for _, o := range e.fleet.Booted(shared) {
			if o != m {
				with = append(with, o.Title())
			}
		}
		return "", refuse("machine %s was seen to boot only from the NIC %s, which it shares with others (%s): "+
			"whoever boots from it next could be one of those; name that NIC if any of them is meant, or have the "+
			"machine boot from a NIC of its own once. If the others are no machines of yours, `diskcast machine "+
			"trust %s` ends this; if they are the same computer, `diskcast machine merge %s %s`", m.Title(), shared,
			jobs.Few(with), m.Title(), with[0], m.Title())
	case len(m.Boards) > 0:
		return m.ID, nil
	}
	return "", refuse("of machine %s no NIC is known", m.Title())
}

// its reports whether only the machine, or another that is meant with it, gets a session when somebody boots from the
// NIC.
func (e *Engine) its(m *fleet.Machine, mac string, meant map[string]bool) bool {
	if e.fleet.Holder(mac) == m {
		return true
	}
	return !slices.ContainsFunc(e.fleet.Booted(mac), func(o *fleet.Machine) bool { return !meant[o.ID] })
}

// Spec reads a spec as it was sent, and takes from a profile what it leaves open: the one that it names, or else, where
// it says neither image nor kind, the one that all machines of its selector have.
func (e *Engine) Spec(text []byte, read *doc.Spec) (doc.Spec, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	attached := ""
	if read.Profile == "" && read.Image == "" && read.Capture == "" && read.Kind == "" && read.On != "" {
		var err error
		if attached, err = e.attached(read.On, read.Within); err != nil {
			return doc.Spec{}, err
		}
	}
	spec, err := e.book.Spec(text, attached)
	if err != nil {
		return spec, refuse("%w", err)
	}
	return spec, nil
}

// attached is the one profile of all machines that the selector fits, among those of another one.
func (e *Engine) attached(on, within string) (string, error) {
	ms, err := e.pick(on, within)
	if err != nil {
		return "", err
	}
	first := ms[0]
	for _, m := range ms {
		switch {
		case m.Profile == "":
			return "", refuse("neither image nor profile is named, and machine %s has no profile (`diskcast machine "+
				"profile %s NAME`)", m.Title(), m.Title())
		case m.Profile != first.Profile:
			return "", refuse("the machines have several profiles, machine %s %s and machine %s %s: create a session "+
				"for each, or name one with --profile", first.Title(), first.Profile, m.Title(), m.Profile)
		}
	}
	return first.Profile, nil
}

// plugged is the switch and the port that the node booted through, by what the switch told the node.
func plugged(n *node) (device, port string) {
	for _, nic := range n.Inventory.NICs {
		if nic.Boot {
			return nic.Switch, nic.Port
		}
	}
	return "", ""
}

// portOf is SWITCH/PORT, empty where it is not known.
func portOf(n *node) string {
	if device, port := plugged(n); port != "" {
		return device + "/" + port
	}
	return ""
}

// pluggedInto is what selectors may ask of a machine beside its labels.
func (e *Engine) pluggedInto(m *fleet.Machine) map[string]string {
	n, err := e.nodeOf(m)
	if err != nil || portOf(n) == "" {
		return nil
	}
	device, _ := plugged(n)
	return map[string]string{"switch": device, "port": portOf(n)}
}
