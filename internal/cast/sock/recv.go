package sock

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// Member is a socket that receives from a multicast group.
type Member struct {
	conn   *blocking
	p4     *ipv4.PacketConn
	p6     *ipv6.PacketConn
	ifi    *net.Interface
	group  *net.UDPAddr
	joined bool
	gro    bool
	rcvbuf int
	ms     []ipv4.Message
}

// ReceiveBuffer is the size of the socket's buffer, in bytes, that is asked for: 30 ms of a cast at 1 GB/s.
const ReceiveBuffer = 32 << 20

// batch is how many messages are received at once: few enough for their bytes to stay in a core's own cache until they
// are decrypted.
const batch = 6

// Listen opens a socket for the packets of group on ifi; Join joins it.
func Listen(group netip.AddrPort, ifi *net.Interface, gro bool) (*Member, error) {
	conn, err := bind(group, ifi)
	if err != nil {
		return nil, fmt.Errorf("cast: listening to %v on %s: %w", group, ifi.Name, err)
	}
	m := &Member{conn: conn, ifi: ifi, group: net.UDPAddrFromAddrPort(group)}
	setBuffer(m.conn, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, ReceiveBuffer)
	err = control(m.conn, func(fd int) error {
		m.rcvbuf, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		if gro && unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) == nil {
			m.gro = true
		}
		return nil
	})
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("cast: listening to %v on %s: %w", group, ifi.Name, err)
	}
	if group.Addr().Is4() {
		m.p4 = ipv4.NewPacketConn(m.conn)
	} else {
		m.p6 = ipv6.NewPacketConn(m.conn)
	}
	m.ms = make([]ipv4.Message, batch)
	for i := range m.ms {
		// Not a power of two apart, so that the heads of the buffers do not fight for the same cache lines.
		m.ms[i].Buffers = [][]byte{make([]byte, 1<<16+192)}
		m.ms[i].OOB = make([]byte, 128)
	}
	return m, nil
}

// bind opens a socket that is bound to the group's own address, so that it sees nothing but the group. Package net
// would bind the wildcard address, and the socket would see all groups of the port that anybody here has joined.
func bind(group netip.AddrPort, ifi *net.Interface) (*blocking, error) {
	return newBlocking(group, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		if group.Addr().Is4() {
			// Only what this socket joined, on the interface where it joined (Linux 2.6.31).
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
		return os.NewSyscallError("bind", unix.Bind(fd, sockaddr(group, ifi)))
	})
}

// Join joins the group, or leaves it.
func (m *Member) Join(on bool) error {
	if m.joined == on {
		return nil
	}
	var err error
	switch {
	case m.p4 != nil && on:
		err = m.p4.JoinGroup(m.ifi, m.group)
	case m.p4 != nil:
		err = m.p4.LeaveGroup(m.ifi, m.group)
	case on:
		err = m.p6.JoinGroup(m.ifi, m.group)
	default:
		err = m.p6.LeaveGroup(m.ifi, m.group)
	}
	if err != nil {
		return fmt.Errorf("cast: joining %v on %s: %w", m.group, m.ifi.Name, err)
	}
	m.joined = on
	return nil
}

// Joined says whether the socket is in the group.
func (m *Member) Joined() bool { return m.joined }

// Receive waits for packets and calls f with each and the address that it came from; the bytes are f's until it
// returns. It returns after one batch, and says whether those were all that had come.
func (m *Member) Receive(f func(pkt []byte, from netip.Addr)) (drained bool, err error) {
	n, err := m.conn.again(func() (int, error) {
		if m.p4 != nil {
			return m.p4.ReadBatch(m.ms, unix.MSG_WAITFORONE)
		}
		return m.p6.ReadBatch(m.ms, unix.MSG_WAITFORONE)
	})
	if err != nil {
		return false, err
	}
	for i := range m.ms[:n] {
		b := m.ms[i].Buffers[0][:m.ms[i].N]
		from := source(m.ms[i].Addr)
		size := segment(m.ms[i].OOB[:m.ms[i].NN])
		if size <= 0 {
			size = len(b)
		}
		for len(b) > size {
			f(b[:size], from)
			b = b[size:]
		}
		if len(b) > 0 {
			f(b, from)
		}
	}
	return n < len(m.ms), nil
}

// source is the IP address of a packet's sender, invalid if it is not known.
func source(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// segment returns the size that the packets of a received super-packet have, from its UDP_GRO control message; 0 if
// there is none.
func segment(oob []byte) int {
	for len(oob) >= unix.SizeofCmsghdr {
		n := int(binary.NativeEndian.Uint64(oob))
		if n < unix.SizeofCmsghdr || n > len(oob) {
			return 0
		}
		level, kind := binary.NativeEndian.Uint32(oob[8:]), binary.NativeEndian.Uint32(oob[12:])
		if level == unix.SOL_UDP && kind == unix.UDP_GRO && n >= unix.SizeofCmsghdr+4 {
			return int(binary.NativeEndian.Uint32(oob[unix.SizeofCmsghdr:]))
		}
		next := (n + 7) &^ 7
		if next >= len(oob) {
			return 0
		}
		oob = oob[next:]
	}
	return 0
}

// Fill is how full the socket's buffer is, 0..255.
func (m *Member) Fill() uint8 {
	var info [9]uint32 // SK_MEMINFO_VARS, include/uapi/linux/sock_diag.h
	size := uint32(len(info) * 4)
	err := control(m.conn, func(fd int) error { return getMemInfo(fd, &info, &size) })
	if err != nil || info[1] == 0 {
		return 0
	}
	return uint8(min(uint64(info[0])*255/uint64(info[1]), 255))
}

// Buffer is the size of the socket's buffer in bytes.
func (m *Member) Buffer() int { return m.rcvbuf }

// Close closes the socket, which leaves the group.
func (m *Member) Close() error { return m.conn.Close() }

// SetDeadline bounds the waiting of the next Receive, which then fails with os.ErrDeadlineExceeded.
func (m *Member) SetDeadline(t time.Time) error {
	return m.conn.timeout(unix.SO_RCVTIMEO, time.Until(t))
}
