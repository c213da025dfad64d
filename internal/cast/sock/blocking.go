package sock

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// blocking is a UDP socket outside the runtime's poller: who waits, waits in the kernel.
//
// The poller would be woken for every packet that comes, also while nobody wants one, and for every packet that has
// left. That was 44,000 switches of threads in a cast of 512 MiB to two receivers, a fifth of their and the sender's
// CPU time.
type blocking struct {
	*net.UDPConn // nil: only there so that x/net takes it for a UDP socket
	file         *os.File
	addr         *net.UDPAddr // the group
	closed       atomic.Bool
}

// newBlocking opens a UDP socket for a group and has prepare set it up.
func newBlocking(group netip.AddrPort, prepare func(fd int) error) (*blocking, error) {
	family := unix.AF_INET
	if group.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := prepare(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &blocking{file: os.NewFile(uintptr(fd), "udp"), addr: net.UDPAddrFromAddrPort(group)}, nil
}

// SyscallConn gives the way to the socket that x/net takes.
func (b *blocking) SyscallConn() (syscall.RawConn, error) {
	c, err := b.file.SyscallConn()
	return waiting{c}, err
}

// Close wakes who waits, whose call then returns nothing, and closes the socket.
func (b *blocking) Close() error {
	b.closed.Store(true)
	// Also of a socket that is not connected: it fails then, and wakes its waiters all the same (inet_shutdown).
	_ = control(b, func(fd int) error { return unix.Shutdown(fd, unix.SHUT_RDWR) })
	return b.file.Close()
}

// LocalAddr is asked for by x/net when a call has failed, for the error's text.
func (b *blocking) LocalAddr() net.Addr { return b.addr }

// RemoteAddr is asked for as LocalAddr is.
func (b *blocking) RemoteAddr() net.Addr { return b.addr }

// timeout bounds how long a call waits: the option is SO_RCVTIMEO or SO_SNDTIMEO.
func (b *blocking) timeout(option int, d time.Duration) error {
	tv := unix.NsecToTimeval(int64(max(d, time.Microsecond)))
	return control(b, func(fd int) error {
		return os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &tv))
	})
}

// waiting makes the calls in which x/net reads and writes wait in the kernel, instead of in the poller.
type waiting struct{ syscall.RawConn }

func (w waiting) Read(f func(fd uintptr) bool) error  { return w.once(f) }
func (w waiting) Write(f func(fd uintptr) bool) error { return w.once(f) }

func (w waiting) once(f func(fd uintptr) bool) error {
	done := false
	err := w.Control(func(fd uintptr) { done = f(fd) })
	if err == nil && !done {
		return os.ErrDeadlineExceeded // EAGAIN: the socket's timeout is over
	}
	return err
}

// again calls f, which makes one call of the socket, until it was not interrupted by a signal, as the runtime sends
// them, and tells when the socket was closed meanwhile.
func (b *blocking) again(f func() (int, error)) (n int, err error) {
	for {
		n, err = f()
		switch {
		case b.closed.Load():
			return 0, net.ErrClosed
		case !errors.Is(err, unix.EINTR):
			return n, err
		}
	}
}
