package network

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bondName is the interface of the bond. The driver makes one of this name by itself when it is loaded.
const bondName = "bond0"

// bondMonitor is how often, in ms, the driver looks at the links of a bond: without it a dead link stays in use.
const bondMonitor = 100

// Carrier tells whether an interface has a link.
func (s *Linux) Carrier(name string) bool {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return false
	}
	a := l.Attrs()
	return a.OperState == netlink.OperUp || a.RawFlags&unix.IFF_LOWER_UP != 0 && a.Flags&net.FlagUp != 0
}

// AddVLAN makes vlanID on an interface.
func (s *Linux) AddVLAN(parent string, id int) (string, error) {
	name := fmt.Sprintf("vlan%d", id)
	below, err := netlink.LinkByName(parent)
	if err != nil {
		return "", fmt.Errorf("%s: %w", parent, err)
	}
	a := netlink.NewLinkAttrs()
	a.Name, a.ParentIndex = name, below.Attrs().Index
	err = netlink.LinkAdd(&netlink.Vlan{LinkAttrs: a, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
	if errors.Is(err, unix.EEXIST) { // from before the agent was started again
		if l, lerr := netlink.LinkByName(name); lerr == nil {
			if v, ok := l.(*netlink.Vlan); ok && v.VlanId == id && v.Attrs().ParentIndex == a.ParentIndex {
				return name, nil
			}
			if lerr = netlink.LinkDel(l); lerr == nil {
				err = netlink.LinkAdd(&netlink.Vlan{LinkAttrs: a, VlanId: id,
					VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
			}
		}
	}
	if err != nil {
		return "", fmt.Errorf("VLAN %d on %s: %w%s", id, parent, err, lacks(err, "8021q"))
	}
	return name, nil
}

// Remove takes away an interface that was made here.
func (s *Linux) Remove(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return nil // gone with the card below it
	}
	if err := netlink.LinkDel(l); err != nil {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}

// AddBond makes bond0 of members. One that is there, the driver's own or from before the agent was started again, is
// taken away first.
func (s *Linux) AddBond(mode string, members []Interface) (string, error) {
	a := netlink.NewLinkAttrs()
	a.Name = bondName
	bond := netlink.NewLinkBond(a)
	bond.Mode = netlink.StringToBondMode(mode)
	bond.Miimon = bondMonitor
	switch bond.Mode {
	case netlink.BOND_MODE_802_3AD:
		bond.LacpRate = netlink.BOND_LACP_RATE_FAST
		bond.XmitHashPolicy = netlink.BOND_XMIT_HASH_POLICY_LAYER3_4
	case netlink.BOND_MODE_BALANCE_XOR:
		bond.XmitHashPolicy = netlink.BOND_XMIT_HASH_POLICY_LAYER3_4
	}
	err := netlink.LinkAdd(bond)
	if errors.Is(err, unix.EEXIST) {
		if err = s.Remove(bondName); err == nil {
			err = netlink.LinkAdd(bond)
		}
	}
	if err != nil {
		return "", fmt.Errorf("bond of mode %s: %w%s", mode, err, lacks(err, "bonding"))
	}
	if err := s.enslave(bond, members); err != nil {
		return "", errors.Join(err, s.Remove(bondName))
	}
	return bondName, nil
}

// enslave gives a bond its members. One that cannot be taken is said and left out, if another can.
func (s *Linux) enslave(bond *netlink.Bond, members []Interface) error {
	var errs []error
	first := 0 // index of the first member
	for _, m := range members {
		l, err := netlink.LinkByName(m.Name)
		if err == nil {
			err = netlink.LinkSetDown(l) // the driver takes no interface that is up
		}
		if err == nil {
			err = netlink.LinkSetMasterByIndex(l, bond.Attrs().Index)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s cannot be in the bond: %w", m.Name, err))
			continue
		}
		if first == 0 {
			first = l.Attrs().Index
		}
	}
	if first == 0 {
		return errors.Join(errs...)
	}
	for _, err := range errs {
		s.log().Warn("the bond has one member less", "err", err)
	}
	if err := netlink.LinkSetUp(bond); err != nil {
		return fmt.Errorf("switching %s on: %w", bondName, err)
	}
	return nil
}

// lacks says what to do where the kernel does not know a sort of interface.
func lacks(err error, module string) string {
	if errors.Is(err, unix.EOPNOTSUPP) {
		return ": is the module " + module + " in the boot directory (mkimage --modules)?"
	}
	return ""
}
