package efi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// GRUB for a BIOS, as its boot.S, diskboot.S and startup_raw.S have it: the first sector names, at byte 0x5c, the
// sector where the core begins; the core's first sector lists, from byte 500 downwards, runs of sectors (64-bit start,
// 16-bit count, 16-bit segment) with the rest; that begins with a decompressor, whose header has at 8 and 12 the sizes
// of the kernel with its modules, compressed and not. They are one LZMA stream without a header. All little-endian.
const (
	coreAt        = 0x5c
	blockList     = 500
	sectorSize    = 512
	maxCore       = 2 << 20
	maxCoreParts  = 32
	maxUnpacked   = 4 << 20
	maxTried      = 64 << 20 // bytes that are unpacked in all while the stream is looked for
	decompressors = 16 << 10 // bytes within which the stream begins
)

// ReadBIOSCore reads what the GRUB carries that the boot code in a disk's first sector loads.
func ReadBIOSCore(disk io.ReaderAt, mbr []byte) (*GRUBImage, error) {
	if len(mbr) < sectorSize {
		return nil, io.ErrUnexpectedEOF
	}
	start := binary.LittleEndian.Uint64(mbr[coreAt:])
	if start == 0 || start > 1<<50 {
		return nil, fmt.Errorf("its core is at sector %d", start)
	}
	first := make([]byte, sectorSize)
	if _, err := disk.ReadAt(first, int64(start)*sectorSize); err != nil {
		return nil, err
	}
	var core []byte
	for n := range maxCoreParts {
		b := first[blockList-12*n:]
		at, count := binary.LittleEndian.Uint64(b), int(binary.LittleEndian.Uint16(b[8:]))
		if count == 0 {
			break
		}
		if at > 1<<50 || len(core)+count*sectorSize > maxCore {
			return nil, errors.New("its core's list of sectors makes no sense")
		}
		part := make([]byte, count*sectorSize)
		if got, err := disk.ReadAt(part, int64(at)*sectorSize); got < len(part) {
			return nil, err
		}
		core = append(core, part...)
	}
	return parseCore(core)
}

// parseCore unpacks a core without its first sector, and reads the modules in it.
func parseCore(core []byte) (*GRUBImage, error) {
	if len(core) < 32 {
		return nil, errGRUBImage
	}
	packed, unpacked := binary.LittleEndian.Uint32(core[8:]), binary.LittleEndian.Uint32(core[12:])
	if packed == 0 || int64(packed) > int64(len(core)) || unpacked == 0 || unpacked > maxUnpacked {
		return nil, errors.New("its core is not of a form that is read here")
	}
	// Where the decompressor ends it does not say; a stream begins with a zero, and another place does not unpack to
	// this size.
	tried, plain := 0, make([]byte, unpacked)
	for at := 32; at < len(core) && at < decompressors && tried < maxTried; at += 4 {
		if core[at] != 0 {
			continue
		}
		n, err := unpack(core[at:], plain)
		tried += n
		if err != nil {
			continue
		}
		for i := 0; ; {
			j := bytes.Index(plain[i:], []byte(moduleMagic))
			if j < 0 {
				break
			}
			if im, err := parseModules(plain[i+j:]); err == nil {
				return im, nil
			}
			i += j + 1
		}
	}
	return nil, errors.New("no modules were found in its core")
}

// unpack fills out from a stream with the settings that grub-mkimage has: lc 3, lp 0, pb 2, a dictionary of 64 KiB.
func unpack(b []byte, out []byte) (int, error) {
	header := binary.LittleEndian.AppendUint32([]byte{3 + 9*(0+5*2)}, 1<<16)
	header = binary.LittleEndian.AppendUint64(header, uint64(len(out)))
	r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(header), bytes.NewReader(b)))
	if err != nil {
		return 0, err
	}
	return io.ReadFull(r, out)
}
