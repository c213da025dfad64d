// Package efi reads EFI programs without running them: which boot loader one is, what a unified kernel image holds, and
// where a GRUB looks for its configuration. It reads the firmware's boot entries too.
//
// Sources: Microsoft's PE format as debug/pe reads it, the UEFI specification 2.10, UAPI.5 "Unified Kernel Image",
// GRUB's developer manual, and the marks that each loader carries for others to find.
package efi

import (
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// Kind is what an EFI program is, in the words of messages.
type Kind string

// The kinds that are known.
const (
	Unknown     Kind = ""
	GRUB        Kind = "GRUB"
	Shim        Kind = "shim"
	SystemdBoot Kind = "systemd-boot"
	UKI         Kind = "a unified kernel image"
	Linux       Kind = "a Linux kernel as an EFI program"
	Windows     Kind = "the Windows Boot Manager"
	REFInd      Kind = "rEFInd"
	Limine      Kind = "Limine"
	Elilo       Kind = "ELILO"
	Syslinux    Kind = "SYSLINUX for EFI"
)

// Program is an EFI program.
type Program struct {
	Kind     Kind
	Version  int // of systemd-boot, as far as it says
	sections []section
	r        io.ReaderAt
}

// section is a section's name and where its bytes lie in the file.
type section struct {
	name string
	Range
}

// Range is a run of bytes of a file.
type Range struct{ Offset, Size int64 }

const (
	maxSections = 512
	maxScan     = 16 << 20 // bytes of a section in which a mark is looked for
)

// Read looks at a program of size bytes. An error means that it is none.
func Read(r io.ReaderAt, size int64) (*Program, error) {
	p, err := ReadSections(r, size)
	if err == nil && p.Kind == Unknown {
		p.Kind = p.kind(size)
	}
	return p, err
}

// ReadSections is Read that looks at the list of sections alone: of the kinds it knows only a unified kernel image.
func ReadSections(r io.ReaderAt, size int64) (*Program, error) {
	if size > 1<<40 {
		return nil, errors.New("it is too large for an EFI program")
	}
	var head [64]byte
	if _, err := r.ReadAt(head[:], 0); err != nil || string(head[:2]) != "MZ" {
		return nil, errors.New("it is not an EFI program")
	}
	f, err := pe.NewFile(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("it is not an EFI program: %w", err)
	}
	if len(f.Sections) > maxSections {
		return nil, fmt.Errorf("it has %d sections", len(f.Sections))
	}
	p := &Program{r: r}
	for _, s := range f.Sections {
		// What the file has of a section is padded to its alignment; what the loader sees of it is the virtual size.
		n := min(int64(s.Size), int64(s.VirtualSize))
		if int64(s.Offset)+n > size {
			return nil, fmt.Errorf("its section %s lies outside the file", s.Name)
		}
		p.sections = append(p.sections, section{name: s.Name, Range: Range{Offset: int64(s.Offset), Size: n}})
	}
	if p.has(".linux") {
		p.Kind = UKI
	}
	return p, nil
}

// kind tells programs apart by their sections, and by the marks that they carry.
func (p *Program) kind(size int64) Kind {
	if p.has("mods") {
		return GRUB
	}
	if p.has(".vendor_cert") {
		return Shim
	}
	var setup [4]byte
	if _, err := p.r.ReadAt(setup[:], 0x202); err == nil && string(setup[:]) == "HdrS" {
		return Linux // Documentation/arch/x86/boot.rst
	}
	if _, err := p.r.ReadAt(setup[:], 0x38); err == nil &&
		(string(setup[:]) == "ARM\x64" || string(setup[:]) == "RSC\x05") {
		return Linux // Documentation/arch/arm64/booting.rst, Documentation/arch/riscv/boot-image-header.rst
	}
	text := make([]byte, min(size, maxScan))
	if n, err := p.r.ReadAt(text, 0); n < len(text) && err != nil {
		return Unknown
	}
	for _, m := range marks {
		at := bytes.Index(text, []byte(m.text))
		if at < 0 && !bytes.Contains(text, wide(m.text)) {
			continue
		}
		if m.kind == SystemdBoot && at >= 0 {
			p.Version = version(text[at+len(m.text):])
		}
		return m.kind
	}
	return Unknown
}

// version reads the number in the mark of systemd-boot: " 252.39-1~deb12u2 ####", " v255 ####"; 0 when it is none.
func version(b []byte) int {
	b = bytes.TrimPrefix(bytes.TrimPrefix(b, []byte(" ")), []byte("v"))
	n := 0
	for _, c := range b[:min(4, len(b))] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// marks are words of a program that no other carries, the most telling first.
var marks = []struct {
	text string
	kind Kind
}{
	{"#### LoaderInfo: systemd-boot", SystemdBoot},
	{"bootmgfw.pdb", Windows},
	{"\nshim,", Shim}, // .sbat
	{"UEFI SHIM\n$Version", Shim},
	{"rEFInd - ", REFInd},
	{"elilo.conf", Elilo},
	{"limine.conf", Limine},
	{"limine.cfg", Limine}, // before version 8
	{"ldlinux.e64", Syslinux},
}

// KindByName tells a program by its file's name, as its makers call it.
func KindByName(name string) Kind {
	name = strings.ToLower(name)
	for _, n := range []struct {
		prefix string
		kind   Kind
	}{
		{"shim", Shim}, {"grub", GRUB}, {"systemd-boot", SystemdBoot}, {"gummiboot", SystemdBoot},
		{"bootmgfw", Windows}, {"refind", REFInd},
		{"limine", Limine}, {"elilo", Elilo}, {"syslinux", Syslinux}, {"vmlinuz", Linux},
	} {
		if strings.HasPrefix(name, n.prefix) {
			return n.kind
		}
	}
	return Unknown
}

func (p *Program) has(name string) bool {
	for _, s := range p.sections {
		if s.name == name {
			return true
		}
	}
	return false
}

// text reads a section of at most max bytes as text.
func (p *Program) text(r Range, max int64) (string, error) {
	if r.Size > max {
		return "", fmt.Errorf("a section has %d bytes, more than the %d that make sense", r.Size, max)
	}
	b := make([]byte, r.Size)
	if n, err := p.r.ReadAt(b, r.Offset); n < len(b) {
		return "", err
	}
	return string(bytes.TrimRight(b, "\x00")), nil
}

// wide writes text in UTF-16, little-endian, as EFI programs have it.
func wide(s string) []byte {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		b = append(b, byte(c), byte(c>>8))
	}
	return b
}
