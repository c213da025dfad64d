package fleet

import (
	"fmt"
	"slices"
)

// Holder is the one machine, of those that have booted from the NIC, of which the operator entered something: its NIC
// is
// not taken from it by a hello. nil when there is none, or there are several.
func (f *Fleet) Holder(mac string) *Machine {
	var found *Machine
	for id := range f.byBoot[mac].all() {
		m := f.machines[id]
		switch {
		case !m.Entered():
		case found != nil:
			return nil
		default:
			found = m
		}
	}
	return found
}

// Trust makes the NICs that the machine boots from its alone: machines of which nothing was entered lose them, and one
// that has no NIC and no node left is forgotten. The nodes, which boot from these NICs, are the machine's from then on.
// It is refused where something was entered of a machine that boots from one of them too.
func (f *Fleet) Trust(id string, nodes []string) error {
	m := f.machines[id]
	if m == nil {
		return fmt.Errorf("there is no machine %q", id)
	}
	var strangers []string
	for _, mac := range m.Boots {
		for _, o := range f.Booted(mac) {
			switch {
			case o.ID == id || slices.Contains(strangers, o.ID):
			case o.Entered():
				return fmt.Errorf("machine %s, of which something was entered, boots from the NIC %s too: if both "+
					"are one "+
					"computer, `diskcast machine merge %s %s`; if they are two, the NIC says of neither which it is",
					o.Title(), mac, o.Title(), m.Title())
			default:
				strangers = append(strangers, o.ID)
			}
		}
	}
	for _, sid := range strangers {
		o := f.machines[sid].clone()
		o.Boots = slices.DeleteFunc(o.Boots, func(mac string) bool { return slices.Contains(m.Boots, mac) })
		o.Nodes = slices.DeleteFunc(o.Nodes, func(n string) bool { return slices.Contains(nodes, n) })
		if len(o.Boots) == 0 && len(o.Nodes) == 0 {
			f.drop(sid)
		} else {
			f.put(o)
		}
	}
	m = m.clone()
	for _, n := range nodes {
		if f.byNode[n] != id {
			f.detach(n)
			m.Nodes = append(m.Nodes, n)
		}
	}
	f.put(m)
	return nil
}
