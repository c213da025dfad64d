// Package efiboot makes a restored disk start by itself on a machine with UEFI firmware.
//
// An image carries everything but what the firmware keeps in its own memory: the entry (a variable Boot####) that names
// the disk's boot loader, and its place in the boot order (BootOrder). Without one, a disk whose only loader is in
// EFI/debian is dead from the first restart on. Enter makes the entry, reads back what it wrote, and says in words what
// it did; where it cannot, the words say what the machine will do. Entries of others are never changed, but for their
// place in the order behind ours.
package efiboot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/volume/esp"
)

// mark ends the description of entries that this package made. Optional data would be handed to the loader, and shim
// takes it for a file name.
const mark = " (diskcast)"

// maxDescription bounds the loader's name in a description, in characters: firmware's menus have a line for it.
const maxDescription = 60

// Vars is the firmware's global variables. Data is what the variable holds, without the attributes. Dir of efivars is
// one.
type Vars interface {
	efivars.Source
	Set(name string, data []byte) error
	Remove(name string) error
}

var _ Vars = efivars.Dir("")

// Machine is what Enter works on.
type Machine struct {
	Root string // "/" on a node: where sysfs is
	// Disks lists the machine's disks: an entry of ours for a partition that none of them has any more is removed.
	Disks func() []session.Disk
	// Vars are the firmware's variables; nil mounts efivarfs.
	Vars Vars

	entered *entry // what Enter made, with its place in the order; nil for nothing
}

// ErrUnbootable is wrapped by the error of a disk that the machine will not start by itself.
var ErrUnbootable = errors.New("this disk will not start by itself")

// Enter looks at the disk and makes the machine's entry for it. It returns in words what it did. An error is for the
// operator: the disk is right, and its text says what the machine will do and what helps.
func (m *Machine) Enter(d session.Disk) (string, error) {
	m.entered = nil
	c, done, err := open(d)
	if err != nil {
		return "", fmt.Errorf("no boot entry was made, since %s cannot be read: %w", d.Path, err)
	}
	defer done()
	if _, err := os.Stat(filepath.Join(m.Root, "sys/firmware/efi")); err != nil {
		return bios(d, c)
	}
	arch := m.arch()
	s, l, why, err := choose(d, c, arch)
	if err != nil {
		if gone := m.tidyWithout(d, c); gone != "" {
			err = fmt.Errorf("%w%s", err, gone)
		}
		return "", err
	}
	if s.Index == 0 {
		return fmt.Sprintf("no boot entry is needed: firmware finds %s on %s, which has no partition table", l.Path,
			d.Path) + m.tidyWithout(d, c), nil
	}
	vars := m.Vars
	if vars == nil {
		if vars, err = efivars.Mount(filepath.Join(m.Root, "sys/firmware/efi/efivars")); err != nil {
			return "", without(s, l, arch, err)
		}
	}
	e := &entry{vars: vars, system: s, loader: l, why: why, disk: d.Path}
	if err := e.read(); err != nil {
		return "", without(s, l, arch, fmt.Errorf("reading the firmware's boot entries: %w", err))
	}
	e.prefer(arch)
	did, err := e.write()
	switch {
	case err != nil && e.stands:
		return "", fmt.Errorf("boot entry %s %s, but it did not get its place: %w; boot order %s, and firmware "+
			"starts what comes first there",
			efivars.Name(e.number), did, hint(err), list(e.order))
	case err != nil:
		return "", without(s, e.loader, arch, hint(err))
	}
	m.entered = e
	twin := ""
	known, all := m.partitions(d, func(other session.Disk, p *efivars.Partition) {
		if p.Same(&e.system.Partition) {
			twin = other.Path
		}
	})
	gone := e.tidy(func(p *efivars.Partition) bool {
		return p.Same(&e.system.Partition) || all && !hasPartition(known, p)
	})
	words := e.words(did) + gone
	if twin != "" {
		m.entered = nil
		return "", fmt.Errorf("%s; but %s has a partition with the same identity, and firmware may start either: "+
			"take it out or erase it", words, twin)
	}
	return words, nil
}

// bios is for a machine that was started by a BIOS: its firmware starts the disk's first sector.
func bios(d session.Disk, c *Contents) (string, error) {
	switch {
	case c.BootCode:
		return "no boot entry is needed: the machine starts by BIOS, and " + d.Path +
			" has boot code in its first sector", nil
	case len(c.Systems) > 0:
		return "", fmt.Errorf("%w: this machine starts by BIOS, and %s has boot loaders for UEFI only; switch its "+
			"firmware setup to UEFI", ErrUnbootable, d.Path)
	}
	return "", fmt.Errorf("%w: this machine starts by BIOS, and %s has no boot code in its first sector", ErrUnbootable,
		d.Path)
}

// arch is the processor that the firmware, not the kernel, was built for.
func (m *Machine) arch() string {
	text, err := os.ReadFile(filepath.Join(m.Root, "sys/firmware/efi/fw_platform_size"))
	return archOf(runtime.GOARCH, err == nil && strings.TrimSpace(string(text)) == "32")
}

// archOf names the processor as UEFI's programs do, given the kernel's and whether the firmware has 32 bits.
func archOf(kernel string, firmware32 bool) string {
	switch {
	case kernel == "arm64":
		return "aa64"
	case firmware32:
		return "ia32"
	}
	return "x64"
}

// choose finds the loader that firmware would come to, on the first EFI system partition that has one.
func choose(d session.Disk, c *Contents, arch string) (s System, l esp.Loader, why string, err error) {
	for _, s := range c.Systems {
		if l, why, ok := s.Contents.Loader(arch); ok {
			return s, l, why, nil
		}
	}
	var others []string
	for _, s := range c.Systems {
		for _, l := range append(slices.Clone(s.Contents.Fallbacks), s.Contents.Loaders...) {
			others = append(others, l.Path)
		}
	}
	switch {
	case len(others) > 0:
		err = fmt.Errorf("%w: its boot loaders (%s) are for another processor than this machine's firmware (%s)",
			ErrUnbootable, strings.Join(others, ", "), arch)
	case len(c.Problems) > 0:
		err = fmt.Errorf("%w: %s", ErrUnbootable, strings.Join(c.Problems, "; "))
	case len(c.Systems) > 0 && c.Systems[0].Index != 0:
		err = fmt.Errorf("%w: its EFI system partition (%d) has no boot loader that is known (EFI/BOOT/BOOT%s.EFI, "+
			"EFI/*/shim%s.efi, grub%s.efi and others)",
			ErrUnbootable, c.Systems[0].Index, strings.ToUpper(arch), arch, arch)
		if unfit := c.Systems[0].Contents.Unfit; len(unfit) > 0 {
			err = fmt.Errorf("%w: %s", err, strings.Join(unfit, ", "))
		}
	case c.BootCode:
		err = fmt.Errorf("%w: this machine starts by UEFI, and %s has boot code for BIOS and no EFI system "+
			"partition; switch its firmware setup to BIOS (CSM)", ErrUnbootable, d.Path)
	default:
		err = fmt.Errorf("%w: this machine starts by UEFI, and %s has no EFI system partition", ErrUnbootable, d.Path)
	}
	return s, l, "", err
}

// without says what a machine does that has no entry for the disk.
func without(s System, l esp.Loader, arch string, why error) error {
	if b, ok := s.Contents.Fallback(arch); ok {
		return fmt.Errorf("no boot entry was made: %w. Firmware starts %s of this disk, if it looks for that and no "+
			"older entry comes first", why, b.Path)
	}
	return fmt.Errorf("%w: only a boot entry can name its boot loader %s, and none was put into the boot order: %w. "+
		"Add one in the firmware setup, or with efibootmgr from the restored system; or have it start without one: %s",
		ErrUnbootable, l.Path, why, esp.Copy(l.Path, arch))
}

// hint adds what helps to the ways in which firmware refuses.
func hint(err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: the firmware's memory for variables is full; remove old boot entries, or reset it in "+
			"the firmware setup", err)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: the firmware's variables are protected; a setup password or a lock on the boot order "+
			"may be set", err)
	}
	return err
}
