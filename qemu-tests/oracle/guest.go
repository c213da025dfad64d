package oracle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/qemu-tests/proc"
)

// No program but a kernel reads every file of an XFS. The machine's own may lack XFS, btrfs or loop devices (a container on CI), so another one is used:
// user-mode Linux, a kernel that runs as a process, with the machine's files as its root and this program as its first process.

const (
	envKind, envOut = "ORACLE_GUEST_FS", "ORACLE_GUEST_OUT" // words of the guest's command line that its kernel does not know are its environment
	guestDisk       = "/dev/ubda"
)

func init() {
	if kind := os.Getenv(envKind); os.Getpid() == 1 && kind != "" {
		err := guest(kind, os.Getenv(envOut))
		if err != nil {
			err = os.WriteFile(os.Getenv(envOut)+".error", []byte(err.Error()), 0o644)
		}
		if err != nil {
			fmt.Println(err)
		}
		_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
		select {}
	}
}

// guest is what happens inside.
func guest(kind, out string) error {
	if err := errors.Join(unix.Mount("proc", "/proc", "proc", 0, ""), unix.Mount("tmpfs", "/mnt", "tmpfs", 0, "")); err != nil {
		return fmt.Errorf("mounting /proc and /mnt: %w", err)
	}
	const dir = "/mnt/fs"
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(guestDisk, dir, kind, unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mounting the %s: %w", kind, err)
	}
	t, err := ReadTree(dir)
	if err != nil {
		return err
	}
	return t.Save(out)
}

// GuestTree reads the tree of a file system in a file, which it mounts read-only in a user-mode Linux. dir is for what that needs.
func GuestTree(ctx context.Context, part, kind, dir string) (Tree, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp(dir, "guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "tree.json")
	cmd := proc.Command(ctx, "linux.uml", "mem=128M", "root=/dev/root", "rootfstype=hostfs", "rw", "quiet", "init="+self, "ubd0="+part,
		"con=null", "con0=null,fd:1", "panic=-1", envKind+"="+kind, envOut+"="+out)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp) // where it keeps its memory
	var console strings.Builder
	cmd.Stdout, cmd.Stderr = &console, &console
	if err := proc.Start(cmd); err != nil {
		return nil, fmt.Errorf("user-mode Linux: %w", err)
	}
	err = cmd.Wait()
	if t, err := LoadTree(out); err == nil {
		return t, nil
	}
	why, _ := os.ReadFile(out + ".error")
	return nil, fmt.Errorf("reading %s in a user-mode Linux: %s (%v): %s", part, why, err, strings.TrimSpace(console.String()))
}
