package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// VendorClass tells a DHCP server that it is the agent that asks, not the firmware of the same machine.
const VendorClass = "diskcast-agent"

// Linux is the System of a real node.
type Linux struct {
	// ResolvConf is where name servers are written; empty writes none.
	ResolvConf string
	// Server is the server's address where the settings name it by one. With one of IPv6 the node asks for nothing
	// else.
	Server netip.Addr
	Log    *slog.Logger // nil discards
}

var _ System = (*Linux)(nil)

func (s *Linux) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// Interfaces lists Ethernet interfaces, those with carrier first, then by index: the order in which drivers found them.
func (s *Linux) Interfaces() ([]Interface, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	sort.SliceStable(links, func(i, j int) bool { return links[i].Attrs().Index < links[j].Attrs().Index })
	var up, down []Interface
	for _, l := range links {
		a := l.Attrs()
		if a.EncapType != "ether" || len(a.HardwareAddr) != 6 || a.Flags&net.FlagLoopback != 0 {
			continue
		}
		switch l.Type() {
		case "bridge", "bond", "dummy", "tuntap", "vlan", "macvlan", "vxlan", "ifb":
			continue
		}
		n := Interface{Name: a.Name, MAC: a.HardwareAddr, Carrier: a.OperState == netlink.OperUp ||
			(a.RawFlags&unix.IFF_LOWER_UP != 0 && a.Flags&net.FlagUp != 0)}
		if n.Carrier {
			up = append(up, n)
		} else {
			down = append(down, n)
		}
	}
	return append(up, down...), nil
}

// SetUp switches an interface on.
func (s *Linux) SetUp(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if l.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("switching %s on: %w", name, err)
	}
	return nil
}

// Changed subscribes to link changes.
func (s *Linux) Changed(ctx context.Context) (<-chan struct{}, error) {
	updates := make(chan netlink.LinkUpdate, 16)
	err := netlink.LinkSubscribeWithOptions(updates, ctx.Done(), netlink.LinkSubscribeOptions{
		ErrorCallback: func(err error) {
			if ctx.Err() == nil {
				s.log().Debug("network interface events", "error", err)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	changed := make(chan struct{}, 1)
	// Ends when the subscription closes updates, after ctx.
	go func() {
		for range updates {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}

// requested are the options that a node uses (RFC 2132, RFC 3442, RFC 3397).
var requested = dhcpv4.WithRequestedOptions(
	dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName,
	dhcpv4.OptionDNSDomainSearchList, dhcpv4.OptionInterfaceMTU, dhcpv4.OptionHostName,
	dhcpv4.OptionClasslessStaticRoute,
	dhcpv4.OptionNTPServers, dhcpv4.OptionIPAddressLeaseTime, dhcpv4.OptionRenewTimeValue,
	dhcpv4.OptionServerIdentifier,
)

func modifiers() []dhcpv4.Modifier {
	return []dhcpv4.Modifier{requested, dhcpv4.WithOption(dhcpv4.OptClassIdentifier(VendorClass))}
}

// Lease goes through discover, offer, request and acknowledgement until it has a lease. It asks every few seconds and
// not, as RFC 2131 would have it, ever more seldom: a link that has just come up must not wait half a minute for the
// next question. The client works on a raw socket: it needs no address yet, and answers reach it whatever the server's
// ARP cache says.
func (s *Linux) Lease(ctx context.Context, name string) (*Lease, error) {
	if s.Server.Is6() {
		return s.lease6(ctx, name)
	}
	for {
		l, err := s.lease(ctx, name)
		if err == nil || ctx.Err() != nil || !errors.Is(err, nclient4.ErrNoResponse) {
			return l, err
		}
	}
}

func (s *Linux) lease(ctx context.Context, name string) (*Lease, error) {
	c, err := nclient4.New(name, nclient4.WithTimeout(time.Second), nclient4.WithRetry(3))
	if err != nil {
		return nil, fmt.Errorf("DHCP on %s: %w", name, err)
	}
	defer c.Close()
	discover, err := dhcpv4.NewDiscovery(c.InterfaceAddr(),
		append(modifiers(), dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(nclient4.MaxMessageSize)))...)
	if err != nil {
		return nil, fmt.Errorf("DHCP on %s: %w", name, err)
	}
	// A proxyDHCP server that does not look at the vendor class offers no address: wait on for one that does.
	offer, err := c.SendAndRead(ctx, nclient4.DefaultServers, discover, func(p *dhcpv4.DHCPv4) bool {
		return p.MessageType() == dhcpv4.MessageTypeOffer && !p.YourIPAddr.IsUnspecified()
	})
	if err != nil {
		return nil, fmt.Errorf("DHCP on %s: no offer: %w", name, err)
	}
	s.log().Info("DHCP offer", "nic", name, "address", offer.YourIPAddr, "server", offer.ServerIdentifier())
	lease, err := c.RequestFromOffer(ctx, offer, modifiers()...)
	if err != nil {
		return nil, fmt.Errorf("DHCP on %s: %v offered %v and then: %w", name, offer.ServerIdentifier(),
			offer.YourIPAddr, err)
	}
	return parseLease(lease.ACK)
}

// Renew asks for the same address again; when that is refused it asks for any.
func (s *Linux) Renew(ctx context.Context, name string, l *Lease) (*Lease, error) {
	if l.Addr.Addr().Is6() {
		return s.renew6(ctx, name)
	}
	c, err := nclient4.New(name, nclient4.WithTimeout(time.Second), nclient4.WithRetry(3))
	if err != nil {
		return nil, fmt.Errorf("DHCP on %s: %w", name, err)
	}
	defer c.Close()
	next, err := c.Renew(ctx, &nclient4.Lease{Offer: l.ack, ACK: l.ack}, modifiers()...)
	if err == nil {
		return parseLease(next.ACK)
	}
	s.log().Info("DHCP renewal failed, asking anew", "nic", name, "error", err)
	c.Close()
	return s.Lease(ctx, name)
}

// Configure sets MTU, address, routes and name servers.
func (s *Linux) Configure(name string, l *Lease) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if l.MTU != 0 && l.MTU != link.Attrs().MTU {
		// A driver that cannot do it is no reason to stay without a network.
		if err := netlink.LinkSetMTU(link, l.MTU); err != nil {
			s.log().Warn("the interface does not take the MTU that DHCP gave", "nic", name, "mtu", l.MTU, "error", err)
		}
	}
	addr := &netlink.Addr{IPNet: ipNet(l.Addr)}
	if l.kernel {
		return nil // it is there
	}
	if err := netlink.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("%s: address %v: %w", name, l.Addr, err)
	}
	if l.Addr.Addr().Is6() {
		if err := s.settle(name, l); err != nil {
			return err
		}
		s.wayTo(link, l)
	}
	for _, r := range l.Routes {
		if err := netlink.RouteReplace(route(link, r)); err != nil {
			// The server is on this network as a rule; a wrong router must not stop the node.
			s.log().Warn("a route that DHCP gave cannot be set", "nic", name, "to", r.To, "via", r.Via, "error", err)
		}
	}
	if err := s.resolv(l); err != nil {
		s.log().Warn("name servers cannot be written", "error", err)
	}
	return nil
}

// Deconfigure takes the lease's routes and address away.
func (s *Linux) Deconfigure(name string, l *Lease) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	var errs []error
	for _, r := range l.Routes {
		if err := netlink.RouteDel(route(link, r)); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("%s: route to %v: %w", name, r.To, err))
		}
	}
	if l.kernel {
		return errors.Join(errs...)
	}
	if err := netlink.AddrDel(link, &netlink.Addr{IPNet: ipNet(l.Addr)}); err != nil &&
		!errors.Is(err, unix.EADDRNOTAVAIL) {
		errs = append(errs, fmt.Errorf("%s: address %v: %w", name, l.Addr, err))
	}
	return errors.Join(errs...)
}

func route(link netlink.Link, r Route) *netlink.Route {
	n := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(r.To.Masked())}
	if r.Via.IsValid() {
		n.Gw = r.Via.AsSlice()
		// Some sites hand out a router outside the node's own prefix; it answers ARP on the link all the same.
		n.Flags = int(netlink.FLAG_ONLINK)
	} else {
		n.Scope = netlink.SCOPE_LINK
	}
	return n
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// resolv replaces the resolver's configuration; without name servers the file is left empty, so that a lookup
// fails at once rather than asking someone outside the site.
func (s *Linux) resolv(l *Lease) error {
	if s.ResolvConf == "" {
		return nil
	}
	var b strings.Builder
	if len(l.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(l.Search, " "))
	}
	for _, a := range l.DNS {
		fmt.Fprintf(&b, "nameserver %v\n", a)
	}
	if err := os.MkdirAll(filepath.Dir(s.ResolvConf), 0o755); err != nil {
		return err
	}
	return os.WriteFile(s.ResolvConf, []byte(b.String()), 0o644)
}

// Addrs returns the addresses of an interface, for the inventory.
func Addrs(name string) []string {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil
	}
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}
