package awaited

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one that another program has started. It is known by more than its number, which another could get.
type Process struct {
	t       testing.TB
	pid, fd int
}

// Find returns the process that runs with the number now.
func Find(t testing.TB, pid int) *Process {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &Process{t, pid, fd}
}

// Ends fails the test, and kills the process, if it still runs after so long.
func (p *Process) Ends(limit time.Duration) {
	p.t.Helper()
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	n, err := 0, error(unix.EINTR)
	for errors.Is(err, unix.EINTR) { // by a signal of Go's own
		n, err = unix.Poll(fds, int(limit.Milliseconds()))
	}
	if n != 1 || err != nil {
		_ = unix.PidfdSendSignal(p.fd, unix.SIGKILL, nil, 0) // it is in nobody's way then
		p.t.Errorf("process %d goes on: %v", p.pid, err)
	}
}
