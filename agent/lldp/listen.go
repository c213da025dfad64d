package lldp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// groups are the addresses to which a neighbour on the cable speaks: nearest bridge, nearest non-TPMR bridge, nearest
// customer bridge (table 7-1).
var groups = [][6]byte{{0x01, 0x80, 0xc2, 0, 0, 0x0e}, {0x01, 0x80, 0xc2, 0, 0, 0x03}, {0x01, 0x80, 0xc2, 0, 0, 0x00}}

// Hear waits for a switch to say which port the interface is plugged into, until ctx ends. Frames that make no sense
// are told to odd, and passed over.
func Hear(ctx context.Context, nic string, odd func(error)) (*Neighbour, error) {
	f, err := open(nic)
	if err != nil {
		return nil, fmt.Errorf("LLDP on %s: %w", nic, err)
	}
	defer f.Close()
	n, err := hear(ctx, f, odd)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("LLDP on %s: %w", nic, err)
	}
	return n, err
}

func hear(ctx context.Context, f *os.File, odd func(error)) (*Neighbour, error) {
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetReadDeadline(time.Unix(1, 0)) // a closed file has nobody who waits
	})
	defer stop()
	b := make([]byte, maxFrame+1)
	for {
		n, err := f.Read(b)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, unix.ENETDOWN): // the link went; it may come again
			continue
		case err != nil:
			return nil, err
		}
		if got, err := Parse(b[:n]); err == nil {
			return got, nil
		} else if odd != nil {
			odd(err)
		}
	}
}

// open makes a socket that gets the interface's LLDP frames, without their Ethernet headers.
func open(nic string) (*os.File, error) {
	iface, err := net.InterfaceByName(nic)
	if err != nil {
		return nil, err
	}
	proto := uint16(EtherType>>8 | EtherType&0xff<<8) // in network byte order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "lldp "+nic) // not blocking: it has deadlines
	for _, g := range groups {
		m := unix.PacketMreq{Ifindex: int32(iface.Index), Type: unix.PACKET_MR_MULTICAST, Alen: 6}
		copy(m.Address[:], g[:])
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &m); err != nil {
			return nil, errors.Join(os.NewSyscallError("setsockopt", err), f.Close())
		}
	}
	// Bound last: before it is, the socket hears nothing of any interface.
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: iface.Index}); err != nil {
		return nil, errors.Join(os.NewSyscallError("bind", err), f.Close())
	}
	return f, nil
}
