package bootos

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/diskcast/diskcast/agent/bootos/grub"
)

// Facts returns what is known of a partition's file system.
func (v *Volumes) Facts(dev int) (grub.Facts, bool) {
	vol, is := v.byNumber[dev]
	return grub.Facts{FS: vol.Type, UUID: vol.UUID, Label: vol.Label}, is
}

// PartUUID returns a partition's GUID or the like; empty when it is not known.
func (v *Volumes) PartUUID(dev int) string { return v.byNumber[dev].PartUUID }

// Blocks reads sectors of 512 bytes of a partition, as GRUB's block lists name them: SUSE keeps the environment block
// of a btrfs so.
func (v *Volumes) Blocks(dev int, first, count int64) ([]byte, error) {
	vol, is := v.byNumber[dev]
	if !is {
		return nil, fmt.Errorf("%s is not mounted: %w", v.at(dev), os.ErrNotExist)
	}
	f, err := os.Open(vol.Device)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := v.budget.spend(spent{bytes: count * 512}); err != nil {
		return nil, err
	}
	b := make([]byte, count*512)
	if _, err := io.ReadFull(io.NewSectionReader(f, first*512, count*512), b); err != nil {
		return nil, fmt.Errorf("sectors %d+%d of %s: %w", first, count, vol.Device, err)
	}
	return b, nil
}

// Holds tells whether a partition of the disk belongs to RAID, LVM or encryption, or could not be asked.
func (v *Volumes) Holds(l grub.Layer) bool { return v.layers[l] || v.layers[unknownLayer] }

// held tells whether anything of the disk is in RAID, LVM or encryption that is not read here.
func (v *Volumes) held() bool { return len(v.layers) > 0 }

const unknownLayer grub.Layer = "unknown"

// note remembers which layer a partition belongs to.
func (v *Volumes) note(device string) {
	f, err := os.Open(device)
	if err != nil {
		v.layers[unknownLayer] = true
		return
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		v.layers[unknownLayer] = true
		return
	}
	if l := layerOf(f, size); l != "" {
		v.layers[l] = true
	}
}

// layerOf tells which layer a partition of size bytes belongs to; empty for none. MD's superblock (Linux, md_p.h) is,
// in its versions 1.1, 1.2,
// 1.0 and 0.90, at the start, 4 KiB behind it, and before the end; there a file system can be at the start, and it is a
// member all the same. LVM's label is in one of the first four sectors, LUKS' at the start.
func layerOf(r io.ReaderAt, size int64) grub.Layer {
	at := func(offset int64, n int) []byte {
		b := make([]byte, n)
		if offset < 0 {
			return b
		}
		if _, err := r.ReadAt(b, offset); err != nil {
			clear(b)
		}
		return b
	}
	const magic = 0xa92b4efc
	for _, offset := range []int64{0, 4096, (size/512 - 16) &^ 7 * 512, size&^65535 - 65536} {
		b := at(offset, 4)
		// Version 0.90 has the byte order of the machine that made it.
		if binary.LittleEndian.Uint32(b) == magic || binary.BigEndian.Uint32(b) == magic {
			return grub.MD
		}
	}
	for sector := range int64(4) {
		if string(at(sector*512, 8)) == "LABELONE" {
			return grub.LVM
		}
	}
	if strings.HasPrefix(string(at(0, 6)), "LUKS\xba\xbe") {
		return grub.Crypto
	}
	return ""
}
