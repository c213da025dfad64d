package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/plain"
)

// Host is what doctor asks of this machine.
type Host interface {
	Now() time.Time
	// Synchronised reports whether the kernel is told that its clock is kept right.
	Synchronised() (bool, error)
	Release() (string, error) // of the running kernel
	// Output runs a program and returns what it printed.
	Output(ctx context.Context, program string, args ...string) ([]byte, error)
}

// Real is this machine.
type Real struct{}

var _ Host = Real{}

// Now implements Host.
func (Real) Now() time.Time { return time.Now() }

// timeError is what adjtimex(2) returns where nobody synchronises the clock.
const timeError = 5

// Synchronised implements Host, by adjtimex(2).
func (Real) Synchronised() (bool, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, fmt.Errorf("adjtimex: %w", err)
	}
	return state != timeError && t.Status&unix.STA_UNSYNC == 0, nil
}

// Release implements Host.
func (Real) Release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("release of the running kernel: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// maxOutput bounds what a program prints, in bytes: the firewall of a container host has some MB.
const maxOutput = 64 << 20

// Output implements Host.
func (Real) Output(ctx context.Context, program string, args ...string) ([]byte, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		// Where a user's $PATH does not lead.
		path = filepath.Join("/usr/sbin", program)
		if _, serr := os.Stat(path); serr != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	var out, errs limited
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", program, err, plain.Words(strings.TrimSpace(errs.String()), 200))
	}
	return out.Bytes(), nil
}

// limited is a buffer that takes no more than maxOutput.
type limited struct{ bytes.Buffer }

var errTooMuch = errors.New("it prints too much")

func (l *limited) Write(b []byte) (int, error) {
	if l.Len()+len(b) > maxOutput {
		return 0, errTooMuch
	}
	return l.Buffer.Write(b)
}
