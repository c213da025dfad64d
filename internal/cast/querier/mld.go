package querier

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// mldConn sends and hears MLD queries.
type mldConn struct {
	conn *net.IPConn
	p    *ipv6.PacketConn
	ifi  *net.Interface
	self netip.Addr
}

func openMLD(ifi *net.Interface) (*mldConn, error) {
	c, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, err
	}
	m := &mldConn{conn: c.(*net.IPConn), ifi: ifi}
	m.p = ipv6.NewPacketConn(m.conn)
	if err := m.setup(); err != nil {
		c.Close()
		return nil, err
	}
	return m, nil
}

func (m *mldConn) setup() error {
	addrs, err := m.ifi.Addrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			m.self = p.Addr()
		}
	}
	if !m.self.IsValid() {
		return fmt.Errorf("%s has no link-local IPv6 address", m.ifi.Name)
	}
	if err := m.p.JoinGroup(m.ifi, &net.IPAddr{IP: net.IPv6linklocalallnodes}); err != nil {
		return err
	}
	if err := m.p.SetMulticastInterface(m.ifi); err != nil {
		return err
	}
	if err := m.p.SetMulticastHopLimit(1); err != nil {
		return err
	}
	if err := m.p.SetControlMessage(ipv6.FlagInterface, true); err != nil {
		return err
	}
	var f ipv6.ICMPFilter
	f.SetAll(true)
	f.Accept(ipv6.ICMPTypeMulticastListenerQuery)
	if err := m.p.SetICMPFilter(&f); err != nil {
		return err
	}
	raw, err := m.conn.SyscallConn()
	if err != nil {
		return err
	}
	// Router Alert in a hop-by-hop header (RFC 2711), which RFC 3810 section 5 asks of every MLD message.
	hop := []byte{0, 0, 5, 2, 0, 0, 1, 0}
	var serr error
	if err := raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptString(int(fd), unix.IPPROTO_IPV6, unix.IPV6_HOPOPTS, string(hop))
	}); err != nil {
		return err
	}
	return serr
}

// send sends a general query of MLDv2: RFC 3810 section 5.1. The kernel fills in the checksum.
func (m *mldConn) send(interval time.Duration) error {
	b := make([]byte, 28)
	b[0] = 130
	binary.BigEndian.PutUint16(b[4:], uint16(responseTime/time.Millisecond))
	b[24] = 2
	b[25] = queryCode(interval)
	_, err := m.p.WriteTo(b, &ipv6.ControlMessage{IfIndex: m.ifi.Index, Src: m.self.AsSlice(), HopLimit: 1},
		&net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: m.ifi.Name})
	return err
}

func (m *mldConn) close() { m.conn.Close() }

func (q *Querier) listenMLD(ctx context.Context, m *mldConn) error {
	buf := make([]byte, 1<<16)
	for {
		n, cm, src, err := m.p.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("MLD querier on %s: %w", q.ifi.Name, err)
		}
		ip, ok := src.(*net.IPAddr)
		if !ok || cm != nil && cm.IfIndex != m.ifi.Index || n < 24 || buf[0] != 130 {
			continue
		}
		a, ok := netip.AddrFromSlice(ip.IP)
		if ok && a.Less(m.self) {
			q.heard(6, a)
		}
	}
}
