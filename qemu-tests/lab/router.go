package lab

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/net/ipv6"
)

// router answers IPv6 router solicitations on the bridge: "there is a router here, and it has nothing for you".
//
// QEMU's PXE ROM is an iPXE with IPv6. Having its IPv4 address after a tenth of a second, it still waits for a router to
// answer, 18 s on a network without one, before it boots. Most networks have such a router; the lab has this.
type router struct {
	conn *ipv6.PacketConn
	raw  net.PacketConn
}

// startRouter must be called on the lab's thread.
func startRouter() (*router, error) {
	ifi, err := net.InterfaceByName(Bridge)
	if err != nil {
		return nil, err
	}
	raw, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	r := &router{conn: ipv6.NewPacketConn(raw), raw: raw}
	setup := func() error {
		var solicitations ipv6.ICMPFilter
		solicitations.SetAll(true)
		solicitations.Accept(ipv6.ICMPTypeRouterSolicitation)
		return errors.Join(
			r.conn.SetICMPFilter(&solicitations),
			r.conn.JoinGroup(ifi, &net.IPAddr{IP: net.IPv6linklocalallrouters}),
			r.conn.SetMulticastInterface(ifi),
			r.conn.SetMulticastHopLimit(255), // RFC 4861 section 6.1.2: anything less came through a router and is ignored
			r.conn.SetHopLimit(255),
		)
	}
	if err := setup(); err != nil {
		raw.Close()
		return nil, fmt.Errorf("router: %w", err)
	}
	go r.run(ifi) // ends when the socket is closed
	return r, nil
}

func (r *router) run(ifi *net.Interface) {
	// RFC 4861 section 4.2: type, code, checksum (by the kernel), hop limit, flags, router lifetime 0 (not a default
	// router), reachable time, retransmission timer. No options: no prefix, so no address.
	advertisement := make([]byte, 16)
	advertisement[0] = byte(ipv6.ICMPTypeRouterAdvertisement)
	buf := make([]byte, 1500)
	for {
		n, cm, _, err := r.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < 8 || (cm != nil && cm.IfIndex != 0 && cm.IfIndex != ifi.Index) {
			continue
		}
		_, _ = r.conn.WriteTo(advertisement, nil, &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: ifi.Name})
	}
}

func (r *router) close() { _ = r.raw.Close() }

func enableIPv6(ifname string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+ifname+"/disable_ipv6", []byte("0"), 0)
	if os.IsNotExist(err) {
		return nil // a kernel without IPv6: the machines wait their 18 s
	}
	// The address must be usable at once, not after a second of duplicate detection.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+ifname+"/accept_dad", []byte("0"), 0)
	return err
}
