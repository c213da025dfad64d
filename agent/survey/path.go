package survey

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/session"
)

const (
	headers   = 20 + 8 // bytes of IPv4 and of an echo request
	pathTries = 2
	pathWait  = 400 * time.Millisecond
)

// probePath finds the largest of some sizes at which the server answers an echo request that may not be fragmented.
func probePath(ctx context.Context, o Options, l *session.Look, r *session.LookResult) func() {
	size, err := path(ctx, o, l)
	if err != nil {
		return func() { miss(r, "how large packets may be: "+err.Error()) }
	}
	return func() { r.PathMTU = &size }
}

func path(ctx context.Context, o Options, l *session.Look) (int, error) {
	ifi, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return 0, err
	}
	c, err := net.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := unfragmented(c.(*net.IPConn)); err != nil {
		return 0, err
	}
	sizes := []int{ifi.MTU, 1500, l.Packet, 1400, 1280, 576, 100}
	slices.Sort(sizes)
	slices.Reverse(sizes)
	sizes = slices.Compact(sizes)
	for i, size := range sizes {
		if size > ifi.MTU || size < headers {
			continue
		}
		for try := range pathTries {
			if ctx.Err() != nil {
				return 0, errors.New("there was no time to try all sizes")
			}
			ok, err := echo(c, o, size, i*pathTries+try)
			if err != nil {
				return 0, err
			}
			if ok {
				return size, nil
			}
		}
	}
	return 0, nil
}

// unfragmented sets DF, and has the kernel send also what it believes to be too large for the way.
func unfragmented(c *net.IPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		serr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	})
	return errors.Join(err, serr)
}

// echo asks once, and reports whether the answer came.
func echo(c net.PacketConn, o Options, size, seq int) (bool, error) {
	id := os.Getpid() & 0xffff
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: make([]byte, size-headers)}}
	b, err := m.Marshal(nil)
	if err != nil {
		return false, err
	}
	to := &net.IPAddr{IP: o.Server.AsSlice()}
	switch _, err := c.WriteTo(b, to); {
	case errors.Is(err, unix.EMSGSIZE):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := c.SetReadDeadline(time.Now().Add(pathWait)); err != nil {
		return false, err
	}
	buf := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		got, err := icmp.ParseMessage(1, buf[:n])
		if err != nil || got.Type != ipv4.ICMPTypeEchoReply || from.String() != to.String() {
			continue
		}
		if e, ok := got.Body.(*icmp.Echo); ok && e.ID == id && e.Seq == seq && len(e.Data) == size-headers {
			return true, nil
		}
	}
}
