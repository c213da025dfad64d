package bootos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/agent/imaging"
)

// Machine leaves the network userland of a real node.
type Machine struct {
	Root string // "/" on a node: where sysfs is
	Dir  string // where the restored system is mounted while it is looked at
	Log  *slog.Logger
}

// Prepare finds the system on the disk and loads its kernel. Nothing is mounted when it returns.
func (m *Machine) Prepare(ctx context.Context, r *imaging.Result, appendix string) (string, error) {
	devices, err := m.devices(r)
	if err != nil {
		return "", err
	}
	disk.SetReadOnly(r.Disk.Path, true)
	defer disk.SetReadOnly(r.Disk.Path, false)
	v, err := Mount(m.Dir, devices)
	defer func() {
		if err := v.Unmount(); err != nil {
			m.log().Warn("the restored system is still mounted", "error", err)
		}
	}()
	if err != nil {
		return "", err
	}
	m.log().Debug("looking for the system to boot", "on", v)
	s, err := Find(v, m.uefi())
	if err != nil {
		return "", err
	}
	s.Args = commandLine(s.Args, appendix)
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := load(v, s, s.Args); err != nil {
		return "", err
	}
	return s.Words(), nil
}

func (m *Machine) devices(r *imaging.Result) ([]Device, error) {
	if r.Config.Table.Kind == "none" {
		return []Device{{Path: r.Disk.Path}}, nil
	}
	var out []Device
	for _, p := range r.Config.Table.Partitions {
		out = append(out, Device{Number: p.Number, Path: disk.Partition(r.Disk.Path, p.Number)})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: the partition table is empty", ErrNoSystem)
	}
	return out, nil
}

func (m *Machine) uefi() bool {
	_, err := os.Stat(filepath.Join(m.Root, "sys/firmware/efi"))
	return err == nil
}

func (m *Machine) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}

// Kexec starts what Prepare loaded.
func (m *Machine) Kexec() error { return reboot(unix.LINUX_REBOOT_CMD_KEXEC) }

// Reboot restarts the machine through its firmware.
func (m *Machine) Reboot() error { return reboot(unix.LINUX_REBOOT_CMD_RESTART) }

// Poweroff switches the machine off.
func (m *Machine) Poweroff() error { return reboot(unix.LINUX_REBOOT_CMD_POWER_OFF) }

func reboot(cmd int) error {
	unix.Sync()
	if err := unix.Reboot(cmd); err != nil {
		return err
	}
	return errors.New("the kernel returned from it")
}

// Stay is a Machine that never leaves: for running the agent on a machine that does other work too.
type Stay struct{}

var errStay = errors.New("this agent was started with -no-boot")

// Prepare refuses.
func (Stay) Prepare(context.Context, *imaging.Result, string) (string, error) { return "", errStay }

// Kexec refuses.
func (Stay) Kexec() error { return errStay }

// Reboot does nothing, as if the machine had obeyed.
func (Stay) Reboot() error { return nil }

// Poweroff does nothing, as if the machine had obeyed.
func (Stay) Poweroff() error { return nil }
