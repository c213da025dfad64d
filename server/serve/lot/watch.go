package lot

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What is watched for, once each time (epoll(7)). That a connection has failed is always told.
const (
	incoming = unix.EPOLLIN | unix.EPOLLONESHOT
	hangup   = unix.EPOLLRDHUP | unix.EPOLLONESHOT
)

// watch is the kernel's list of connections that are watched. Go's own poller watches the list.
type watch struct {
	fd     int
	file   *os.File
	raw    syscall.RawConn
	events [128]unix.EpollEvent
}

func newWatch() (*watch, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch connections: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // else os.NewFile does not have it polled
		return nil, errors.Join(fmt.Errorf("watch connections: %w", err), unix.Close(fd))
	}
	w := &watch{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if w.raw, err = w.file.SyscallConn(); err == nil {
		err = w.file.SetReadDeadline(time.Time{}) // an error: it is not polled
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch connections: %w", err), w.file.Close())
	}
	return w, nil
}

// on watches a connection. The caller holds the lot's lock.
func (w *watch) on(c *conn, what uint32) error {
	op := unix.EPOLL_CTL_MOD
	if !c.known {
		op = unix.EPOLL_CTL_ADD
	}
	ev := unix.EpollEvent{Events: what, Fd: int32(uint32(c.id)), Pad: int32(uint32(c.id >> 32))}
	err := error(nil)
	werr := w.raw.Control(func(epoll uintptr) {
		err = c.raw.Control(func(fd uintptr) {
			err = unix.EpollCtl(int(epoll), op, int(fd), &ev)
		})
	})
	c.known = true
	return errors.Join(werr, err)
}

// wait waits until something has come, and tells of each.
func (w *watch) wait(came func(id uint64)) error {
	var n int
	var err error
	werr := w.raw.Read(func(fd uintptr) bool {
		for err = unix.EINTR; err == unix.EINTR; {
			n, err = unix.EpollWait(int(fd), w.events[:], 0)
		}
		return n != 0 || err != nil
	})
	if werr != nil {
		if errors.Is(werr, os.ErrDeadlineExceeded) {
			_ = w.file.SetReadDeadline(time.Time{}) // a closed one is seen the next time
		}
		return werr
	}
	if err != nil {
		return err
	}
	for _, ev := range w.events[:n] {
		came(uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32)
	}
	return nil
}

// poke ends wait.
func (w *watch) poke() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) }

func (w *watch) close() { _ = w.file.Close() }
