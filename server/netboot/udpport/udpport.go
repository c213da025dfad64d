// Package udpport opens a UDP port of one interface, as the only program that has it: where two programs share a port,
// each packet goes to one of them, and nobody is told.
package udpport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// InUseError says that another program has the port.
type InUseError struct {
	Port    int
	Iface   string
	Holders string // the programs, in words; empty where they cannot be seen
}

func (e *InUseError) Error() string {
	by := "another program"
	if e.Holders != "" {
		by = e.Holders
	}
	return fmt.Sprintf("UDP port %d of %s is in use by %s", e.Port, e.Iface, by)
}

// Listen opens the port on one interface, by SO_BINDTODEVICE: another interface's packets never reach it, nor do its
// answers leave there. While it is open, no other program can have the port of this interface; if one has, the error is
// an InUseError.
func Listen(iface string, port int) (*net.UDPConn, error) { return listen("udp4", iface, port, false) }

// Listen6 is Listen for IPv6.
func Listen6(iface string, port int) (*net.UDPConn, error) { return listen("udp6", iface, port, false) }

// ListenShared opens the port beside other programs that allow it too. A broadcast reaches all of them, another packet
// one.
func ListenShared(iface string, port int) (*net.UDPConn, error) {
	return listen("udp4", iface, port, true)
}

// receiveBuffer is how much the kernel keeps of packets that come at once, in bytes: 2,000 of a lab that is switched on
// (the kernel counts some 2 KiB for a packet of 600 bytes).
const receiveBuffer = 4 << 20

func listen(network, iface string, port int, shared bool) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		cerr := c.Control(func(fd uintptr) {
			err = unix.BindToDevice(int(fd), iface)
			// What does not fit is lost, and firmware says it again after 4 s. It may be refused, and is no error.
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer)
			for _, opt := range []int{unix.SO_REUSEADDR, unix.SO_REUSEPORT} {
				if shared && err == nil {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, opt, 1)
				}
			}
		})
		return errors.Join(cerr, err)
	}}
	c, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(port))
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, &InUseError{Port: port, Iface: iface, Holders: of(port, strings.TrimSuffix(network, "4"))}
	case err != nil:
		return nil, fmt.Errorf("listen on UDP port %d of %s: %w (it needs root or CAP_NET_BIND_SERVICE and "+
			"CAP_NET_RAW)", port, iface, err)
	}
	return c.(*net.UDPConn), nil
}
