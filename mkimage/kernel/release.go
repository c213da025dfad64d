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
	headerMagic   = 0x202 // "HdrS"
	protocol      = 0x206 // 16 bits: version of the boot protocol
	kernelVersion = 0x20e // 16 bits: offset of the version string, less 0x200
	cmdlineSize   = 0x238 // 32 bits, since protocol 2.06: longest command line, without the zero at its end
	maxRelease    = 128
)

// Read reads of a kernel image which machines it is for and its release, as uname -r will say it.
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
	release, err := nameOf(text)
	return arch, release, err
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
