package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Offsets in a bzImage: Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
const (
	headerMagic   = 0x202 // "HdrS"
	kernelVersion = 0x20e // 16 bits: offset of the version string, less 0x200
	maxRelease    = 128
)

// Release reads the release of an x86 kernel image, as uname -r will say it.
func Release(image []byte) (string, error) {
	if len(image) < kernelVersion+2 || string(image[headerMagic:headerMagic+4]) != "HdrS" {
		return "", errors.New("not an x86 Linux kernel image (bzImage)")
	}
	at := int(binary.LittleEndian.Uint16(image[kernelVersion:])) + 0x200
	if at == 0x200 || at >= len(image) {
		return "", errors.New("the image does not say which release it is")
	}
	// "6.1.0-56-cloud-amd64 (builder@host) #1 SMP ..."
	text := image[at:min(len(image), at+maxRelease)]
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
