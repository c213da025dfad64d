package network

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Lease is what a DHCP server gave, as far as a node uses it.
type Lease struct {
	Addr       netip.Prefix
	Routes     []Route
	DNS        []netip.Addr
	Search     []string
	MTU        int    // 0: as the driver has it
	Hostname   string // empty: none given
	Server     netip.Addr
	Time       time.Duration // 0: infinite
	RenewAfter time.Duration

	kernel bool // the kernel made the address from a router's prefix, and keeps it
	ack    *dhcpv4.DHCPv4
	reply  *dhcpv6.Message // of DHCPv6
}

// Route is a way to a network; Via is invalid where the network is on the link.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// String says the lease in words.
func (l *Lease) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%v", l.Addr)
	for _, r := range l.Routes {
		if r.To.Bits() == 0 {
			fmt.Fprintf(&s, " via %v", r.Via)
		}
	}
	if len(l.DNS) > 0 {
		fmt.Fprintf(&s, " dns %v", l.DNS)
	}
	if l.MTU != 0 {
		fmt.Fprintf(&s, " mtu %d", l.MTU)
	}
	if l.Time != 0 {
		fmt.Fprintf(&s, " for %v", l.Time)
	}
	return s.String()
}

// parseLease reads an acknowledgement. Values out of range are left out; only an address is needed.
func parseLease(ack *dhcpv4.DHCPv4) (*Lease, error) {
	addr, ok := netip.AddrFromSlice(ack.YourIPAddr.To4())
	if !ok || addr.IsUnspecified() || addr.IsMulticast() {
		return nil, fmt.Errorf("the DHCP server's answer has no usable address (%v)", ack.YourIPAddr)
	}
	l := &Lease{ack: ack, Hostname: strings.TrimRight(ack.HostName(), "\x00"),
		Addr: netip.PrefixFrom(addr, bits(ack, addr))}
	l.Server, _ = netip.AddrFromSlice(ack.ServerIdentifier().To4())
	for _, ip := range ack.DNS() {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && !a.IsUnspecified() {
			l.DNS = append(l.DNS, a)
		}
	}
	if labels := ack.DomainSearch(); labels != nil {
		l.Search = labels.Labels
	}
	if len(l.Search) == 0 && ack.DomainName() != "" {
		l.Search = []string{ack.DomainName()}
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, ack.Options); err == nil && mtu >= 576 {
		l.MTU = int(mtu)
	}
	l.Routes = routes(ack)
	const infinite = 0xFFFFFFFF * time.Second
	if l.Time = ack.IPAddressLeaseTime(0); l.Time >= infinite {
		l.Time = 0
	}
	l.RenewAfter = ack.IPAddressRenewalTime(l.Time / 2)
	if l.RenewAfter <= 0 || l.RenewAfter > l.Time {
		l.RenewAfter = l.Time / 2
	}
	return l, nil
}

// bits is the prefix length of the mask; a server that sent none means the class of the address (RFC 1122 3.2.2.9
// deprecates it, BOOTP servers still do it).
func bits(ack *dhcpv4.DHCPv4, addr netip.Addr) int {
	if m := ack.SubnetMask(); m != nil {
		if ones, size := m.Size(); size == 32 && ones > 0 {
			return ones
		}
	}
	switch first := addr.As4()[0]; {
	case first < 128:
		return 8
	case first < 192:
		return 16
	}
	return 24
}

// routes takes classless static routes (option 121) alone where they are given, else the first router: RFC 3442.
func routes(ack *dhcpv4.DHCPv4) []Route {
	var out []Route
	for _, r := range ack.ClasslessStaticRoute() {
		to, ok := netip.AddrFromSlice(r.Dest.IP.To4())
		ones, size := r.Dest.Mask.Size()
		if !ok || size != 32 {
			continue
		}
		via, _ := netip.AddrFromSlice(r.Router.To4())
		if via.IsUnspecified() {
			via = netip.Addr{}
		}
		out = append(out, Route{To: netip.PrefixFrom(to, ones), Via: via})
	}
	if len(out) > 0 {
		return out
	}
	for _, ip := range ack.Router() {
		if via, ok := netip.AddrFromSlice(ip.To4()); ok && !via.IsUnspecified() {
			return []Route{{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: via}}
		}
	}
	return nil
}
