// Package sock holds the sockets of a cast: multicast sending with UDP segmentation offload, multicast receiving with
// receive offload, and the way from an interface name to everything that must be known of it.
//
// One sendmsg with UDP_SEGMENT moves up to 44 packets through the stack at the price of one, and UDP_GRO hands as many
// to a receiver at once (Linux 4.18 and 5.0, Documentation/networking/segmentation-offloads.rst). Where kernel or NIC
// refuse, packets go by sendmmsg and come by recvmmsg.
package sock

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// MaxBatch is how many packets of 1448 bytes fit one send: the kernel takes 64 segments and 65,507 bytes.
const MaxBatch = 44

// maxSend is the most bytes of one send.
const maxSend = 64000

// Batch is how many packets of n bytes go into one send.
func Batch(n int) int { return max(1, min(MaxBatch, maxSend/n)) }

// InterfaceFor returns the named interface, or, when name is empty, the one that packets to addr leave by, or that has
// addr.
func InterfaceFor(name string, addr netip.Addr) (*net.Interface, error) {
	if name != "" {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("cast: interface %s: %w", name, err)
		}
		return ifi, nil
	}
	if zone := addr.Zone(); zone != "" {
		return InterfaceFor(zone, addr)
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 9)))
	if err != nil {
		return nil, fmt.Errorf("cast: no route to %v: name the interface: %w", addr, err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	conn.Close()
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("cast: listing interfaces: %w", err)
	}
	for i := range all {
		if _, ok := address(&all[i], local.Is6(), local); ok {
			return &all[i], nil
		}
	}
	return nil, fmt.Errorf("cast: no interface has the address %v: name the interface", local)
}

// address returns an address of the interface in the family, or that very address when want is valid.
func address(ifi *net.Interface, six bool, want netip.Addr) (netip.Addr, bool) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, false
	}
	var found netip.Addr
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := p.Addr().Unmap().WithZone("")
		if ip.Is6() != six || want.IsValid() && ip != want {
			continue
		}
		if ip.IsLinkLocalUnicast() {
			if !found.IsValid() {
				found = ip.WithZone(ifi.Name)
			}
			continue
		}
		return ip, true
	}
	return found, found.IsValid()
}

// sockaddr is an address as bind and connect take it; those of IPv6 are those of ifi.
func sockaddr(a netip.AddrPort, ifi *net.Interface) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: uint32(ifi.Index)}
}

// LinkSpeed reads the speed of a physical NIC in bits a second; 0 where it is unknown or means nothing, as with virtual
// ones.
func LinkSpeed(name string) float64 {
	dir := filepath.Join("/sys/class/net", filepath.Base(name))
	driver, err := os.Readlink(filepath.Join(dir, "device", "driver"))
	if err != nil || strings.HasPrefix(filepath.Base(driver), "virtio") {
		return 0
	}
	b, err := os.ReadFile(filepath.Join(dir, "speed"))
	if err != nil {
		return 0
	}
	mbps, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || mbps <= 0 {
		return 0
	}
	return float64(mbps) * 1e6
}

// control runs f on a connection's file descriptor.
func control(c syscall.Conn, f func(fd int) error) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := raw.Control(func(fd uintptr) { ferr = f(int(fd)) }); err != nil {
		return err
	}
	return ferr
}

// setBuffer sets a socket buffer to n bytes, past the system's limit where we may. With a smaller one more is lost and
// repaired.
func setBuffer(c syscall.Conn, force, plain, n int) {
	_ = control(c, func(fd int) error {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, n) != nil {
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, n)
		}
		return nil
	})
}

// SetReceiveBuffer gives a socket a receive buffer of n bytes, or as much as the system allows.
func SetReceiveBuffer(c syscall.Conn, n int) { setBuffer(c, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, n) }

// Local returns the named interface, or the one of the default route, and an address of its in the family.
func Local(name string, six bool) (*net.Interface, netip.Addr, error) {
	if name != "" {
		ifi, err := InterfaceFor(name, netip.Addr{})
		if err != nil {
			return nil, netip.Addr{}, err
		}
		a, ok := address(ifi, six, netip.Addr{})
		if !ok {
			return nil, netip.Addr{}, fmt.Errorf("cast: interface %s has no address of the family of the groups", name)
		}
		return ifi, a, nil
	}
	// Documentation addresses: nothing is sent, only the route is looked up.
	far := netip.MustParseAddr("192.0.2.1")
	if six {
		far = netip.MustParseAddr("2001:db8::1")
	}
	ifi, err := InterfaceFor("", far)
	if err != nil {
		return nil, netip.Addr{}, err
	}
	return Local(ifi.Name, six)
}
