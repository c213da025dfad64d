// Package nilfs2 recognises NILFS2 and has it captured whole.
//
// The source is the kernel's Documentation/filesystems/nilfs2.rst. A NILFS2 keeps every checkpoint since the last cleaning, snapshots among
// them, in its segments; which segments are free is in a file that is found through two further ones. Most of a file system that is in use
// for a while is occupied by old checkpoints in any case, so little is lost by taking all of it.
package nilfs2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var le = binary.LittleEndian

const (
	superAt = 1024
	magic   = 0x3434
	valid   = 1
)

// Open reads the superblock.
func Open(r io.ReaderAt, size int64) (volume.FileSystem, error) {
	sb := make([]byte, 1024)
	if size < superAt+int64(len(sb)) {
		return nil, fmt.Errorf("nilfs2: %w", volume.ErrNotThis)
	}
	if err := volume.ReadAt(r, size, superAt, sb); err != nil {
		return nil, fmt.Errorf("nilfs2: %w", err)
	}
	if le.Uint16(sb[6:]) != magic || le.Uint32(sb) != 2 {
		return nil, fmt.Errorf("nilfs2: %w", volume.ErrNotThis)
	}
	// The magic number is short: without the checksum it would be found in other things too.
	n := int(le.Uint16(sb[8:]))
	if n < 280 || n > len(sb) {
		return nil, fmt.Errorf("nilfs2: %w", volume.ErrNotThis)
	}
	seed, want := le.Uint32(sb[12:]), le.Uint32(sb[16:])
	clear(sb[16:20])
	if ^crc32.Update(^seed, crc32.IEEETable, sb[:n]) != want {
		return nil, errors.New("nilfs2: the checksum of its superblock is wrong")
	}
	shift := le.Uint32(sb[20:])
	if shift > 6 {
		return nil, fmt.Errorf("nilfs2: blocks of 2^%d KiB", shift)
	}
	claimed := le.Uint64(sb[32:])
	if claimed > uint64(size) {
		return nil, fmt.Errorf("nilfs2: it claims %d bytes, and the partition has %d", claimed, size)
	}
	info := volume.Info{
		Label: field.Text(sb[168:248]), UUID: field.UUID(sb[152:168]), BlockSize: 1024 << shift, Size: int64(claimed),
		Clean: le.Uint16(sb[116:])&valid != 0,
		Notes: []string{"NILFS2 keeps old checkpoints all over its space, so it is captured whole, without its all-zero blocks."},
	}
	if !info.Clean {
		info.Notes = append(info.Notes, "It was not cleanly unmounted: its last segments will be recovered on first mount.")
	}
	return volume.Whole("nilfs2", size, info), nil
}
