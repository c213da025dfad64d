// Package uki makes a unified kernel image: one UEFI program that is kernel, archive and command line, by putting them
// as sections behind the stub of systemd (systemd-stub(7); UAPI group, "Unified Kernel Image"). Signed, it is all that
// firmware with Secure Boot on has to trust.
package uki

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// Parts are what the image is made of.
type Parts struct {
	Arch                        bootdir.Arch // that of kernel and stub
	Stub, Linux, Initrd         []byte
	Cmdline, OSRelease, Release string
}

// page is the alignment of our sections in memory, in bytes: the kernel wants its archive at a page, and stubs may ask
// for less (Debian 12's for 512).
const page = 4096

// maxImage bounds an image, in bytes: places in it have 32 bits, and signed readers of them 31.
const maxImage = 1<<31 - 1

// Offsets in a PE file (Microsoft, "PE Format"): from the COFF header, and from the optional header behind it.
const (
	coffSections   = 2  // 16 bits
	coffSymbols    = 8  // 32 bits, and their number behind
	coffSize       = 20 // of the header
	optInitialized = 8
	optImageSize   = 56
	optHeaders     = 60
	optChecksum    = 64
	optDirectories = 112
	sectionSize    = 40
)

// readData marks a section as data that is only read.
const readData = pe.IMAGE_SCN_CNT_INITIALIZED_DATA | pe.IMAGE_SCN_MEM_READ

// stub is what is known of the stub's headers.
type stub struct {
	arch             bootdir.Arch
	coff, opt, table int // where they begin
	headers          int // bytes of all headers, aligned
	sections         int
	fileAlign        int
	align            int // of sections in memory
	end              int // of the last section in memory
	fileEnd          int // of the last section in the file
}

// Make puts the image together. The same parts give the same bytes.
func Make(p Parts) ([]byte, error) {
	s, err := readStub(p.Stub)
	if err != nil {
		return nil, fmt.Errorf("stub: %w", err)
	}
	if s.arch != p.Arch {
		return nil, fmt.Errorf("the stub is for machines of %s, and the kernel for those of %s", s.arch, p.Arch)
	}
	if !bytes.HasPrefix(p.Linux, []byte("MZ")) {
		return nil, errors.New("the kernel is no UEFI program (CONFIG_EFI_STUB)")
	}
	// The kernel is the last: it may want more memory behind itself than its file has.
	added := []struct {
		name string
		data []byte
	}{{".osrel", []byte(p.OSRelease)}, {".cmdline", []byte(p.Cmdline)}, {".uname", []byte(p.Release)},
		{".initrd", p.Initrd}, {".linux", p.Linux}}
	for _, a := range added {
		if len(a.data) == 0 {
			return nil, fmt.Errorf("nothing for section %s", a.name)
		}
	}
	out, s, err := widen(strip(p.Stub, s), s, len(added))
	if err != nil {
		return nil, err
	}
	out = pad(out, s.fileAlign)
	at, initialized := s.end, 0
	for i, a := range added {
		at = align(at, max(s.align, page))
		raw := align(len(a.data), s.fileAlign)
		if at+len(a.data) > maxImage || len(out)+raw > maxImage {
			return nil, fmt.Errorf("kernel and archive have %d bytes, more than an image takes",
				len(p.Linux)+len(p.Initrd))
		}
		h := out[s.table+sectionSize*(s.sections+i):]
		copy(h[:8], append([]byte(a.name), make([]byte, 8)...))
		for j, v := range []int{len(a.data), at, raw, len(out), 0, 0, 0} {
			binary.LittleEndian.PutUint32(h[8+4*j:], uint32(v))
		}
		binary.LittleEndian.PutUint32(h[36:], readData)
		out = pad(append(out, a.data...), s.fileAlign)
		at, initialized = at+len(a.data), initialized+raw
	}
	le := binary.LittleEndian
	le.PutUint16(out[s.coff+coffSections:], uint16(s.sections+len(added)))
	le.PutUint32(out[s.opt+optInitialized:], le.Uint32(out[s.opt+optInitialized:])+uint32(initialized))
	le.PutUint32(out[s.opt+optImageSize:], uint32(align(at, s.align)))
	le.PutUint32(out[s.opt+optChecksum:], 0) // UEFI does not look at it
	return out, nil
}

// CheckStub tells whether an image can be made with a stub, and for which machines.
func CheckStub(data []byte) (bootdir.Arch, error) {
	s, err := readStub(data)
	if err != nil {
		return "", err
	}
	return s.arch, nil
}

// machines are the architectures by their numbers in the headers of UEFI programs.
var machines = map[uint16]bootdir.Arch{pe.IMAGE_FILE_MACHINE_AMD64: bootdir.AMD64,
	pe.IMAGE_FILE_MACHINE_ARM64: bootdir.ARM64}

// readStub checks what the arithmetic above counts on.
func readStub(data []byte) (*stub, error) {
	f, err := open(data)
	if err != nil {
		return nil, err
	}
	h, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || machines[f.Machine] == "" {
		return nil, errors.New("not a UEFI program for x86-64 or 64-bit ARM")
	}
	if f.Section(".linux") != nil {
		return nil, errors.New("it has a kernel in it already")
	}
	s := &stub{arch: machines[f.Machine], coff: int(binary.LittleEndian.Uint32(data[0x3c:])) + 4,
		sections: len(f.Sections), headers: int(h.SizeOfHeaders),
		fileAlign: int(h.FileAlignment), align: int(h.SectionAlignment)}
	s.opt = s.coff + coffSize
	s.table = s.opt + int(f.SizeOfOptionalHeader)
	s.fileEnd = s.headers
	powers := s.fileAlign >= 512 && s.fileAlign <= 64<<10 && s.fileAlign&(s.fileAlign-1) == 0 &&
		s.align >= s.fileAlign && s.align <= 1<<20 && s.align&(s.align-1) == 0
	if !powers || h.NumberOfRvaAndSizes <= pe.IMAGE_DIRECTORY_ENTRY_SECURITY ||
		s.headers > len(data) || s.headers%s.fileAlign != 0 || s.table+sectionSize*s.sections > s.headers {
		return nil, errors.New("its headers are not those of a stub")
	}
	if h.DataDirectory[pe.IMAGE_DIRECTORY_ENTRY_SECURITY].Size != 0 {
		return nil, errors.New("it is signed; the signature would not hold for the image: give the unsigned stub")
	}
	for _, x := range f.Sections {
		if int64(x.Offset)+int64(x.Size) > int64(len(data)) || x.Size > 0 && int(x.Offset) < s.headers {
			return nil, fmt.Errorf("section %s lies outside of it", x.Name)
		}
		if len(x.Name) > 8 {
			return nil, fmt.Errorf("section %s has a name that lies behind the sections", x.Name)
		}
		s.fileEnd = max(s.fileEnd, int(x.Offset)+int(x.Size))
		s.end = max(s.end, int(x.VirtualAddress)+int(max(x.VirtualSize, x.Size)))
	}
	// Where linkers make the sections, the words have one of their own, .sdmagic; Debian 12's for 64-bit ARM has not.
	if !bytes.Contains(data, []byte("#### LoaderInfo: systemd-stub ")) {
		return nil, fmt.Errorf("not the stub of systemd, which is called linux%s.efi.stub", machines[f.Machine].EFI())
	}
	if s.end > maxImage {
		return nil, errors.New("its sections end behind what an image takes")
	}
	return s, nil
}

// open reads the headers. What does not begin with MZ is an object file to debug/pe, with its headers elsewhere.
func open(data []byte) (*pe.File, error) {
	if !bytes.HasPrefix(data, []byte("MZ")) {
		return nil, errors.New("not a UEFI program: it does not begin with MZ")
	}
	f, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("not a UEFI program: %w", err)
	}
	return f, nil
}

// strip leaves out the symbols, which linkers write behind the sections: ours would stand there.
func strip(data []byte, s *stub) []byte {
	out := bytes.Clone(data[:s.fileEnd])
	clear(out[s.coff+coffSymbols : s.coff+coffSymbols+8])
	return out
}

// widen makes room for so many sections in the table, moving what lies behind the headers in the file. In memory
// nothing moves, so that the headers must end before the first section there.
func widen(data []byte, s *stub, more int) ([]byte, *stub, error) {
	w := *s
	w.headers = max(s.headers, align(s.table+sectionSize*(s.sections+more), s.fileAlign))
	shift := w.headers - s.headers
	out := slices.Concat(data[:s.headers], make([]byte, shift), data[s.headers:])
	// What may stand behind the table is not ours to keep: linkers leave zeroes there.
	clear(out[s.table+sectionSize*s.sections : w.headers])
	for i := range s.sections {
		h := out[s.table+sectionSize*i:]
		if int(binary.LittleEndian.Uint32(h[12:])) < w.headers {
			return nil, nil, errors.New("stub: no room in its headers for more sections")
		}
		if at := binary.LittleEndian.Uint32(h[20:]); at != 0 {
			binary.LittleEndian.PutUint32(h[20:], at+uint32(shift))
		}
	}
	binary.LittleEndian.PutUint32(out[s.opt+optHeaders:], uint32(w.headers))
	return out, &w, nil
}

func align(n, to int) int { return (n + to - 1) / to * to }

func pad(b []byte, to int) []byte { return append(b, make([]byte, align(len(b), to)-len(b))...) }
