package bootos

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos/efi"
	"github.com/diskcast/diskcast/agent/disk"
	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/partition"
)

// Machine leaves the network userland of a real node.
type Machine struct {
	Root string // "/" on a node: where sysfs is
	Dir  string // where the restored system is mounted while it is looked at
	Log  *slog.Logger
}

// Prepare finds the system on the disk and loads its kernel. Nothing is mounted when it returns.
func (m *Machine) Prepare(ctx context.Context, r *imaging.Result, appendix string) (string, error) {
	devices, err := Devices(r)
	if err != nil {
		return "", err
	}
	disk.SetReadOnly(r.Disk.Path, true)
	defer disk.SetReadOnly(r.Disk.Path, false)
	devices, encrypted, release := assemble(ctx, devices, elsewhere(m.Root, r.Disk.Path), m.key(r))
	defer release()
	v := Mount(m.Dir, devices)
	v.encrypted = encrypted
	defer func() {
		if err := v.Unmount(); err != nil {
			m.log().Warn("the restored system is still mounted", "error", err)
		}
	}()
	m.log().Debug("looking for the system to boot", "on", v)
	fw, err := m.firmware(r)
	if err != nil {
		return "", err
	}
	s, err := Find(v, fw)
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
	if s.Note != "" {
		m.log().Warn("the system that is started: "+s.Note, "source", s.Source)
	}
	if r.Passphrase != "" && s.Opened == "" {
		s.Opened = "no loader on the way asks for the passphrase that was given"
	}
	return s.Words(), nil
}

// Boots finds what the machine would start from the devices, which are the restored disk's, and starts nothing. Nothing
// is mounted when it returns.
func (m *Machine) Boots(ctx context.Context, r *imaging.Result, devices []Device) (s *System, err error) {
	fw, err := m.firmware(r)
	if err != nil {
		return nil, err
	}
	devices, encrypted, release := assemble(ctx, devices, elsewhere(m.Root, r.Disk.Path), m.key(r))
	defer release()
	v := Mount(m.Dir, devices)
	v.encrypted = encrypted
	defer func() { err = errors.Join(err, v.Unmount()) }()
	return Find(v, fw)
}

// Devices are the partitions of a disk that carries an image.
func Devices(r *imaging.Result) ([]Device, error) {
	if r.Config.Table.Kind == "none" {
		return []Device{{Path: r.Disk.Path}}, nil
	}
	var out []Device
	for _, p := range r.Config.Table.Partitions {
		out = append(out, device(r.Config.Table, p, disk.Partition(r.Disk.Path, p.Number)))
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: the partition table is empty", ErrNoSystem)
	}
	return out, nil
}

func device(t *volume.Table, p volume.Partition, path string) Device {
	// An image's table is another program's word: in lower case, as Linux and the firmware's boot entries write it.
	return Device{Number: p.Number, Path: path, PartUUID: strings.ToLower(partition.UUID(t, &p)), PartType: p.Type}
}

// firmware says what the machine's firmware knows of the disk.
func (m *Machine) firmware(r *imaging.Result) (Firmware, error) {
	if _, err := os.Stat(filepath.Join(m.Root, "sys/firmware/efi")); err == nil {
		vars := efivars.Dir(filepath.Join(m.Root, "sys/firmware/efi/efivars"))
		fw := Firmware{UEFI: true, Table: tableName(r.Config.Table), BootEntries: bootEntries(vars)}
		if vars.Readable() {
			fw.Variables = vars
		}
		return fw, nil
	}
	d, err := os.Open(r.Disk.Path)
	if err != nil {
		return Firmware{}, err
	}
	defer d.Close()
	return bios(d, r.Config.Table, m.log())
}

// tableName is GRUB's word for the kind of a partition table.
func tableName(t *volume.Table) string {
	return map[string]string{"gpt": "gpt", "dos": "msdos"}[t.Kind]
}

// bios reads what a BIOS starts of a disk.
func bios(d *os.File, t *volume.Table, log *slog.Logger) (Firmware, error) {
	fw := Firmware{Table: tableName(t), MBR: make([]byte, 512)}
	if _, err := d.ReadAt(fw.MBR, 0); err != nil {
		return Firmware{}, fmt.Errorf("reading the first sector of %s: %w", d.Name(), err)
	}
	for _, p := range t.Partitions {
		if !p.Bootable && p.Attributes&legacyBoot == 0 {
			continue
		}
		fw.Active, fw.PBR = p.Number, make([]byte, 512)
		if _, err := d.ReadAt(fw.PBR, p.Start); err != nil {
			return Firmware{}, fmt.Errorf("reading the first sector of partition %d: %w", p.Number, err)
		}
		break
	}
	if codeOf(fw.MBR) == codeGRUB {
		// What cannot be read is as if it were not known: then all its configurations must agree.
		var err error
		if fw.GRUB, err = efi.ReadBIOSCore(d, fw.MBR); err != nil {
			log.Debug("GRUB's core is not read", "error", err)
		}
	}
	return fw, nil
}

// legacyBoot is the attribute of a GPT partition whose boot sector a BIOS loader starts (UEFI 2.10, table 5.8, bit 2).
const legacyBoot = 1 << 2

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
