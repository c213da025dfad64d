package sock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Group sends to a multicast group.
type Group struct {
	conn *net.UDPConn
	p4   *ipv4.PacketConn
	p6   *ipv6.PacketConn
	gso  bool
	oob  []byte
	ms4  []ipv4.Message
	pace uint64
}

// DialGroup opens a socket that sends to group on ifi.
func DialGroup(group netip.AddrPort, ifi *net.Interface, ttl int, gso bool) (*Group, error) {
	six := group.Addr().Is6()
	local, ok := address(ifi, six, netip.Addr{})
	if !ok {
		return nil, fmt.Errorf("cast: interface %s has no address of the family of group %v: give it one", ifi.Name, group.Addr())
	}
	network := "udp4"
	if six {
		network = "udp6"
		group = netip.AddrPortFrom(group.Addr().WithZone(ifi.Name), group.Port())
	}
	dialer := net.Dialer{
		LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)),
		// Before the socket is connected, since connecting looks up the route.
		Control: func(_, _ string, c syscall.RawConn) error {
			var err error
			c.Control(func(fd uintptr) {
				if six {
					err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, ifi.Index)
				} else {
					err = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(ifi.Index)})
				}
			})
			return err
		},
	}
	conn, err := dialer.Dial(network, group.String())
	if err != nil {
		return nil, fmt.Errorf("cast: sending to %v on %s: %w", group, ifi.Name, err)
	}
	g := &Group{conn: conn.(*net.UDPConn), gso: gso}
	if six {
		g.p6 = ipv6.NewPacketConn(g.conn)
		err = errors.Join(g.p6.SetMulticastInterface(ifi), g.p6.SetMulticastHopLimit(ttl))
	} else {
		g.p4 = ipv4.NewPacketConn(g.conn)
		err = errors.Join(g.p4.SetMulticastInterface(ifi), g.p4.SetMulticastTTL(ttl))
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cast: sending to %v on %s: %w", group, ifi.Name, err)
	}
	setBuffer(g.conn, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, 1<<20)
	g.oob = make([]byte, unix.CmsgSpace(2))
	h := g.oob
	binary.NativeEndian.PutUint64(h, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(h[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(h[12:], unix.UDP_SEGMENT)
	return g, nil
}

// GSO says whether packets go out with segmentation offload.
func (g *Group) GSO() bool { return g.gso }

// Send sends the packets that lie one after another in b, each of size bytes but the last, which may be shorter. At most
// Batch(size) packets.
func (g *Group) Send(b []byte, size int) error {
	if len(b) <= size {
		_, err := g.conn.Write(b)
		return err
	}
	if g.gso {
		binary.NativeEndian.PutUint16(g.oob[unix.CmsgLen(0):], uint16(size))
		_, _, err := g.conn.WriteMsgUDPAddrPort(b, g.oob, netip.AddrPort{})
		if err == nil || !refused(err) {
			return err
		}
		g.gso = false
	}
	return g.sendEach(b, size)
}

// refused tells an offload that kernel or NIC lack from an error of the network: EIO where a driver cannot checksum
// (udp_send_skb), EINVAL where a packet is larger than the path's MTU or the kernel is old, ENOPROTOOPT and EOPNOTSUPP elsewhere.
func refused(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOPROTOOPT) ||
		errors.Is(err, unix.EMSGSIZE)
}

func (g *Group) sendEach(b []byte, size int) error {
	g.ms4 = g.ms4[:0]
	for len(b) > 0 {
		n := min(size, len(b))
		g.ms4 = append(g.ms4, ipv4.Message{Buffers: [][]byte{b[:n:n]}})
		b = b[n:]
	}
	for ms := g.ms4; len(ms) > 0; {
		var n int
		var err error
		if g.p4 != nil {
			n, err = g.p4.WriteBatch(ms, 0)
		} else {
			n, err = g.p6.WriteBatch(ms, 0)
		}
		if err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

// Pace tells the kernel the pace, in bits a second, where it paces by itself (the fq queueing discipline); elsewhere it has no effect.
func (g *Group) Pace(rate float64) {
	v := uint64(rate / 8 * 1.2)
	if v == 0 || g.pace != 0 && v > g.pace*9/10 && v < g.pace*11/10 {
		return
	}
	g.pace = v
	control(g.conn, func(fd int) error {
		return unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, v)
	})
}

// Close closes the socket.
func (g *Group) Close() error { return g.conn.Close() }
