package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/dhcpv6/nclient6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// lease6 gets an address by IPv6: whichever comes first of one that the kernel makes from a router's prefix (SLAAC),
// and one of a DHCPv6 server. Both begin with the link-local address, which the kernel uses only when nobody else has
// it.
func (s *Linux) lease6(ctx context.Context, name string) (*Lease, error) {
	if err := allowIPv6(name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	addrs, err := s.watchAddrs(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("IPv6 on %s: %w", name, err)
	}
	type answer struct {
		lease *Lease
		err   error
	}
	given := make(chan answer, 1)
	ask := func() error { // the socket is opened here, for it belongs to the network of this thread
		c, err := client6(name)
		if err != nil {
			return err
		}
		go func() { // ends with ctx
			defer c.Close()
			l, err := exchange6(ctx, c)
			given <- answer{l, err}
		}()
		return nil
	}
	asking := false
	for {
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case a := <-given:
			if !errors.Is(a.err, nclient6.ErrNoResponse) {
				return a.lease, a.err
			}
			asking = false // it is asked again, while a router's prefix may still come
		case <-addrs:
		}
		if l := s.ownAddress(name); l != nil {
			s.log().Info("an address of the router's prefix", "nic", name, "address", l.Addr)
			return l, nil
		}
		if !asking && s.linkLocal(name) {
			if err := ask(); err != nil {
				return nil, err
			}
			asking = true
		}
	}
}

// allowIPv6 has the kernel do IPv6 on an interface and listen to routers.
func allowIPv6(name string) error {
	dir := filepath.Join("/proc/sys/net/ipv6/conf", name)
	for _, k := range [][2]string{{"accept_ra", "1"}, {"autoconf", "1"}, {"disable_ipv6", "0"}} {
		if err := os.WriteFile(filepath.Join(dir, k[0]), []byte(k[1]), 0); err != nil {
			return fmt.Errorf("IPv6 on %s: %w (has the kernel no IPv6, or is it off by ipv6.disable=1?)", name, err)
		}
	}
	return nil
}

// watchAddrs returns a channel that gets a value at once, and whenever an address of some interface changed.
func (s *Linux) watchAddrs(ctx context.Context, name string) (<-chan struct{}, error) {
	updates := make(chan netlink.AddrUpdate, 16)
	err := netlink.AddrSubscribeWithOptions(updates, ctx.Done(), netlink.AddrSubscribeOptions{
		ErrorCallback: func(err error) {
			if ctx.Err() == nil {
				s.log().Debug("address events", "nic", name, "error", err)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	changed := make(chan struct{}, 1)
	changed <- struct{}{}
	go func() { // ends when the subscription closes updates, after ctx
		for range updates {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
	}()
	return changed, nil
}

// usable are the IPv6 addresses of an interface that may be used: nobody else has them, and their time is not over.
func usable(name string) []netlink.Addr {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return nil
	}
	var out []netlink.Addr
	for _, a := range list {
		if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED|unix.IFA_F_DEPRECATED) == 0 {
			out = append(out, a)
		}
	}
	return out
}

func (s *Linux) linkLocal(name string) bool {
	for _, a := range usable(name) {
		if a.IP.IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// ownAddress is an address that the kernel made and keeps, as a lease without an end; nil where there is none.
func (s *Linux) ownAddress(name string) *Lease {
	for _, a := range usable(name) {
		addr, ok := netip.AddrFromSlice(a.IP)
		if bits, _ := a.Mask.Size(); ok && a.Scope == unix.RT_SCOPE_UNIVERSE && bits < 128 {
			return &Lease{Addr: netip.PrefixFrom(addr, bits), kernel: true}
		}
	}
	return nil
}

// client6 is a client of DHCPv6 on an interface, which must have its link-local address.
func client6(name string) (*nclient6.Client, error) {
	c, err := nclient6.New(name, nclient6.WithTimeout(time.Second), nclient6.WithRetry(3))
	if err != nil {
		return nil, fmt.Errorf("DHCPv6 on %s: %w", name, err)
	}
	return c, nil
}

// renew6 asks DHCPv6 servers anew: the same machine is given the same address.
func (s *Linux) renew6(ctx context.Context, name string) (*Lease, error) {
	c, err := client6(name)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return exchange6(ctx, c)
}

// exchange6 asks for an address, a few times.
func exchange6(ctx context.Context, c *nclient6.Client) (*Lease, error) {
	// The same identifier at every start: a server that knows addresses by it gives the same one.
	id := dhcpv6.WithClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: c.InterfaceAddr()})
	advertise, err := c.Solicit(ctx, id)
	if err != nil {
		return nil, err
	}
	reply, err := c.Request(ctx, advertise)
	if err != nil {
		return nil, fmt.Errorf("DHCPv6: an address was offered, and then: %w", err)
	}
	l, err := parseLease6(reply)
	if err == nil {
		l.reply = reply
	}
	return l, err
}

// dadTime is more than the kernel takes to find out whether another machine has an address: a second and a bit.
const dadTime = 5 * time.Second

// settle waits until the kernel uses the address of a lease. One that another machine has is given back.
func (s *Linux) settle(name string, l *Lease) error {
	ctx, cancel := context.WithTimeout(context.Background(), dadTime)
	defer cancel()
	addrs, err := s.watchAddrs(ctx, name)
	if err != nil {
		return err
	}
	for {
		switch flags, ok := addrFlags(name, l.Addr.Addr()); {
		case !ok:
			return fmt.Errorf("the address %v went away", l.Addr)
		case flags&unix.IFA_F_DADFAILED != 0:
			return errors.Join(fmt.Errorf("the address %v that DHCPv6 gave is another machine's already", l.Addr),
				s.decline(ctx, name, l))
		case flags&unix.IFA_F_TENTATIVE == 0:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the kernel does not find out whether another machine has %v", l.Addr)
		case <-addrs:
		}
	}
}

// addrFlags are the kernel's flags of an address.
func addrFlags(name string, addr netip.Addr) (flags int, ok bool) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return 0, false
	}
	list, err := netlink.AddrList(link, netlink.FAMILY_V6)
	if err != nil {
		return 0, false
	}
	for _, a := range list {
		if b, ok := netip.AddrFromSlice(a.IP); ok && b == addr {
			return a.Flags, true
		}
	}
	return 0, false
}

// decline tells the server that another machine has the address that it gave, and takes it off the interface.
func (s *Linux) decline(ctx context.Context, name string, l *Lease) error {
	err := s.Deconfigure(name, l)
	if l.reply == nil {
		return err
	}
	c, cerr := client6(name)
	if cerr != nil {
		return errors.Join(err, cerr)
	}
	defer c.Close()
	m, merr := dhcpv6.NewMessage()
	if merr != nil {
		return errors.Join(err, merr)
	}
	m.MessageType = dhcpv6.MessageTypeDecline
	m.AddOption(dhcpv6.OptClientID(l.reply.Options.ClientID()))
	m.AddOption(dhcpv6.OptServerID(l.reply.Options.ServerID()))
	m.AddOption(dhcpv6.OptElapsedTime(0))
	m.AddOption(l.reply.Options.OneIANA())
	_, serr := c.SendAndRead(ctx, c.RemoteAddr(), m, nclient6.IsMessageType(dhcpv6.MessageTypeReply))
	return errors.Join(err, serr)
}

// parseLease6 reads a reply. Only an address is needed.
func parseLease6(reply *dhcpv6.Message) (*Lease, error) {
	ia := reply.Options.OneIANA()
	if ia == nil {
		return nil, errors.New("the DHCPv6 server's answer has no address")
	}
	if st := ia.Options.Status(); st != nil && st.StatusCode != iana.StatusSuccess {
		return nil, fmt.Errorf("the DHCPv6 server gives no address: %v (%q)", st.StatusCode, st.StatusMessage)
	}
	for _, o := range ia.Options.Addresses() {
		addr, ok := netip.AddrFromSlice(o.IPv6Addr)
		if !ok || o.ValidLifetime <= 0 || !addr.Is6() || addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast() ||
			addr.IsLinkLocalUnicast() || addr.IsLoopback() {
			continue
		}
		l := &Lease{Addr: netip.PrefixFrom(addr, 128), Time: o.ValidLifetime, RenewAfter: ia.T1}
		const infinite = 0xFFFFFFFF * time.Second
		if l.Time >= infinite {
			l.Time = 0
		}
		if l.RenewAfter <= 0 || l.RenewAfter > l.Time {
			l.RenewAfter = l.Time / 2
		}
		for _, ip := range reply.Options.DNS() {
			if a, ok := netip.AddrFromSlice(ip); ok && !a.IsUnspecified() {
				l.DNS = append(l.DNS, a)
			}
		}
		if labels := reply.Options.DomainSearchList(); labels != nil {
			l.Search = labels.Labels
		}
		return l, nil
	}
	return nil, errors.New("the DHCPv6 server's answer has no usable address")
}

// wayTo gives the interface a way to the server where no router said what is on the link: to its own /64, which holds
// on any Ethernet that this server gives addresses on.
func (s *Linux) wayTo(link netlink.Link, l *Lease) {
	if !s.Server.Is6() || !l.Addr.Addr().Is6() {
		return
	}
	routes, err := netlink.RouteGet(s.Server.AsSlice())
	if err == nil && len(routes) > 0 && routes[0].LinkIndex == link.Attrs().Index {
		return
	}
	lan := netip.PrefixFrom(l.Addr.Addr(), 64).Masked()
	if !lan.Contains(s.Server) {
		s.log().Warn("no router says how the server is reached, and it is in another network than this node",
			"nic", link.Attrs().Name, "server", s.Server, "address", l.Addr)
		return
	}
	s.log().Warn("no router says what is on this link: the node's own network is taken to be", "network", lan)
	dst := &net.IPNet{IP: lan.Addr().AsSlice(), Mask: net.CIDRMask(64, 128)}
	err = netlink.RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK})
	if err != nil {
		s.log().Warn("the way to the node's own network cannot be set", "network", lan, "error", err)
	}
}
