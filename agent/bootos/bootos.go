// Package bootos starts the system that was written to a disk: it mounts the partitions read-only, finds out which kernel, initrds and
// command line the system's own boot loader would use, and loads them with kexec.
//
// It asks in this order: GRUB, by the small configuration on an EFI system partition first, because that one points at the right one of
// several; systemd-boot; extlinux; and, where no loader is configured, the newest kernel in /boot. Whatever is
// not Linux, or cannot be started from here, is left to the firmware.
package bootos

import (
	"errors"
	"fmt"
	"path"
	"sort"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// System is what a disk boots.
type System struct {
	Title   string // of the menu entry, or of the system
	Source  string // where it was found, in words
	Kernel  grub.File
	Initrds []grub.File
	Args    string // kernel command line
}

// ErrNoSystem is wrapped by the error of a disk on which nothing was found that kexec could start.
var ErrNoSystem = errors.New("no Linux system was found that can be started with kexec")

// Find returns the system that the disk boots by default. The error names what was looked at.
func Find(v *Volumes, uefi bool) (*System, error) {
	var why []string
	for _, try := range candidates(v, uefi) {
		s, err := try.load()
		if err == nil {
			err = v.check(s)
		}
		if err == nil {
			s.Source = try.what
			return s, nil
		}
		var restart *grub.Restart
		if errors.As(err, &restart) {
			return nil, fmt.Errorf("%s: %w", try.what, err)
		}
		why = append(why, fmt.Sprintf("%s: %v", try.what, err))
	}
	if len(why) == 0 {
		why = append(why, "no boot loader configuration and no /boot/vmlinuz* on "+v.String())
	}
	return nil, fmt.Errorf("%w (%s)", ErrNoSystem, strings.Join(why, "; "))
}

// candidate is a place where a boot configuration is.
type candidate struct {
	what string
	load func() (*System, error)
}

// grubConfigs are where distributions keep the configuration that grub-mkconfig makes.
var grubConfigs = []string{"/boot/grub/grub.cfg", "/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub2/grub.cfg"}

func candidates(v *Volumes, uefi bool) []candidate {
	var out []candidate
	grubAt := func(dev int, file string) {
		out = append(out, candidate{
			what: fmt.Sprintf("GRUB, %s on partition %d", file, dev),
			load: func() (*System, error) {
				return fromEntry(grub.Default(v, grub.Options{Device: dev, Path: file, UEFI: uefi}))
			},
		})
	}
	for _, dev := range v.Numbers() {
		for _, file := range efiConfigs(v, dev) {
			grubAt(dev, file)
		}
	}
	for _, dev := range v.Numbers() {
		for _, file := range grubConfigs {
			if v.Exists(dev, file, false) {
				grubAt(dev, file)
			}
		}
	}
	for _, dev := range v.Numbers() {
		if v.Exists(dev, "/loader/entries", true) {
			out = append(out, candidate{
				what: fmt.Sprintf("systemd-boot, /loader/entries on partition %d", dev),
				load: func() (*System, error) { return fromEntry(grub.Loader(v, dev)) },
			})
		}
	}
	for _, dev := range v.Numbers() {
		for _, file := range extlinuxConfigs {
			if v.Exists(dev, file, false) {
				out = append(out, candidate{
					what: fmt.Sprintf("extlinux, %s on partition %d", file, dev),
					load: func() (*System, error) { return extlinux(v, dev, file) },
				})
			}
		}
	}
	for _, dev := range v.Numbers() {
		if k := newestKernel(v, dev); k != "" {
			out = append(out, candidate{
				what: fmt.Sprintf("the newest kernel, %s on partition %d", k, dev),
				load: func() (*System, error) { return guess(v, dev, k) },
			})
		}
	}
	return out
}

// efiConfigs lists EFI/*/grub.cfg, the removable-media folder BOOT last: a distribution's own is more exact.
func efiConfigs(v *Volumes, dev int) []string {
	var out []string
	for _, efi := range []string{"/EFI", "/efi"} {
		names, err := v.List(dev, efi)
		if err != nil {
			continue
		}
		sort.Slice(names, func(i, j int) bool {
			bi, bj := strings.EqualFold(names[i], "BOOT"), strings.EqualFold(names[j], "BOOT")
			if bi != bj {
				return bj
			}
			return names[i] < names[j]
		})
		for _, n := range names {
			if file := path.Join(efi, n, "grub.cfg"); v.Exists(dev, file, false) {
				out = append(out, file)
			}
		}
		break // vfat does not tell /EFI from /efi
	}
	return out
}

func fromEntry(e *grub.Entry, err error) (*System, error) {
	if err != nil {
		return nil, err
	}
	return &System{Title: e.Title, Kernel: e.Kernel, Initrds: e.Initrds, Args: e.Args}, nil
}

// check makes sure that the files are there.
func (v *Volumes) check(s *System) error {
	for _, f := range append([]grub.File{s.Kernel}, s.Initrds...) {
		if !v.Exists(f.Device, f.Path, false) {
			return fmt.Errorf("%s boots %v, which is not there", s.Title, f)
		}
	}
	return nil
}

// Words says in one line what would be started.
func (s *System) Words() string {
	var initrds []string
	for _, i := range s.Initrds {
		initrds = append(initrds, i.Path)
	}
	with := "without initrd"
	if len(initrds) > 0 {
		with = "with " + strings.Join(initrds, ", ")
	}
	return fmt.Sprintf("%s: %s %s, command line %q (%s)", s.Title, s.Kernel.Path, with, s.Args, s.Source)
}
