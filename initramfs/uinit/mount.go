package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mounts are the kernel's file systems that the node needs, in this order. What is mounted already stays: whoever
// starts uinit once more from a shell must not lose what is there.
var mounts = []struct{ dir, fs, data string }{
	{"/dev", "devtmpfs", ""},
	{"/dev/pts", "devpts", "ptmxmode=666,mode=620"},
	{"/dev/shm", "tmpfs", ""},
	{"/proc", "proc", ""},
	{"/sys", "sysfs", ""},
	{"/tmp", "tmpfs", ""},
	{"/run", "tmpfs", "mode=755"},
}

func mountAll() error {
	var errs []error
	for _, m := range mounts {
		if err := mountOne(m.dir, m.fs, m.data); err != nil {
			errs = append(errs, fmt.Errorf("%s on %s: %w", m.fs, m.dir, err))
		}
	}
	// Only there on a machine that started by UEFI; the boot order is in it.
	const efivars = "/sys/firmware/efi/efivars"
	if _, err := os.Stat(efivars); err == nil {
		if err := mountOne(efivars, "efivarfs", ""); err != nil {
			errs = append(errs, fmt.Errorf("efivarfs: %w", err))
		}
	}
	return errors.Join(errs...)
}

func mountOne(dir, fs, data string) error {
	mounted, err := isMountPoint(dir)
	if err == nil && mounted {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err = unix.Mount(fs, dir, fs, unix.MS_NOSUID, data)
	if errors.Is(err, unix.EBUSY) {
		return nil
	}
	return err
}

// isMountPoint compares a folder with the one above it: another file system lies on another device.
func isMountPoint(dir string) (bool, error) {
	var here, above unix.Stat_t
	if err := unix.Stat(dir, &here); err != nil {
		return false, err
	}
	if err := unix.Stat(dir+"/..", &above); err != nil {
		return false, err
	}
	return here.Dev != above.Dev, nil
}
