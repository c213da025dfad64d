package esp

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/volume/fat"
)

// Ranks: where no fallback says which loader is meant, the lower one is it. A loader that was entered by its installer
// comes before one that starts others, and that before a single kernel.
const (
	rankCSV = iota // named by shim's list
	rankShim
	rankSystemd
	rankWindows
	rankGRUB
	rankOther
	rankKernel
)

// known are the names of boot loaders in a folder of their own, with the architecture left out.
var known = []struct {
	before, after string
	rank          int
}{
	{"shim", ".efi", rankShim},
	{"systemd-boot", ".efi", rankSystemd},
	{"grub", ".efi", rankGRUB},
	{"refind_", ".efi", rankOther},
	{"limine_", ".efi", rankOther},
	{"boot", ".efi", rankOther}, // a copy that keeps the fallback's name: EFI/limine/BOOTX64.EFI
}

// bare are names without a processor in them, as SUSE has them; the program says which it is for.
var bare = map[string]int{"shim.efi": rankShim, "grub.efi": rankGRUB}

// known takes a file as a boot loader by its name. A unified kernel image is one too: firmware starts it like any
// program.
func (c *Contents) known(dir string, e fat.Entry) (Loader, bool) {
	lower := strings.ToLower(e.Name)
	l := Loader{Path: path.Join(dir, e.Name), Name: path.Base(dir)}
	if strings.EqualFold(path.Base(dir), "Linux") && strings.HasSuffix(lower, ".efi") {
		l.Arch, l.rank, l.Name = c.machine(l.Path), rankKernel, strings.TrimSuffix(e.Name, path.Ext(e.Name))
		return l, l.Arch != ""
	}
	if rank, ok := bare[lower]; ok {
		l.Arch, l.rank = c.machine(l.Path), rank
		return l, l.Arch != ""
	}
	for _, k := range known {
		rest, ok := strings.CutPrefix(lower, k.before)
		if !ok {
			continue
		}
		if rest, ok = strings.CutSuffix(rest, k.after); !ok {
			continue
		}
		for _, arch := range arches {
			if rest == arch {
				l.Arch, l.rank = arch, k.rank
				return l, c.runs(l.Path, arch)
			}
		}
	}
	return l, false
}

// windows looks for Microsoft's boot manager, whose name is the same for all processors.
func (c *Contents) windows(dir string) error {
	entries, err := c.files.List(dir)
	if err != nil {
		return nil // a folder Microsoft without Boot: not Windows
	}
	for _, e := range entries {
		if strings.EqualFold(e.Name, "bootmgfw.efi") && !e.Dir {
			l := Loader{Path: path.Join(dir, e.Name), Name: "Windows Boot Manager", rank: rankWindows}
			if l.Arch = c.machine(l.Path); l.Arch != "" {
				c.add(l)
			}
		}
	}
	return nil
}

// runs tells whether firmware of the architecture can start a file: one that is empty, no program or one for another
// processor is not, and is noted.
func (c *Contents) runs(name, arch string) bool {
	b, _, err := c.files.Head(name, 4096)
	switch {
	case err != nil:
		c.Unfit = append(c.Unfit, fmt.Sprintf("%s cannot be read: %v", name, err))
	case len(b) == 0:
		c.Unfit = append(c.Unfit, name+" is empty")
	case c.header(b) < 0:
		c.Unfit = append(c.Unfit, name+" is no EFI program")
	case processor(b[c.header(b):]) != arch:
		c.Unfit = append(c.Unfit,
			fmt.Sprintf("%s is a program for %s", name,
				cmp.Or(processor(b[c.header(b):]), "a processor that is not known")))
	default:
		return true
	}
	return false
}

// header returns where the PE header of a program begins, -1 for what is none.
func (c *Contents) header(b []byte) int64 {
	if len(b) < 64 || string(b[:2]) != "MZ" {
		return -1
	}
	at := int64(binary.LittleEndian.Uint32(b[60:]))
	if at+6 > int64(len(b)) || string(b[at:at+4]) != "PE\x00\x00" {
		return -1
	}
	return at
}

// shimMarks are in every shim and in no other loader: the section of its keys, its line of .sbat, and the beginning of
// its version.
var shimMarks = []string{".vendor_cert", "\nshim,", "UEFI SHIM\n$Version"}

// isShim tells whether a program is a shim.
func isShim(program []byte) bool {
	return slices.ContainsFunc(shimMarks, func(m string) bool { return bytes.Contains(program, []byte(m)) })
}

// machines are the processors of PE files (Microsoft's PE format, "Machine types") by the names of the UEFI
// specification.
var machines = map[uint16]string{0x8664: "x64", 0x014c: "ia32", 0xaa64: "aa64", 0x01c2: "arm", 0x5064: "riscv64",
	0x6264: "loongarch64"}

// machine reads which processor a program is for; empty when it is not a program.
func (c *Contents) machine(name string) string {
	b, _, err := c.files.Head(name, 4096)
	at := c.header(b)
	if err != nil || at < 0 {
		return ""
	}
	return processor(b[at:])
}

// processor reads it from a PE header.
func processor(header []byte) string { return machines[binary.LittleEndian.Uint16(header[4:])] }

const maxCSV = 64 << 10 // bytes of a list

// list reads shim's BOOT{arch}.CSV, or with an empty arch BOOT.CSV, whose programs say what they are for: lines of
// "file,name,options,comment" in UTF-16, little endian. The first line is the one that is started. Lines of programs
// that are not there, or that want options, do not count: an entry of ours has none.
func (c *Contents) list(dir, file, arch string, entries []fat.Entry) {
	raw, whole, err := c.files.Head(path.Join(dir, file), maxCSV)
	if err != nil || !whole {
		return
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(raw[2*i:])
	}
	for line := range strings.Lines(strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")) {
		f := strings.SplitN(strings.TrimRight(line, "\r\n\x00"), ",", 4)
		if len(f) < 2 || len(f) > 2 && strings.TrimSpace(f[2]) != "" {
			continue
		}
		for _, e := range entries {
			if !e.Dir && strings.EqualFold(e.Name, strings.TrimSpace(f[0])) {
				name := strings.TrimSpace(f[1])
				if name == "" {
					name = path.Base(dir)
				}
				l := Loader{Path: path.Join(dir, e.Name), Name: name, Arch: arch, rank: rankCSV}
				if arch == "" {
					l.Arch = c.machine(l.Path)
				}
				if l.Arch == "" || !c.runs(l.Path, l.Arch) {
					continue
				}
				c.add(l)
				return
			}
		}
	}
}
