package kernel

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Offsets in an Image of 64-bit ARM: Linux, Documentation/arch/arm64/booting.rst, "Call the kernel image". A compressed
// one that UEFI can start ("zboot") has others: drivers/firmware/efi/libstub/zboot-header.S.
const (
	arm64Magic   = 56 // "ARM\x64"
	zbootMagic   = 4  // "zimg", behind "MZ"
	zbootPayload = 8  // 32 bits: where the compressed Image begins
	zbootSize    = 12 // 32 bits: its size
	zbootType    = 24 // how it is compressed, with a zero at its end
	zbootHeader  = 64
)

// banner is what stands before the release in the kernel's own words (init/version-timestamp.c).
var banner = []byte("Linux version ")

func isARM64(image []byte) bool {
	return len(image) >= arm64Magic+4 && string(image[arm64Magic:arm64Magic+4]) == "ARM\x64"
}

// plainImage takes an Image of 64-bit ARM out of its compression: GRUB of Debian 12 and kexec start no other. Every
// other kernel is returned as it is.
func plainImage(data []byte) ([]byte, error) {
	kind := ""
	switch {
	case len(data) >= zbootHeader && string(data[:2]) == "MZ" && string(data[zbootMagic:zbootMagic+4]) == "zimg":
		start := uint64(binary.LittleEndian.Uint32(data[zbootPayload:]))
		size := uint64(binary.LittleEndian.Uint32(data[zbootSize:]))
		if start+size > uint64(len(data)) {
			return nil, errors.New("its compressed kernel is cut off")
		}
		name, _, _ := bytes.Cut(data[zbootType:zbootHeader], []byte{0})
		kind = string(name)
		data = data[start : start+size]
	case len(data) > 2 && data[0] == 0x1f && data[1] == 0x8b:
		kind = "gzip"
	default:
		return data, nil
	}
	var from io.Reader
	switch kind {
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("compressed kernel: %w", err)
		}
		z.Multistream(false) // the size of what was compressed may follow
		from = z
	case "zstd", "zstd22":
		z, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderMaxMemory(maxVmlinuz))
		if err != nil {
			return nil, fmt.Errorf("compressed kernel: %w", err)
		}
		defer z.Close()
		from = z
	default:
		return nil, fmt.Errorf("its kernel is compressed with %q, which mkimage does not read: gzip and zstd it does",
			kind)
	}
	image, err := io.ReadAll(io.LimitReader(from, maxVmlinuz+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("compressed kernel: %w", err)
	case len(image) > maxVmlinuz:
		return nil, fmt.Errorf("compressed kernel: more than %d bytes", maxVmlinuz)
	}
	return image, nil
}
