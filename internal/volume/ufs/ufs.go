// Package ufs reads the allocation map of UFS1 and UFS2, as FreeBSD, NetBSD and OpenBSD write them, from the bitmaps of
// the cylinder groups.
//
// The sources are "A Fast File System for UNIX" (McKusick et al.) and "The Design and Implementation of the FreeBSD
// Operating System", chapter 8, with the field offsets of fs(5) of FreeBSD. Both byte orders are read. The bitmaps have
// a bit for each fragment, 1 for a free one; superblocks, groups' headers and inodes are not free in them, which is
// checked, as are the counts of free blocks and fragments of each group and of the superblock. Inodes are not read.
//
// A file system that was not unmounted is captured whole, whether it has soft updates, a journal, or neither.
package ufs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

const (
	superSize = 1376
	magicAt   = 1372
	magic1    = 0x011954
	magic2    = 0x19540119
	flagsAt   = 1312
	unclean   = 0x01
	groupHead = 128
)

// places are where a superblock may be: UFS2, UFS1, UFS on a floppy, UFS with a large boot area.
var places = []int64{64 << 10, 8 << 10, 0, 256 << 10}

const groupMagic = 0x090255

// FS is a UFS file system.
type FS struct {
	r        io.ReaderAt
	size     int64
	order    binary.ByteOrder
	two      bool
	fragment int64 // bytes
	total    int64 // fragments
	groups   int64
	perGroup int64 // fragments
	header   int64 // of a group, in fragments from its start
	headSize int64 // bytes
	perBlock int64 // fragments of a block
	superAt  int64 // in a group, in fragments as header: its copy of the superblock
	dataAt   int64 // and the first fragment behind its inodes
	offset   int64 // UFS1: how far each group's header is shifted from the last one's, round and round
	mask     int64
	at       int64 // superblock
	info     volume.Info
	whole    bool
}

// Open reads the superblock.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	for _, at := range places {
		if size < at+superSize {
			continue
		}
		sb := make([]byte, superSize)
		if err := volume.ReadAt(r, size, at, sb); err != nil {
			return nil, fmt.Errorf("ufs: %w", err)
		}
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			magic := order.Uint32(sb[magicAt:])
			if magic != magic1 && magic != magic2 {
				continue
			}
			fs := &FS{r: r, size: size, order: order, two: magic == magic2, at: at}
			if err := fs.super(sb); err != nil {
				return nil, fmt.Errorf("ufs superblock: %w", err)
			}
			return fs, nil
		}
	}
	return nil, fmt.Errorf("ufs: %w", volume.ErrNotThis)
}

func (fs *FS) super(sb []byte) error {
	u32 := func(at int) int64 { return int64(fs.order.Uint32(sb[at:])) }
	block := u32(48)
	fs.fragment, fs.header, fs.groups, fs.perGroup, fs.headSize = u32(52), u32(12), u32(44), u32(188), u32(160)
	fs.total = u32(36)
	blocksFree, fragmentsFree := u32(196), u32(204)
	if fs.two {
		fs.total = int64(fs.order.Uint64(sb[1080:]))
		blocksFree, fragmentsFree = int64(fs.order.Uint64(sb[1016:])), int64(fs.order.Uint64(sb[1032:]))
	} else {
		fs.offset, fs.mask = u32(24), int64(int32(fs.order.Uint32(sb[28:])))
	}
	switch {
	case fs.fragment < 512 || fs.fragment > 65536 || fs.fragment&(fs.fragment-1) != 0 || block < fs.fragment ||
		block > 65536 || block&(block-1) != 0:
		return fmt.Errorf("blocks of %d bytes, fragments of %d", block, fs.fragment)
	case fs.total < 1 || fs.total > fs.size/fs.fragment:
		return fmt.Errorf("it claims %d fragments of %d bytes, and the partition has room for %d", fs.total,
			fs.fragment, fs.size/fs.fragment)
	case fs.perGroup < 8 || fs.groups < 1 || (fs.groups-1)*fs.perGroup >= fs.total || fs.groups*fs.perGroup < fs.total:
		return fmt.Errorf("%d groups of %d fragments do not make %d", fs.groups, fs.perGroup, fs.total)
	case fs.headSize < groupHead || fs.headSize > 65536:
		return fmt.Errorf("groups' headers have %d bytes", fs.headSize)
	}
	fs.perBlock, fs.superAt, fs.dataAt = block/fs.fragment, u32(8), u32(20)
	if fs.superAt > fs.header || fs.header >= fs.dataAt || fs.dataAt > fs.perGroup {
		return fmt.Errorf("superblock, header and data of a group are at %d, %d and %d", fs.superAt, fs.header,
			fs.dataAt)
	}
	free := blocksFree*fs.perBlock + fragmentsFree
	if blocksFree < 0 || blocksFree > fs.total || fragmentsFree < 0 || fragmentsFree > fs.total || free > fs.total {
		return fmt.Errorf("%d of %d fragments are free", free, fs.total)
	}
	fs.info = volume.Info{BlockSize: fs.fragment, Size: fs.total * fs.fragment, Used: (fs.total - free) * fs.fragment}
	fs.info.Clean = sb[209] == 1 && (!fs.two || fs.order.Uint32(sb[flagsAt:])&unclean == 0)
	if fs.two {
		fs.info.Label = field.Text(sb[680:712])
	}
	if id := fs.order.Uint64(sb[144:]); id != 0 {
		fs.info.UUID = fmt.Sprintf("%08x%08x", fs.order.Uint32(sb[144:]), fs.order.Uint32(sb[148:]))
	}
	if !fs.info.Clean {
		fs.whole = true
		fs.info.Notes = append(fs.info.Notes,
			"It was not cleanly unmounted: its bitmaps may be behind its files, so it is captured whole. "+
				"Run fsck (its own system's) for a smaller image.")
	}
	return nil
}

// Type is "ufs".
func (fs *FS) Type() string { return "ufs" }

// Info returns what the superblock says.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents reads the bitmap of every cylinder group.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if fs.whole {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	runs := volume.NewRuns(fs.size)
	runs.Add(0, fs.at+8192)
	head := make([]byte, fs.headSize)
	var found int64
	var tables []volume.Extent
	for g := range fs.groups {
		start := g * fs.perGroup
		at := start + fs.header
		if !fs.two {
			at += fs.offset * (g &^ fs.mask)
		}
		if err := volume.ReadAt(fs.r, fs.size, at*fs.fragment, head); err != nil {
			return nil, fmt.Errorf("ufs group %d: %w", g, err)
		}
		n, free, err := fs.group(runs, head, g, start)
		if err != nil {
			return nil, fmt.Errorf("ufs group %d: %w", g, err)
		}
		// Superblock, header and inodes of the group lie between these two.
		meta := volume.Extent{Offset: (at - fs.header + fs.superAt) * fs.fragment,
			Length: (fs.dataAt - fs.superAt) * fs.fragment}
		meta.Length = min(meta.Length, (start+n)*fs.fragment-meta.Offset)
		tables = append(tables, meta)
		runs.Add(at*fs.fragment, min(fs.headSize, (start+n-at)*fs.fragment))
		found += free
	}
	if want := fs.total - fs.info.Used/fs.fragment; found != want {
		return nil, fmt.Errorf("ufs groups: %d fragments are free, and the superblock counts %d", found, want)
	}
	used := runs.Extents()
	for g, e := range tables {
		if err := volume.Require(used, "superblock and inodes of a group", e.Offset, e.Length); err != nil {
			return nil, fmt.Errorf("ufs group %d: %w", g, err)
		}
	}
	return used, nil
}

func (fs *FS) group(runs *volume.Runs, head []byte, g, start int64) (n, free int64, err error) {
	if fs.order.Uint32(head[4:]) != groupMagic {
		return 0, 0, errors.New("the magic number of its header is wrong")
	}
	if number := int64(fs.order.Uint32(head[12:])); number != g {
		return 0, 0, fmt.Errorf("its header is that of group %d", number)
	}
	n = int64(fs.order.Uint32(head[20:]))
	if want := min(fs.perGroup, fs.total-start); n != want {
		return 0, 0, fmt.Errorf("its header counts %d fragments instead of %d", n, want)
	}
	off := int64(fs.order.Uint32(head[96:]))
	if off < groupHead || off+(n+7)/8 > int64(len(head)) {
		return 0, 0, fmt.Errorf("its bitmap is at %d", off)
	}
	bitmap := slices.Clone(head[off : off+(n+7)/8])
	if n%8 != 0 {
		bitmap[len(bitmap)-1] &= 1<<(n%8) - 1
	}
	for _, c := range bitmap {
		free += int64(bits.OnesCount8(c))
	}
	if counted := int64(fs.order.Uint32(head[28:]))*fs.perBlock + int64(fs.order.Uint32(head[36:])); counted != free {
		return 0, 0, fmt.Errorf("its bitmap has %d free fragments, and its header counts %d", free, counted)
	}
	runs.AddBits(field.Flip(bitmap), n, start*fs.fragment, fs.fragment)
	return n, free, nil
}
