// Package uevent receives what the kernel says of devices that come, go and change: netlink(7), NETLINK_KOBJECT_UEVENT.
package uevent

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Event says that a device came, went or changed.
type Event struct {
	Action    string // add, remove, change, bind, ...
	Path      string // below /sys, starting with a slash
	Subsystem string
	Modalias  string
}

// ErrLost says that the kernel dropped events: look at /sys instead.
var ErrLost = errors.New("device events were lost")

// Socket receives device events from the kernel.
type Socket struct {
	fd int
}

// socketBuffer holds, in bytes, the events of a machine with thousands of devices while modules are being loaded.
const socketBuffer = 8 << 20

// Listen opens the socket. Events from then on are kept until they are read.
func Listen() (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, fmt.Errorf("device events: %w", err)
	}
	// Without privilege the default stays, and lost events are noticed.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer)
	// Group 1 is the kernel's own; udev uses 2.
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("device events: %w", err)
	}
	return &Socket{fd: fd}, nil
}

// Close closes the socket.
func (s *Socket) Close() error { return unix.Close(s.fd) }

// Pending returns the events that are waiting, without blocking. [ErrLost] says that some were dropped.
func (s *Socket) Pending() ([]Event, error) {
	var list []Event
	// The kernel's buffer for one event has 2048 bytes (UEVENT_BUFFER_SIZE), its header apart.
	buf := make([]byte, 16<<10)
	for {
		n, from, err := unix.Recvfrom(s.fd, buf, 0)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return list, nil
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			return nil, ErrLost
		case err != nil:
			return nil, fmt.Errorf("device events: %w", err)
		}
		// Port 0 is the kernel: any process can send to the group.
		if nl, ok := from.(*unix.SockaddrNetlink); !ok || nl.Pid != 0 {
			continue
		}
		if e, ok := parseEvent(buf[:n]); ok {
			list = append(list, e)
		}
	}
}

// Wait blocks until an event waits or ctx ends.
func (s *Socket) Wait(ctx context.Context) error {
	// An eventfd turns the end of ctx into something that poll(2) sees.
	efd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("device events: %w", err)
	}
	defer unix.Close(efd)
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(efd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	defer func() {
		// The descriptor's number may be another file's as soon as it is closed.
		if !stop() {
			<-woken
		}
	}()
	for {
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: int32(efd), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("device events: %w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fds[0].Revents != 0 {
			return nil
		}
	}
}

// parseEvent reads the kernel's message: "ACTION@PATH", then NAME=VALUE, each ended by a zero byte
// (lib/kobject_uevent.c).
func parseEvent(message []byte) (Event, bool) {
	fields := strings.Split(string(message), "\x00")
	action, path, ok := strings.Cut(fields[0], "@")
	if !ok || !strings.HasPrefix(path, "/") {
		return Event{}, false
	}
	e := Event{Action: action, Path: path}
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, "=")
		switch name {
		case "SUBSYSTEM":
			e.Subsystem = value
		case "MODALIAS":
			e.Modalias = value
		}
	}
	return e, true
}
