package main

import (
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/wiring"
	"github.com/diskcast/diskcast/mkimage/bootdir"
)

// wired checks how the nodes are wired, and returns the number of their VLAN, 0 for none.
func (o *options) wired(r *result) (vlan int, err error) {
	if o.vlan != "" {
		if vlan, err = wiring.ParseVLAN(o.vlan); err != nil {
			return 0, fmt.Errorf("--vlan: %w", err)
		}
	}
	if o.bond != "" {
		if _, err := wiring.ParseBond(o.bond); err != nil {
			return 0, fmt.Errorf("--bond: %w", err)
		}
	}
	if o.ip == "" {
		return vlan, nil
	}
	st, _, err := wiring.ParseIP(o.ip)
	if err != nil {
		return 0, fmt.Errorf("--ip: %w", err)
	}
	if st != nil {
		r.Notes = append(r.Notes, fmt.Sprintf("every node that starts from this has the address %v: it is for one "+
			"machine; several of them take it from each other, and only the first gets it", st.Addr.Addr()))
	}
	return vlan, nil
}

// wiredModules refuses an archive without what its nodes would need to have a network at all.
func (o *options) wiredModules(c *bootdir.Content) error {
	for _, x := range []struct{ flag, value, module string }{{"--vlan", o.vlan, "8021q"},
		{"--bond", o.bond, "bonding"}} {
		if x.value == "" || c.Tree.Index.Builtin(x.module) ||
			slices.ContainsFunc(c.Modules, func(m *kmod.Module) bool { return m.Name == x.module }) {
			continue
		}
		return fmt.Errorf("%s needs the module %s, which is not among the chosen ones: add it to --modules, or name a "+
			"kernel that has it", x.flag, x.module)
	}
	return nil
}
