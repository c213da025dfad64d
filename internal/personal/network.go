package personal

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/rx"
)

// Programs that configure a system's network, as Settings.NetworkWith names them.
const (
	Networkd       = "networkd"
	Netplan        = "netplan"
	NetworkManager = "NetworkManager"
	Ifupdown       = "ifupdown"
)

// NetworkPrograms are all of them.
var NetworkPrograms = []string{Networkd, Netplan, NetworkManager, Ifupdown}

// Limits of a machine's network.
const (
	MaxNICs      = 16
	maxAddresses = 16 // addresses, DNS servers and search domains, each
)

// NIC is how one network interface of the machine is configured. All of its strings are templates.
type NIC struct {
	MAC       string   `json:"mac,omitempty" toml:"mac"`   // empty: the one that the machine boots from
	DHCP      string   `json:"dhcp,omitempty" toml:"dhcp"` // yes, no, ipv4, ipv6; empty: no
	Addresses []string `json:"addresses,omitempty" toml:"addresses"`
	Gateways  []string `json:"gateways,omitempty" toml:"gateways"` // at most one of IPv4 and one of IPv6
	DNS       []string `json:"dns,omitempty" toml:"dns"`
	Search    []string `json:"search,omitempty" toml:"search"`
}

// Asks says whether the NIC gets addresses of the family by DHCP or router advertisements.
func (n *NIC) Asks(v6 bool) bool {
	return n.DHCP == "yes" || n.DHCP == "ipv6" && v6 || n.DHCP == "ipv4" && !v6
}

// Of are the addresses, gateway and DNS servers of one family. The NIC has been checked.
func (n *NIC) Of(v6 bool) (addresses []netip.Prefix, gateway netip.Addr, dns []netip.Addr) {
	for _, s := range n.Addresses {
		if p, err := netip.ParsePrefix(s); err == nil && p.Addr().Is6() == v6 {
			addresses = append(addresses, p)
		}
	}
	for _, s := range n.Gateways {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() == v6 {
			gateway = a
		}
	}
	for _, s := range n.DNS {
		if a, err := netip.ParseAddr(s); err == nil && a.Is6() == v6 {
			dns = append(dns, a)
		}
	}
	return addresses, gateway, dns
}

// Addresses are all that the settings fix for the machine.
func (s *Settings) Addresses() (out []netip.Addr) {
	for i := range s.Network {
		out = append(out, s.Network[i].hosts()...)
	}
	return out
}

func (n *NIC) hosts() (out []netip.Addr) {
	for _, s := range n.Addresses {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p.Addr())
		}
	}
	return out
}

// texts are the strings that may be templates.
func (n *NIC) texts() []*string {
	out := []*string{&n.MAC, &n.DHCP}
	for _, list := range [][]string{n.Addresses, n.Gateways, n.DNS, n.Search} {
		for i := range list {
			out = append(out, &list[i])
		}
	}
	return out
}

func (n *NIC) clone() NIC {
	out := *n
	out.Addresses, out.Gateways = slices.Clone(n.Addresses), slices.Clone(n.Gateways)
	out.DNS, out.Search = slices.Clone(n.DNS), slices.Clone(n.Search)
	return out
}

// resolved leaves out what came out empty, and writes addresses in one way.
func (n *NIC) resolved(mac string) {
	if n.MAC = strings.TrimSpace(n.MAC); n.MAC == "" {
		n.MAC = mac
	}
	if hw, err := net.ParseMAC(n.MAC); err == nil {
		n.MAC = hw.String()
	}
	for _, list := range []*[]string{&n.Addresses, &n.Gateways, &n.DNS, &n.Search} {
		*list = filled(*list)
		for i := range *list {
			(*list)[i] = strings.TrimSpace((*list)[i])
		}
	}
}

func isTemplate(s string) bool { return strings.Contains(s, "{{") }

// checkNetwork judges all NICs; of one with templates only what has none, until it is resolved.
func (s *Settings) checkNetwork(resolved bool) error {
	if s.NetworkWith != "" && !slices.Contains(NetworkPrograms, s.NetworkWith) {
		return fmt.Errorf("network_with %.40q: one of %s", s.NetworkWith, strings.Join(NetworkPrograms, ", "))
	}
	if s.NetworkWith != "" && len(s.Network) == 0 {
		return errors.New("network_with is given, and no [[network]]")
	}
	if len(s.Network) > MaxNICs {
		return fmt.Errorf("network: %d interfaces, at most %d are taken", len(s.Network), MaxNICs)
	}
	if len(s.Network) > 0 && s.Seed != nil && s.Seed.NetworkConfig != "" {
		return errors.New("network and seed.network_config both configure the network: give one of the two")
	}
	macs, addresses := map[string]bool{}, map[netip.Addr]bool{}
	for i := range s.Network {
		n := &s.Network[i]
		if err := n.check(resolved); err != nil {
			return fmt.Errorf("network, interface %d: %w", i+1, err)
		}
		if hw, err := net.ParseMAC(n.MAC); n.MAC == "" || err == nil {
			if macs[hw.String()] {
				return fmt.Errorf("network, interface %d: another interface has its MAC address too", i+1)
			}
			macs[hw.String()] = true
		}
		for _, a := range n.hosts() {
			if addresses[a] {
				return fmt.Errorf("network, interface %d: %s is given twice", i+1, a)
			}
			addresses[a] = true
		}
	}
	return nil
}

// check judges one NIC.
func (n *NIC) check(resolved bool) error {
	for _, l := range [][]string{n.Addresses, n.Gateways, n.DNS, n.Search} {
		if len(l) > maxAddresses {
			return fmt.Errorf("more than %d addresses, gateways, DNS servers or search domains", maxAddresses)
		}
	}
	open := false // something is only known when the machine is
	each := func(list []string, judge func(string) error) error {
		for _, s := range list {
			if !resolved && isTemplate(s) {
				open = true
				continue
			}
			if err := judge(s); err != nil {
				return err
			}
		}
		return nil
	}
	for _, x := range []struct {
		list  []string
		judge func(string) error
	}{{[]string{n.MAC}, func(s string) error { return checkMAC(s, resolved) }}, {[]string{n.DHCP}, checkDHCP},
		{n.Addresses, checkAddress}, {n.Gateways, checkHost("gateway")}, {n.DNS, checkHost("DNS server")},
		{n.Search, checkDomain}} {
		if err := each(x.list, x.judge); err != nil {
			return err
		}
	}
	if open {
		return nil
	}
	return n.together()
}

// together judges what only all of a NIC's values say.
func (n *NIC) together() error {
	if len(n.Addresses) == 0 && (n.DHCP == "" || n.DHCP == "no") {
		return errors.New("it has neither addresses nor DHCP")
	}
	seen := map[bool]bool{}
	for _, s := range n.Gateways {
		gw := netip.MustParseAddr(s)
		if seen[gw.Is6()] {
			return fmt.Errorf("gateway %s is the second of its family", gw)
		}
		seen[gw.Is6()] = true
		addresses, _, _ := n.Of(gw.Is6())
		switch {
		case slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Addr() == gw }):
			return fmt.Errorf("gateway %s is the machine's own address", gw)
		case n.Asks(gw.Is6()):
			return fmt.Errorf("gateway %s is given, and DHCP or router advertisements give one too", gw)
		case gw.Is6() && gw.IsLinkLocalUnicast() && len(addresses) > 0:
		case !slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Contains(gw) }):
			return fmt.Errorf("gateway %s is in the network of no address (%s)", gw, strings.Join(n.Addresses, ", "))
		}
	}
	return nil
}

func checkMAC(s string, resolved bool) error {
	if s == "" && !resolved {
		return nil
	}
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != 6 || hw[0]&1 == 1 || strings.Trim(hw.String(), "0:") == "" {
		return fmt.Errorf("mac %.40q is not the MAC address of a network card, such as 52:54:00:12:34:56", s)
	}
	return nil
}

func checkDHCP(s string) error {
	if !slices.Contains([]string{"", "yes", "no", "ipv4", "ipv6"}, s) {
		return fmt.Errorf("dhcp %.20q: yes, no, ipv4 or ipv6", s)
	}
	return nil
}

// checkAddress wants an address that a host can have, with the length of its network's prefix.
func checkAddress(s string) error {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return fmt.Errorf("address %.60q is none with a prefix length, such as 10.0.0.5/24 or 2001:db8::5/64", s)
	}
	if err := unicast(p.Addr(), "address"); err != nil {
		return err
	}
	if p.Bits() == 0 {
		return fmt.Errorf("address %s has no network", s)
	}
	if p.Addr().Is4() && p.Bits() < 31 {
		a, mask := p.Addr().As4(), net.CIDRMask(p.Bits(), 32)
		last := a
		for i := range last {
			last[i] |= ^mask[i]
		}
		if p.Addr() == p.Masked().Addr() || a == last {
			return fmt.Errorf("address %s is that of the network itself, or its broadcast address", s)
		}
	}
	return nil
}

func checkHost(what string) func(string) error {
	return func(s string) error {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("%s %.60q is no IP address", what, s)
		}
		return unicast(a, what)
	}
}

func unicast(a netip.Addr, what string) error {
	switch {
	case a.Zone() != "":
		return fmt.Errorf("%s %s: without a zone", what, a)
	case a.Is4In6():
		return fmt.Errorf("%s %s: write it as IPv4", what, a)
	case a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() && what != "DNS server" ||
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s %s is not that of a host", what, a)
	}
	return nil
}

var domain = rx.New(`^([a-zA-Z0-9_]([a-zA-Z0-9_-]{0,61}[a-zA-Z0-9_])?\.)*` +
	`[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.?$`)

func checkDomain(s string) error {
	if len(s) > 253 || !domain().MatchString(s) {
		return fmt.Errorf("search %.80q is no domain", s)
	}
	return nil
}
