// Package btrfs reads the allocation map of a btrfs on one device from its extent tree.
//
// The source is "On-disk Format" and "Btrfs design" of the btrfs documentation (btrfs.readthedocs.io, section Developer
// documentation). The superblock carries the few chunks in which the chunk tree lies (sys_chunk_array); the chunk tree
// maps logical addresses to the device; the root tree names the extent tree; and that lists every allocated extent,
// data and metadata.
//
// Besides the extents the map has the first MiB, which btrfs leaves to boot loaders, and the mirrors of the superblock.
// When a tree log is there (something was synced and then the power failed) its blocks and the data it points to are in
// no extent tree: they are read from the log itself.
//
// Every tree block has a checksum, the sum of the extents must be what the superblock counts, and the blocks of the
// trees that are read must be among them. The counts of block groups, the free space trees and the other trees are not
// compared with the extent tree: that is reading all the metadata, and the work of btrfs check.
//
// A file system on several devices is captured whole, because no single device can tell what it holds for the others.
package btrfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
	"golang.org/x/crypto/blake2b"
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const (
	magic     = "_BHRfS_M"
	superAt   = 64 << 10
	superSize = 4096
	reserved  = 1 << 20 // never allocated; boot loaders live here

	sysArrayAt, sysArrayMax = 0x32b, 2048

	incompatMetadataUUID = 0x400
	// mixed backrefs, default subvolume, mixed groups, LZO, ZSTD, large metadata, extended refs, RAID56, skinny
	// metadata, no holes, metadata UUID, RAID1C34; simple quotas. Not: zoned, extent tree v2, RAID stripe tree.
	knownIncompat = 0xfff | 0x10000
	// free space tree and its validity, verity, block group tree. None of them moves extent items.
	knownROCompat = 0xf
)

// mirrors are where copies of the superblock are kept.
var mirrors = []int64{superAt, 64 << 20, 256 << 30}

// FS is a btrfs file system.
type FS struct {
	r      io.ReaderAt
	size   int64
	verify bool // check checksums; the fuzz test goes without
	info   volume.Info
	whole  bool

	csum       uint16
	fsid       [16]byte // as tree blocks carry it
	node       int64
	sector     int64
	devid      uint64
	devBytes   int64
	generation uint64
	root       pointer
	chunkRoot  pointer
	logRoot    pointer
	sysArray   []byte
	used       int64
	chunks     []chunk
	seen       []int64 // logical addresses of tree blocks that Extents read
}

// pointer is where a tree block is, and what it must say of itself.
type pointer struct {
	logical    int64
	level      int
	generation uint64 // 0: not known
}

// Open reads the superblock.
func Open(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, true) }

func open(r io.ReaderAt, size int64, verify bool) (*FS, error) {
	if size < superAt+superSize {
		return nil, fmt.Errorf("btrfs: %w", volume.ErrNotThis)
	}
	sb := make([]byte, superSize)
	if err := volume.ReadAt(r, size, superAt, sb); err != nil {
		return nil, fmt.Errorf("btrfs: %w", err)
	}
	if string(sb[0x40:0x48]) != magic {
		return nil, fmt.Errorf("btrfs: %w", volume.ErrNotThis)
	}
	fs := &FS{r: r, size: size, verify: verify}
	if err := fs.super(sb); err != nil {
		return nil, fmt.Errorf("btrfs superblock: %w", err)
	}
	return fs, nil
}

func (fs *FS) super(sb []byte) error {
	fs.csum = le.Uint16(sb[0xc4:])
	if err := fs.checksum(sb); err != nil {
		return err
	}
	if at := le.Uint64(sb[0x30:]); at != superAt {
		return fmt.Errorf("it says that it lies at %d", at)
	}
	incompat, ro := le.Uint64(sb[0xbc:]), le.Uint64(sb[0xb4:])
	if unknown := incompat &^ knownIncompat; unknown != 0 {
		return fmt.Errorf("unknown incompatible features %#x (zoned, extent tree v2 and stripe tree are not "+
			"understood)", unknown)
	}
	if unknown := ro &^ knownROCompat; unknown != 0 {
		return fmt.Errorf("unknown read-only compatible features %#x", unknown)
	}
	fs.sector, fs.node = int64(le.Uint32(sb[0x90:])), int64(le.Uint32(sb[0x94:]))
	if fs.sector < 4096 || fs.sector > 65536 || fs.sector&(fs.sector-1) != 0 {
		return fmt.Errorf("sector size %d", fs.sector)
	}
	if fs.node < fs.sector || fs.node > 65536 || fs.node&(fs.node-1) != 0 {
		return fmt.Errorf("node size %d", fs.node)
	}
	copy(fs.fsid[:], sb[0x20:0x30])
	if incompat&incompatMetadataUUID != 0 {
		copy(fs.fsid[:], sb[0x23b:0x24b])
	}
	fs.generation = le.Uint64(sb[0x48:])
	fs.root = pointer{int64(le.Uint64(sb[0x50:])), int(sb[0xc6]), fs.generation}
	fs.chunkRoot = pointer{int64(le.Uint64(sb[0x58:])), int(sb[0xc7]), le.Uint64(sb[0xa4:])}
	fs.logRoot = pointer{int64(le.Uint64(sb[0x60:])), int(sb[0xc8]), 0}
	if fs.root.level > maxLevel || fs.chunkRoot.level > maxLevel || fs.logRoot.level > maxLevel {
		return fmt.Errorf("a tree has more than %d levels", maxLevel)
	}
	dev := sb[0xc9:]
	total := le.Uint64(dev[8:])
	if total < superAt+superSize || total > uint64(fs.size) {
		return fmt.Errorf("it claims %d bytes, and the partition has %d", total, fs.size)
	}
	fs.devid, fs.devBytes = le.Uint64(dev), int64(total)
	used := le.Uint64(sb[0x78:])
	devices := le.Uint64(sb[0x88:])
	fs.info = volume.Info{
		Label:     field.Text(sb[0x12b:0x22b]),
		UUID:      field.UUID(sb[0x20:0x30]),
		BlockSize: fs.sector,
		Size:      fs.devBytes,
		Clean:     true,
	}
	if devices != 1 {
		fs.whole = true
		fs.info.Used = fs.size
		fs.info.Notes = append(fs.info.Notes,
			fmt.Sprintf("It is device %d of a btrfs on %d devices, so it is captured whole. "+
				"Capture and restore all of them together.", fs.devid, devices))
		return nil
	}
	if used > total {
		return fmt.Errorf("%d of %d bytes are used", used, total)
	}
	fs.used, fs.info.Used = int64(used), int64(used)
	n := le.Uint32(sb[0xa0:])
	if n > sysArrayMax {
		return fmt.Errorf("its chunk array has %d bytes", n)
	}
	fs.sysArray = slices.Clone(sb[sysArrayAt : sysArrayAt+n])
	if fs.logRoot.logical != 0 {
		fs.info.Clean = false
		fs.info.Notes = append(fs.info.Notes,
			"It was not cleanly unmounted: the journal (tree log) will be replayed on first mount.")
	}
	return nil
}

// checksum checks the field of 32 bytes at the start of a superblock or a tree block.
func (fs *FS) checksum(p []byte) error {
	if !fs.verify {
		return nil
	}
	var want []byte
	switch body := p[32:]; fs.csum {
	case 0:
		want = le.AppendUint32(nil, crc32.Checksum(body, castagnoli))
	case 1:
		want = le.AppendUint64(nil, xxhash.Sum64(body))
	case 2:
		sum := sha256.Sum256(body)
		want = sum[:]
	case 3:
		sum := blake2b.Sum256(body)
		want = sum[:]
	default:
		return fmt.Errorf("checksum type %d is not known", fs.csum)
	}
	if !bytes.Equal(p[:len(want)], want) {
		return fmt.Errorf("its checksum is wrong")
	}
	return nil
}

// Type is "btrfs".
func (fs *FS) Type() string { return "btrfs" }

// Info returns what the superblock says. Used counts each extent once, however many copies of it the device holds.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents walks the extent tree.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if fs.whole {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	runs := volume.NewRuns(fs.size)
	runs.Add(0, reserved)
	for _, at := range mirrors {
		if at+superSize <= fs.devBytes {
			runs.Add(at, superSize)
		}
	}
	if err := fs.readChunks(); err != nil {
		return nil, fmt.Errorf("btrfs chunks: %w", err)
	}
	if err := fs.extents(runs); err != nil {
		return nil, fmt.Errorf("btrfs extent tree: %w", err)
	}
	if fs.logRoot.logical != 0 {
		if err := fs.treeLog(runs); err != nil {
			return nil, fmt.Errorf("btrfs tree log: %w", err)
		}
	}
	used := runs.Extents()
	if err := fs.check(used); err != nil {
		return nil, fmt.Errorf("btrfs: %w", err)
	}
	return used, nil
}
