package convert

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

// Partition describes the file system that ExportPartclone writes.
type Partition struct {
	FileSystem string // as partclone names it: "EXTFS", "XFS", "BTRFS", "NTFS", "FAT16", "raw", ...
	BlockSize  int64  // bytes; a power of two, 512 or more
}

// PartcloneName is what partclone calls a file system of one of blkid's types.
func PartcloneName(typ string) string {
	name, known := map[string]string{
		"ext2": "EXTFS", "ext3": "EXTFS", "ext4": "EXTFS", "xfs": "XFS", "btrfs": "BTRFS", "ntfs": "NTFS",
		"vfat": "FAT", "exfat": "EXFAT",
		"f2fs": "F2FS", "hfsplus": "HFS Plus",
	}[typ]
	if !known {
		return "raw"
	}
	return name
}

const outStrip = 256 // blocks for one checksum

// ExportPartclone writes a partition as a partclone image of version 0002 with CRC32 checksums, which partclone.restore
// reads. Blocks that an extent touches are in it.
func ExportPartclone(ctx context.Context, r io.ReaderAt, size int64, extents []volume.Extent, part Partition,
	w io.Writer) error {
	block := part.BlockSize
	if block < 512 || block > maxBlock || block&(block-1) != 0 || size < block {
		return fmt.Errorf("partclone: a partition of %d bytes with blocks of %d", size, block)
	}
	blocks := (size + block - 1) / block
	if blocks > maxBitmap {
		return errors.New("partclone: the partition has too many blocks")
	}
	bitmap := make([]byte, (blocks+7)/8)
	used := int64(0)
	for _, e := range volume.Merge(size, extents) {
		for i := e.Offset / block; i*block < e.End(); i++ {
			if bitmap[i/8]>>(i%8)&1 == 0 {
				bitmap[i/8] |= 1 << (i % 8)
				used++
			}
		}
	}
	head := make([]byte, partcloneHead2)
	copy(head, "partclone-image")
	copy(head[16:], "diskcast")
	copy(head[30:], "0002")
	le.PutUint16(head[34:], 0xc0de)
	copy(head[36:51], part.FileSystem)
	le.PutUint64(head[52:], uint64(size))
	le.PutUint64(head[60:], uint64(blocks))
	le.PutUint64(head[68:], uint64(used))
	le.PutUint64(head[76:], uint64(used))
	le.PutUint32(head[84:], uint32(block))
	le.PutUint32(head[88:], 18)
	le.PutUint16(head[92:], 2)
	le.PutUint16(head[94:], 64)
	le.PutUint16(head[96:], sumCRC32)
	le.PutUint16(head[98:], 4)
	le.PutUint32(head[100:], outStrip)
	head[104] = 1 // each checksum begins anew
	head[105] = 1
	le.PutUint32(head[106:], rawCRC(head[:106]))
	out := bufio.NewWriterSize(w, 1<<20)
	for _, p := range [][]byte{head, bitmap, le.AppendUint32(nil, rawCRC(bitmap))} {
		if _, err := out.Write(p); err != nil {
			return err
		}
	}
	sum, strip := crc32.NewIEEE(), 0
	buf := make([]byte, block)
	end := func() error {
		_, err := out.Write(le.AppendUint32(nil, ^sum.Sum32()))
		sum.Reset()
		strip = 0
		return err
	}
	for i := range blocks {
		if bitmap[i/8]>>(i%8)&1 == 0 {
			continue
		}
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		p := buf[:min(block, size-i*block)]
		if n, err := r.ReadAt(p, i*block); n < len(p) {
			return fmt.Errorf("partclone: read block %d: %w", i, err)
		}
		clear(buf[len(p):])
		_, _ = sum.Write(buf)
		if _, err := out.Write(buf); err != nil {
			return err
		}
		if strip++; strip == outStrip {
			if err := end(); err != nil {
				return err
			}
		}
	}
	if strip > 0 {
		if err := end(); err != nil {
			return err
		}
	}
	return out.Flush()
}
