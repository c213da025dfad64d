package bootos

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/diskcast/diskcast/agent/bootos/efi"
	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// uefi lists what UEFI firmware would start from the disk: the program of its first boot entry that is there; without
// one the fallback loader; without that, which no firmware starts by itself, the programs in the vendors' folders.
func (f *finder) uefi() []candidate {
	fallback := "/EFI/BOOT/BOOT" + arch() + ".EFI"
	for _, e := range f.fw.BootEntries {
		dev, ok := f.byPartUUID(e.Partition)
		file := e.File
		if file == "" {
			file = fallback
		}
		if !ok || !f.v.Exists(dev, file, false) {
			continue
		}
		return f.program(grub.File{Device: dev, Path: file}, fmt.Sprintf(", boot entry %s %q", e.Name, e.Title),
			e.Options)
	}
	var out []candidate
	for _, dev := range f.esps() {
		if f.v.Exists(dev, fallback, false) {
			out = append(out, f.program(grub.File{Device: dev, Path: fallback}, "", nil)...)
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, dev := range f.esps() {
		for _, file := range f.vendors(dev) {
			out = append(out, f.program(file, "", nil)...)
		}
	}
	return out
}

func (f *finder) byPartUUID(uuid string) (int, bool) {
	for _, n := range f.v.Numbers() {
		if uuid != "" && strings.EqualFold(f.v.byNumber[n].PartUUID, uuid) {
			return n, true
		}
	}
	return 0, false
}

// vendors lists the programs that an installer would have made a boot entry for: one of each folder, shim before what
// it starts.
func (f *finder) vendors(dev int) []grub.File {
	var out []grub.File
	dirs, _ := f.v.List(dev, "/EFI")
	for _, d := range dirs {
		if strings.EqualFold(d, "BOOT") || strings.EqualFold(d, "Linux") {
			continue
		}
		dir := path.Join("/EFI", d)
		if strings.EqualFold(d, "Microsoft") {
			dir = path.Join(dir, "Boot")
		}
		if file, ok := f.entryProgram(dev, dir); ok {
			out = append(out, file)
		}
	}
	return out
}

// entryProgram picks the program of a folder that starts the others.
func (f *finder) entryProgram(dev int, dir string) (grub.File, bool) {
	names, _ := f.v.List(dev, dir)
	for _, kind := range []efi.Kind{efi.Shim, efi.GRUB, efi.SystemdBoot, efi.Windows, efi.REFInd, efi.Limine, efi.Elilo,
		efi.Syslinux, efi.Linux} {
		for _, n := range names {
			if strings.EqualFold(path.Ext(n), ".efi") && efi.KindByName(n) == kind {
				return grub.File{Device: dev, Path: path.Join(dir, n)}, true
			}
		}
	}
	return grub.File{}, false
}

// maxProgram bounds, in bytes, programs that are compared.
const maxProgram = 64 << 20

// twins lists the programs in other folders of the partition that are the same byte for byte, one of each folder.
func (f *finder) twins(file grub.File) []grub.File {
	want, err := f.v.ReadFile(file.Device, file.Path, maxProgram)
	if err != nil {
		return nil
	}
	var out []grub.File
	for _, v := range f.vendors(file.Device) {
		dir := path.Dir(v.Path)
		names, _ := f.v.List(v.Device, dir)
		// The one that starts the others first: an empty disk's files are all the same.
		for _, n := range append([]string{path.Base(v.Path)}, names...) {
			if !strings.EqualFold(path.Ext(n), ".efi") || efi.KindByName(n) == efi.Unknown {
				continue
			}
			if got, err := f.v.ReadFile(v.Device, path.Join(dir, n), maxProgram); err == nil && bytes.Equal(got, want) {
				out = append(out, grub.File{Device: v.Device, Path: path.Join(dir, n)})
				break
			}
		}
	}
	return out
}

// program follows an EFI program to what it starts: by what it is, else by the program it is a copy of, else by its
// name.
func (f *finder) program(file grub.File, via string, options []byte) []candidate {
	what := func(kind efi.Kind) string {
		if kind == efi.Unknown {
			kind = "a program that is not known"
		}
		return fmt.Sprintf("%s, %s on partition %d%s", kind, file.Path, file.Device, via)
	}
	prog, r, err := f.v.program(file)
	kind := efi.Unknown
	if err == nil {
		defer r.Close()
		kind = prog.Kind
	}
	if kind == efi.Unknown {
		if twins := f.twins(file); len(twins) > 0 && strings.EqualFold(path.Dir(file.Path), "/EFI/BOOT") {
			var out []candidate
			for _, t := range twins {
				out = append(out, f.program(t, via, nil)...)
			}
			return out
		}
		kind = efi.KindByName(path.Base(file.Path))
	}
	switch kind {
	case efi.Shim:
		if looksLikePath(options) {
			return []candidate{refused(what(kind),
				fmt.Errorf("its boot entry names what it is to start, which is not followed here"))}
		}
		return f.shim(file, via, what(kind))
	case efi.GRUB:
		return f.grubProgram(file, prog, via)
	case efi.SystemdBoot:
		version := 0
		if prog != nil {
			version = prog.Version
		}
		return []candidate{f.sdboot(file.Device, file.Path+via, version)}
	case efi.Limine:
		return f.limine(file, what(kind))
	case efi.UKI:
		return []candidate{{what: what(kind), load: func() (*System, error) {
			if len(bytes.Trim(options, "\x00")) > 0 {
				return nil, &Restart{Why: "its boot entry gives it words of its own"}
			}
			prog, r, err := f.v.program(file)
			if err != nil {
				return nil, err
			}
			defer r.Close()
			return f.unified(file, prog)
		}}}
	}
	return []candidate{refused(what(kind), errNotFollowed)}
}

// looksLikePath tells whether a boot entry's words for shim name another second stage than its own.
func looksLikePath(options []byte) bool {
	return bytes.Contains(bytes.ToLower(options), []byte{'.', 0, 'e', 0, 'f', 0, 'i', 0})
}

// shim starts the loader beside it; as the fallback loader, before that, the program "fallback", which starts what the
// vendors' folders name.
func (f *finder) shim(file grub.File, via, what string) []candidate {
	dir, low := path.Dir(file.Path), strings.ToLower(arch())
	beside := func(name string) (grub.File, bool) {
		name, ok := f.inFolder(file.Device, dir, name)
		return grub.File{Device: file.Device, Path: path.Join(dir, name)}, ok
	}
	_, second := beside("fb" + low + ".efi")
	if _, suse := beside("fallback.efi"); (second || suse) && strings.EqualFold(dir, "/EFI/BOOT") {
		var out []candidate
		for _, next := range f.named(file.Device) {
			out = append(out, f.program(next, via, nil)...)
		}
		if len(out) > 0 {
			return out
		}
	}
	// Which of the names it takes is compiled in: SUSE's takes grub.efi, others take the one with the processor.
	usual, isUsual := beside("grub" + low + ".efi")
	plain, isPlain := beside("grub.efi")
	switch {
	case isUsual && isPlain && !f.same(usual, plain):
		why := fmt.Errorf("%s and %s beside it differ, and which it starts is compiled into it", path.Base(usual.Path),
			path.Base(plain.Path))
		return []candidate{refused(what, why)}
	case isUsual:
		return f.program(usual, via, nil)
	case isPlain:
		return f.program(plain, via, nil)
	}
	return []candidate{refused(what, fmt.Errorf("grub%s.efi, which it starts, is not beside it", low))}
}

// inFolder finds a name in a folder without regard to case, as FAT does.
func (f *finder) inFolder(dev int, dir, name string) (string, bool) {
	names, _ := f.v.List(dev, dir)
	i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	if i < 0 {
		return "", false
	}
	return names[i], f.v.Exists(dev, path.Join(dir, names[i]), false)
}

// same tells whether two programs are the same byte for byte.
func (f *finder) same(a, b grub.File) bool {
	x, err := f.v.ReadFile(a.Device, a.Path, maxProgram)
	if err != nil {
		return false
	}
	y, err := f.v.ReadFile(b.Device, b.Path, maxProgram)
	return err == nil && bytes.Equal(x, y)
}

// named lists the programs that EFI/*/BOOTX64.CSV name, or where a folder has none EFI/*/BOOT.CSV: lines of UTF-16, of
// which the first word up to a comma is the file.
func (f *finder) named(dev int) []grub.File {
	var out []grub.File
	dirs, _ := f.v.List(dev, "/EFI")
	for _, d := range dirs {
		dir := path.Join("/EFI", d)
		list, ok := f.inFolder(dev, dir, "BOOT"+arch()+".CSV")
		if !ok {
			list, ok = f.inFolder(dev, dir, "BOOT.CSV")
		}
		if !ok || strings.EqualFold(d, "BOOT") {
			continue
		}
		b, err := f.v.ReadFile(dev, path.Join(dir, list), 64<<10)
		if err != nil {
			continue
		}
		var u []uint16
		for ; len(b) >= 2; b = b[2:] {
			u = append(u, uint16(b[0])|uint16(b[1])<<8)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(string(utf16.Decode(u)), "\ufeff"), ",")
		if name, ok = f.inFolder(dev, dir, path.Base(name)); ok {
			out = append(out, grub.File{Device: dev, Path: path.Join(dir, name)})
		}
	}
	return out
}
