// Package cover finds what in one place of a disk vouches for, or needs, every byte of another: a hash tree of
// dm-verity, the checksums that dm-integrity keeps apart, the exception store of a snapshot. Such data covers blocks
// that the file system in it calls free, so that file system's map must not be believed: with other bytes in a free
// block the restored system does not start, or is not what it was.
//
// Whatever lies behind the data in the same partition is a matter of package capture, which believes no file system
// with something behind it.
//
// Sources: the DMVerity page of the cryptsetup wiki (superblock, version 1) and
// Documentation/admin-guide/device-mapper/verity.rst (the order of the levels); dm-integrity.rst there; snapshot.rst
// there; the Discoverable Partitions Specification.
package cover

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/diskcast/diskcast/internal/volume"
)

var le = binary.LittleEndian

// Cover is what vouches for bytes that lie elsewhere.
type Cover struct {
	What string // "a dm-verity hash tree", as a part of a sentence
	// Bytes is how many it covers, from the first byte of a partition or volume on. 0: that is not known.
	Bytes int64
	tree  *tree // whose leaves can be compared
}

const headSize = 512

// Open reads the superblock at the first byte of r, a partition or logical volume. The error wraps volume.ErrNotThis
// where there is none.
func Open(r io.ReaderAt, size int64) (*Cover, error) {
	if size < headSize {
		return nil, fmt.Errorf("cover: %w", volume.ErrNotThis)
	}
	b := make([]byte, headSize)
	if err := volume.ReadAt(r, size, 0, b); err != nil {
		return nil, fmt.Errorf("cover: %w", err)
	}
	switch {
	case string(b[:8]) == "verity\x00\x00":
		return verity(r, size, b), nil
	case string(b[:8]) == "integrt\x00" && b[9] == 0:
		// sectors are not interleaved with checksums: the data is elsewhere
		return &Cover{What: "the checksums of a dm-integrity device", Bytes: times(le.Uint64(b[16:]), 512)}, nil
	case string(b[:4]) == "SnAp" && le.Uint32(b[4:]) <= 1 && le.Uint32(b[8:]) == 1: // valid or not, version
		return &Cover{What: "the exception store of a device-mapper snapshot"}, nil
	}
	return nil, fmt.Errorf("cover: %w", volume.ErrNotThis)
}

// times is a product of numbers from a disk: 0, which is not known, where it is not possible.
func times(n, unit uint64) int64 {
	if unit == 0 || n > math.MaxInt64/unit {
		return 0
	}
	return int64(n * unit)
}

// Matches says whether the beginning of the size bytes of data is what the cover vouches for, beyond doubt. That it is
// not does not prove anything: the data may be in a volume of its own, or of a kind that cannot be compared.
func (c *Cover) Matches(data io.ReaderAt, size int64) bool {
	if c.tree == nil || size < c.Bytes {
		return false
	}
	ok, err := c.tree.matches(data, size)
	return err == nil && ok
}
