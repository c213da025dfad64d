package bootos

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/efi"
	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/bootos/sdboot"
	"github.com/diskcast/diskcast/internal/rx"
)

// finder goes the firmware's way to the system.
type finder struct {
	v    *Volumes
	fw   Firmware
	bare bool // configurations were found, and no loader that firmware would start
}

// loaders lists the boot loaders that the firmware may start, with their configurations. Only the ones that come first
// in its way are in the list: one, if the firmware's choice can be told.
func (f *finder) loaders() []candidate {
	if f.fw.UEFI {
		if found := f.uefi(); len(found) > 0 {
			return found
		}
		f.bare = true
		if found := f.uefiConfigs(); len(found) > 0 {
			return found
		}
		return f.biosConfigs()
	}
	if found := f.bios(); len(found) > 0 {
		return found
	}
	f.bare = f.fw.MBR != nil
	if found := f.biosConfigs(); len(found) > 0 {
		return found
	}
	f.bare = true
	if found := f.uefi(); len(found) > 0 {
		return found
	}
	return f.uefiConfigs()
}

// biosConfigs are the configurations of loaders that a BIOS starts, when which one is not known.
func (f *finder) biosConfigs() []candidate {
	return slices.Concat(f.grubs(), f.extlinuxes(0), f.legacies(), f.byName(biosLoaders))
}

// uefiConfigs are the configurations of loaders that UEFI starts, when there is no program.
func (f *finder) uefiConfigs() []candidate {
	var out []candidate
	for _, dev := range f.esps() {
		for _, file := range f.stubs(dev) {
			out = append(out, f.grubAt(dev, file, nil))
		}
		if f.v.Exists(dev, "/loader/entries", true) || f.hasUKI(dev) {
			out = append(out, f.sdboot(dev, "/loader", 0))
		}
	}
	return append(out, f.byName(uefiLoaders)...)
}

// grubConfigs are where distributions keep the configuration that grub-mkconfig makes.
var grubConfigs = []string{"/boot/grub/grub.cfg", "/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub2/grub.cfg"}

// grubs lists the configurations of GRUB outside of the EFI system partition, each file once whatever links lead to it.
func (f *finder) grubs() []candidate {
	var out []candidate
	seen := map[string]bool{}
	for _, dev := range f.v.Numbers() {
		for _, root := range f.v.roots(dev) {
			for _, file := range grubConfigs {
				full, fi, err := f.v.resolve(dev, path.Join(root, file))
				if err == nil && fi.Mode().IsRegular() && !seen[full] {
					seen[full] = true
					out = append(out, f.grubAt(dev, path.Join(root, file), nil))
				}
			}
		}
	}
	return out
}

// stubs lists EFI/*/grub.cfg of a partition.
func (f *finder) stubs(dev int) []string {
	var out []string
	names, _ := f.v.List(dev, "/EFI")
	for _, n := range names {
		if file := path.Join("/EFI", n, "grub.cfg"); f.v.Exists(dev, file, false) {
			out = append(out, file)
		}
	}
	return out
}

// relativePath finds the setting with which SUSE's and Red Hat's GRUB begin their paths at the default subvolume of a
// btrfs.
var relativePath = rx.New(`(?m)^\s*(?:set\s+|export\s+)?btrfs_relative_path=["']?[1yY]`)

// grubAt runs a configuration, a path from the top of its file system, in a GRUB of which im is known, if anything.
func (f *finder) grubAt(dev int, file string, im *efi.GRUBImage) candidate {
	if im == nil {
		im = &efi.GRUBImage{}
	}
	what := fmt.Sprintf("GRUB, %s on %s", file, f.v.at(dev))
	return candidate{what: what, load: func() (*System, error) {
		text, err := f.v.ReadFile(dev, file, grub.MaxConfig)
		if err != nil {
			return nil, &Restart{Why: f.unreadable(file, dev, err).Error(), Err: err}
		}
		sub := f.v.byNumber[dev].Default
		below := sub != "" && strings.HasPrefix(file, sub+"/")
		relative := relativePath().Match(text)
		o := grub.Options{Device: dev, Path: file, Argon2: im.Argon2, BLSUKI: im.BLSUKI}
		if !relative {
			s, err := f.runGRUB(f.v, o)
			if err == nil || !below {
				return s, err
			}
			// The setting may be in GRUB's core alone, which is not asked. From the top nothing came of it.
			o.Path = strings.TrimPrefix(file, sub)
			if s, ok := f.runGRUB(f.v.fromDefault(), o); ok == nil {
				return s, nil
			}
			return nil, err
		}
		if below {
			o.Path = strings.TrimPrefix(file, sub)
		}
		return f.runGRUB(f.v.fromDefault(), o)
	}}
}

// runGRUB has a GRUB run the configuration that the options name.
func (f *finder) runGRUB(v *Volumes, o grub.Options) (*System, error) {
	o.UEFI, o.Table = f.fw.UEFI, f.fw.Table
	e, err := grub.Default(v, o)
	if err != nil {
		return nil, err
	}
	s := &System{Title: e.Title, Kernel: v.fromTop(e.Kernel), Args: e.Args, Opened: openedWords(e.Opened)}
	for _, i := range e.Initrds {
		s.Initrds = append(s.Initrds, v.fromTop(i))
	}
	return s, nil
}

// xbootldr is the type of the extended boot loader partition (UAPI.1).
const (
	xbootldr = "bc13c2ff-59e6-4262-a352-b275fd6f7172"
	espType  = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"
)

// esps lists the partitions that UEFI starts programs from: the ones of that type, or where types are not known all
// with FAT.
func (f *finder) esps() []int {
	var typed, fat []int
	for _, n := range f.v.Numbers() {
		vol := f.v.byNumber[n]
		if vol.Type != "vfat" || n < 0 {
			continue
		}
		fat = append(fat, n)
		if vol.PartType == espType || vol.PartType == "0xef" {
			typed = append(typed, n)
		}
	}
	if len(typed) > 0 {
		return typed
	}
	return fat
}

// hasUKI tells whether a partition has something in the folder of unified kernel images.
func (f *finder) hasUKI(dev int) bool {
	names, _ := f.v.List(dev, "/EFI/Linux")
	for _, n := range names {
		if strings.EqualFold(path.Ext(n), ".efi") {
			return true
		}
	}
	return false
}

// sdboot is systemd-boot of a version started from a partition.
func (f *finder) sdboot(esp int, program string, version int) candidate {
	return candidate{
		what: fmt.Sprintf("systemd-boot, %s on partition %d", program, esp),
		load: func() (*System, error) {
			o := sdboot.Options{ESP: esp, Arch: strings.ToLower(arch()), Variables: f.fw.Variables, Version: version}
			for _, n := range f.v.Numbers() {
				vol := f.v.byNumber[n]
				boot := vol.PartType == xbootldr || vol.PartType == "" && f.v.Exists(n, "/loader/entries", true)
				switch {
				case n == esp || n < 0 || !boot:
				case vol.Type == "vfat":
					o.Others = append(o.Others, n)
				case vol.PartType == xbootldr && f.v.Exists(esp, "/EFI/systemd/drivers", true):
					return nil, &Restart{Why: fmt.Sprintf("it may read partition %d (%s) with a driver of its own", n,
						vol.Type)}
				}
			}
			e, err := sdboot.Default(f.v, o)
			if err != nil {
				return nil, err
			}
			return f.fromEntry(e)
		},
	}
}

func (f *finder) fromEntry(e *sdboot.Entry) (*System, error) {
	file := grub.File{Device: e.Device, Path: e.Kernel}
	prog, r, err := f.v.program(file)
	if err == nil {
		defer r.Close()
	}
	var s *System
	if err == nil && prog.Kind == efi.UKI {
		if e.Args != "" || len(e.Initrds) > 0 {
			return nil, &Restart{Entry: e.ID,
				Why: "it gives words of its own to a unified kernel image, which takes them or not as Secure Boot " +
					"has it"}
		}
		if n := prog.Profiles(); n > 1 {
			return nil, &Restart{Entry: e.ID,
				Why: fmt.Sprintf("the unified kernel image has %d profiles, of which systemd-boot's versions make "+
					"entries or not", n)}
		}
		if s, err = f.unified(file, prog); err != nil {
			return nil, err
		}
	} else {
		s = &System{Kernel: file, Args: e.Args}
		for _, i := range e.Initrds {
			s.Initrds = append(s.Initrds, grub.File{Device: e.Device, Path: i})
		}
	}
	s.Title = e.Title
	if e.Left > 0 {
		s.Note = fmt.Sprintf("the entry has %d tries left; this start is not one of them, because only systemd-boot "+
			"counts.", e.Left)
	}
	return s, nil
}

// unified is the system of a unified kernel image that is started without words: of several profiles the first, which
// its stub takes then (UAPI.5, "Multi-Profile UKIs").
func (f *finder) unified(file grub.File, prog *efi.Program) (*System, error) {
	name := path.Base(file.Path)
	if f.v.Exists(file.Device, file.Path+".extra.d", true) || f.hasAny(file.Device, "/loader/addons", ".efi") ||
		f.hasAny(file.Device, "/loader/credentials", ".cred") {
		return nil, &Restart{Entry: name, Why: "its stub adds files that lie beside it on the partition"}
	}
	im, err := prog.Image()
	if err != nil {
		return nil, &Restart{Entry: name, Why: err.Error()}
	}
	return &System{Title: name, Kernel: file, Args: im.Args, Unified: true}, nil
}

func (f *finder) hasAny(dev int, dir, ext string) bool {
	names, _ := f.v.List(dev, dir)
	for _, n := range names {
		if strings.EqualFold(path.Ext(n), ext) {
			return true
		}
	}
	return false
}

// knownFile is the configuration of a loader that is not followed here.
type knownFile struct{ name, loader string }

var biosLoaders = []knownFile{
	{"/etc/lilo.conf", "LILO"}, {"/boot/limine/limine.conf", "Limine"}, {"/boot/limine.conf", "Limine"},
	{"/limine.conf", "Limine"},
	{"/limine.cfg", "Limine"}, {"/Boot/BCD", "Windows"}, {"/bootmgr", "Windows"},
}

var uefiLoaders = []knownFile{
	{"/EFI/refind/refind.conf", "rEFInd"}, {"/EFI/BOOT/refind.conf", "rEFInd"}, {"/EFI/limine/limine.conf", "Limine"},
	{"/EFI/BOOT/limine.conf", "Limine"},
	{"/EFI/debian/elilo.conf", "ELILO"}, {"/EFI/SuSE/elilo.conf", "ELILO"}, {"/EFI/Slackware/elilo.conf", "ELILO"},
	{"/elilo.conf", "ELILO"},
	{"/EFI/Microsoft/Boot/BCD", "the Windows Boot Manager"},
}

// byName lists loaders that are known by their files and left to themselves.
func (f *finder) byName(known []knownFile) []candidate {
	var out []candidate
	for _, dev := range f.v.Numbers() {
		for _, k := range known {
			if f.v.Exists(dev, k.name, false) {
				out = append(out, refused(fmt.Sprintf("%s, %s on %s", k.loader, k.name, f.v.at(dev)), errNotFollowed))
			}
		}
	}
	return out
}

var errNotFollowed = errors.New("its configuration is not followed here")

// refused is a loader that has to do its work itself.
func refused(what string, why error) candidate {
	return candidate{what: what, load: func() (*System, error) { return nil, &Restart{Why: why.Error()} }}
}

// arch is how EFI names this machine's processor in BOOTX64.EFI.
func arch() string {
	switch runtime.GOARCH {
	case "arm64":
		return "AA64"
	case "riscv64":
		return "RISCV64"
	case "386":
		return "IA32"
	}
	return "X64"
}
