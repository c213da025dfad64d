package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/bootdir"
)

// Offsets in a bzImage: Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
const (
	setupSects    = 0x1f1 // 8 bits: size of the setup code in sectors, without the first
	sysSize       = 0x1f4 // 32 bits, since protocol 2.04: what follows the setup code, in units of 16 bytes
	headerMagic   = 0x202 // "HdrS"
	protocol      = 0x206 // 16 bits: version of the boot protocol
	kernelVersion = 0x20e // 16 bits: offset of the version string, less 0x200
	cmdlineSize   = 0x238 // 32 bits, since protocol 2.06: longest command line, without the zero at its end
	maxRelease    = 128
)

// Offsets in a program of UEFI, from "PE" on (PE format, "COFF File Header"), and in the entries of its table of
// sections, which follows the optional header ("Section Table").
const (
	peOffset   = 0x3c // 32 bits, in the file: where "PE" is
	peSections = 6    // 16 bits: how many sections
	peOptional = 20   // 16 bits: size of the optional header
	peHeader   = 24   // size of this header
	peSection  = 40   // size of an entry
	peRawSize  = 16   // 32 bits: how many bytes the file has of a section
	peRawStart = 20   // 32 bits: where in the file
)

// Read reads of a kernel image which machines it is for and its release, as uname -r will say it. One that is cut off
// is refused: it has all this at its beginning, and no machine starts it.
func Read(image []byte) (bootdir.Arch, string, error) {
	arch, text := bootdir.AMD64, []byte(nil)
	switch {
	case len(image) >= kernelVersion+2 && string(image[headerMagic:headerMagic+4]) == "HdrS":
		if at := int(binary.LittleEndian.Uint16(image[kernelVersion:])) + 0x200; at != 0x200 && at < len(image) {
			text = image[at:] // "6.1.0-56-cloud-amd64 (builder@host) #1 SMP ..."
		}
	case isARM64(image):
		arch = bootdir.ARM64
		if at := bytes.Index(image, banner); at >= 0 {
			text = image[at+len(banner):]
		}
	default:
		return "", "", errors.New("not a Linux kernel image for x86 (bzImage) or for 64-bit ARM (Image)")
	}
	if has, want := uint64(len(image)), wholeSize(image, arch); has < want {
		return "", "", fmt.Errorf("the kernel is cut off: it has %d bytes, and by its header %d at least; copy or "+
			"fetch it again, and see that the disk has room", has, want)
	}
	release, err := nameOf(text)
	return arch, release, err
}

// wholeSize is how many bytes the image has at least, by its own header; 0 where that does not say it. An Image of
// 64-bit ARM has a size that counts the memory behind it, but is a program of UEFI as well, which has sections.
func wholeSize(image []byte, arch bootdir.Arch) uint64 {
	le := binary.LittleEndian
	if arch == bootdir.AMD64 {
		if le.Uint16(image[protocol:]) < 0x204 {
			return 0
		}
		sectors := uint64(image[setupSects])
		if sectors == 0 {
			sectors = 4 // boot.rst, "setup_sects"
		}
		return (sectors+1)*512 + 16*uint64(le.Uint32(image[sysSize:]))
	}
	has := uint64(len(image))
	if has < peOffset+4 {
		return peOffset + 4
	}
	at := uint64(le.Uint32(image[peOffset:]))
	if at == 0 {
		return 0 // made without UEFI
	}
	if at+peHeader > has {
		return at + peHeader
	}
	if string(image[at:at+4]) != "PE\x00\x00" {
		return 0
	}
	section := at + peHeader + uint64(le.Uint16(image[at+peOptional:]))
	want := section
	for range le.Uint16(image[at+peSections:]) {
		if section+peSection > has {
			return section + peSection
		}
		size, start := le.Uint32(image[section+peRawSize:]), le.Uint32(image[section+peRawStart:])
		want = max(want, uint64(start)+uint64(size))
		section += peSection
	}
	return max(want, section)
}

// nameOf cuts the release out of what follows it.
func nameOf(text []byte) (string, error) {
	text = text[:min(len(text), maxRelease)]
	if end := bytes.IndexAny(text, " \x00"); end >= 0 {
		text = text[:end]
	}
	if len(text) == 0 {
		return "", errors.New("the image does not say which release it is")
	}
	for _, c := range text {
		// It becomes the name of a folder.
		if c <= ' ' || c >= 0x7f || c == '/' {
			return "", fmt.Errorf("the image's release %q is not a name", text)
		}
	}
	if s := string(text); s != "." && s != ".." {
		return s, nil
	}
	return "", fmt.Errorf("the image's release %q is not a name", text)
}

// MaxCmdline is the longest command line of a kernel, in bytes, without the zero at its end: COMMAND_LINE_SIZE of
// arch/x86/include/asm/setup.h and arch/arm64/include/uapi/asm/setup.h, less one.
const MaxCmdline = 2047

// CmdlineSize is the longest command line that the image takes, in bytes, by its own header.
func CmdlineSize(image []byte) int {
	if len(image) < cmdlineSize+4 || isARM64(image) {
		return MaxCmdline
	}
	switch n := binary.LittleEndian.Uint32(image[cmdlineSize:]); {
	case binary.LittleEndian.Uint16(image[protocol:]) < 0x206, n == 0, n > MaxCmdline:
		return MaxCmdline
	default:
		return int(n)
	}
}
