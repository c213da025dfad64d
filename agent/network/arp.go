package network

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// How often and how far apart the network is asked for an address: less than RFC 5227, 1.1 has it, which is written for
// machines that come and go by themselves.
const (
	probes     = 3
	probePause = 400 * time.Millisecond
)

// Taken asks by ARP who has an address, as one that has none itself (RFC 5227, 2.1.1).
func (s *Linux) Taken(ctx context.Context, name string, addr netip.Addr) (net.HardwareAddr, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	if s.own(ifi, addr) {
		return nil, nil // from before the agent was started again
	}
	const arp = unix.ETH_P_ARP<<8&0xff00 | unix.ETH_P_ARP>>8 // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, arp)
	if err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", name, err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: arp, Ifindex: ifi.Index}); err != nil {
		return nil, fmt.Errorf("ARP on %s: %w", name, err)
	}
	to := &unix.SockaddrLinklayer{Protocol: arp, Ifindex: ifi.Index, Halen: 6,
		Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	for range probes {
		if err := unix.Sendto(fd, probe(ifi.HardwareAddr, addr), 0, to); err != nil {
			return nil, fmt.Errorf("ARP on %s: %w", name, err)
		}
		who, err := hear(ctx, fd, ifi.HardwareAddr, addr)
		if who != nil || err != nil {
			return who, err
		}
	}
	return nil, nil
}

// own reports whether the interface has the address itself.
func (s *Linux) own(ifi *net.Interface, addr netip.Addr) bool {
	addrs, _ := ifi.Addrs() // an error: it is asked for
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == addr {
			return true
		}
	}
	return false
}

// probe is an ARP request (RFC 826) without a sender's address.
func probe(mac net.HardwareAddr, addr netip.Addr) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	b = append(append(b, mac...), 0, 0, 0, 0)
	a := addr.As4()
	return append(append(b, 0, 0, 0, 0, 0, 0), a[:]...)
}

// hear waits a pause for somebody who says that he has the address.
func hear(ctx context.Context, fd int, own net.HardwareAddr, addr netip.Addr) (net.HardwareAddr, error) {
	end := time.Now().Add(probePause)
	for buf := make([]byte, 128); ; {
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		tv := unix.NsecToTimeval(max(left, time.Millisecond).Nanoseconds())
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
			return nil, err
		}
		n, _, err := unix.Recvfrom(fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, err
		}
		if who := claims(buf[:n], addr); who != nil && !bytes.Equal(who, own) {
			return who, nil
		}
	}
}

// claims returns who says in an ARP packet that the address is his; nil if nobody does.
func claims(p []byte, addr netip.Addr) net.HardwareAddr {
	if len(p) < 28 || binary.BigEndian.Uint16(p) != 1 || binary.BigEndian.Uint16(p[2:]) != 0x0800 || p[4] != 6 ||
		p[5] != 4 {
		return nil
	}
	if netip.AddrFrom4([4]byte(p[14:18])) != addr {
		return nil
	}
	return net.HardwareAddr(bytes.Clone(p[8:14]))
}
