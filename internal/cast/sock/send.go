package sock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Group sends to a multicast group.
type Group struct {
	conn *blocking
	p4   *ipv4.PacketConn
	p6   *ipv6.PacketConn
	gso  bool
	oob  []byte
	ms   []ipv4.Message
	pace uint64
	from netip.Addr
}

// sendTimeout bounds how long a send waits for room in the socket's buffer, which packets leave as the NIC takes them.
const sendTimeout = time.Second

// SendBuffer is the size of the socket's buffer, in bytes, that is asked for.
const SendBuffer = 1 << 20

// DialGroup opens a socket that sends to group on ifi.
func DialGroup(group netip.AddrPort, ifi *net.Interface, ttl int, gso bool) (*Group, error) {
	six := group.Addr().Is6()
	local, ok := address(ifi, six, netip.Addr{})
	if !ok {
		return nil, fmt.Errorf("cast: interface %s has no address of the family of group %v: give it one", ifi.Name,
			group.Addr())
	}
	conn, err := newBlocking(group, func(fd int) error {
		// Before the socket is connected, since connecting looks up the route.
		var err error
		if six {
			err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, ifi.Index)
		} else {
			err = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF,
				&unix.IPMreqn{Ifindex: int32(ifi.Index)})
		}
		if err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(local, 0), ifi)); err != nil {
			return os.NewSyscallError("bind", err)
		}
		return os.NewSyscallError("connect", unix.Connect(fd, sockaddr(group, ifi)))
	})
	if err != nil {
		return nil, fmt.Errorf("cast: sending to %v on %s: %w", group, ifi.Name, err)
	}
	g := &Group{conn: conn, gso: gso, from: local.WithZone("")}
	if six {
		g.p6 = ipv6.NewPacketConn(g.conn)
		err = g.p6.SetMulticastHopLimit(ttl)
	} else {
		g.p4 = ipv4.NewPacketConn(g.conn)
		err = g.p4.SetMulticastTTL(ttl)
	}
	if err = errors.Join(err, conn.timeout(unix.SO_SNDTIMEO, sendTimeout)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("cast: sending to %v on %s: %w", group, ifi.Name, err)
	}
	setBuffer(g.conn, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, SendBuffer)
	g.oob = make([]byte, unix.CmsgSpace(2))
	h := g.oob
	binary.NativeEndian.PutUint64(h, uint64(unix.CmsgLen(2)))
	binary.NativeEndian.PutUint32(h[8:], unix.SOL_UDP)
	binary.NativeEndian.PutUint32(h[12:], unix.UDP_SEGMENT)
	return g, nil
}

// From is the address that packets leave from.
func (g *Group) From() netip.Addr { return g.from }

// GSO says whether packets go out with segmentation offload.
func (g *Group) GSO() bool { return g.gso }

// Send sends the packets that lie one after another in b, each of size bytes but the last, which may be shorter. At
// most Batch(size) packets.
func (g *Group) Send(b []byte, size int) error {
	g.ms = g.ms[:0]
	if g.gso || len(b) <= size {
		m := ipv4.Message{Buffers: [][]byte{b}}
		if len(b) > size {
			binary.NativeEndian.PutUint16(g.oob[unix.CmsgLen(0):], uint16(size))
			m.OOB = g.oob
		}
		g.ms = append(g.ms, m)
		err := g.write()
		if err == nil || m.OOB == nil || !refused(err) {
			return err
		}
		g.gso = false
		g.ms = g.ms[:0]
	}
	for len(b) > 0 {
		n := min(size, len(b))
		g.ms = append(g.ms, ipv4.Message{Buffers: [][]byte{b[:n:n]}})
		b = b[n:]
	}
	return g.write()
}

// write sends the messages in g.ms.
func (g *Group) write() error {
	for ms := g.ms; len(ms) > 0; {
		n, err := g.conn.again(func() (int, error) {
			if g.p4 != nil {
				return g.p4.WriteBatch(ms, 0)
			}
			return g.p6.WriteBatch(ms, 0)
		})
		if err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

// refused tells an offload that kernel or NIC lack from an error of the network: EIO where a driver cannot checksum
// (udp_send_skb), EINVAL where a packet is larger than the path's MTU or the kernel is old, ENOPROTOOPT and EOPNOTSUPP
// elsewhere.
func refused(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP) ||
		errors.Is(err, unix.ENOPROTOOPT) ||
		errors.Is(err, unix.EMSGSIZE)
}

// Pace tells the kernel the pace, in bits a second, where it paces by itself (the fq queueing discipline); elsewhere it
// has no effect.
func (g *Group) Pace(rate float64) {
	v := uint64(rate / 8 * 1.2)
	if v == 0 || g.pace != 0 && v > g.pace*9/10 && v < g.pace*11/10 {
		return
	}
	g.pace = v
	// Where the kernel cannot, the sender paces alone.
	_ = control(g.conn, func(fd int) error {
		return unix.SetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_MAX_PACING_RATE, v)
	})
}

// Close closes the socket.
func (g *Group) Close() error { return g.conn.Close() }
