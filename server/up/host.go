package up

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// Host is what up asks of the machine and lets its programs do.
type Host interface {
	UID() int
	Arch() string             // as Go calls it
	Root() string             // of its file system: /
	Release() (string, error) // of the running kernel
	MkImage() (string, error) // the program
	// Look asks a LAN for its DHCP servers.
	Look(ctx context.Context, iface string, log *slog.Logger) ([]doc.DHCPServer, error)
	// Output runs a program in a folder and returns what it printed; the error has what it said on stderr.
	Output(ctx context.Context, dir, program string, args ...string) ([]byte, error)
}

// Real is this machine.
type Real struct{}

var _ Host = Real{}

// UID implements Host.
func (Real) UID() int { return os.Geteuid() }

// Arch implements Host.
func (Real) Arch() string { return runtime.GOARCH }

// Root implements Host.
func (Real) Root() string { return "/" }

// Release implements Host.
func (Real) Release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("release of the running kernel: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// MkImage implements Host: the one beside this program, else the one in $PATH.
func (Real) MkImage() (string, error) {
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "mkimage")
		if st, err := os.Stat(beside); err == nil && st.Mode().IsRegular() {
			return beside, nil
		}
	}
	name, err := exec.LookPath("mkimage")
	if err != nil {
		return "", errors.New("the program mkimage, which makes the boot directory, is neither beside diskcast nor " +
			"in $PATH: install both (the package diskcast has them)")
	}
	return name, nil
}

// Look implements Host.
func (Real) Look(ctx context.Context, iface string, log *slog.Logger) ([]doc.DHCPServer, error) {
	return dhcp.Look(ctx, iface, log)
}

// Output implements Host.
func (Real) Output(ctx context.Context, dir, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	// If this program is killed, the kernel ends the other: for that the thread must live that started it (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		words := strings.TrimSpace(errs.String())
		return out, fmt.Errorf("%s: %w: %.2000s", strings.Join(append([]string{filepath.Base(program)}, args...), " "),
			err, words)
	}
	return out, nil
}
