// Package xfs reads the allocation map of XFS, versions 4 and 5, from the free-space B+trees of its allocation groups.
//
// The source of every offset is "XFS Algorithms & Data Structures", 3rd edition, by the XFS developers: chapters
// "Allocation Groups" (superblock, AGF, free space B+trees), "Journaling Log" and "Log Item Types". Everything in the
// allocation groups that is not in a free-space tree counts as used, the log and the blocks of the trees among it.
//
// Each group has its free runs twice, by block and by size, and counts them; all of that must agree, and none of it may
// have the headers, the log or the root directory. The superblock's count is not compared: with lazy counters it is
// what the last unmount left. Nor are the inodes' extents, or the reverse map of newer file systems: that is reading
// all the metadata, and xfs_repair's work.
//
// A file system that was not unmounted carries changes of its free-space trees in its log only. They are replayed in
// memory (see log.go and replay.go), so that the map is the one that the first mount will arrive at. Where that is not
// possible the partition is captured whole.
package xfs

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var (
	be         = binary.BigEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const magic = "XFSB"

// Bits of the feature fields of a version 5 superblock that this reader knows. None of them moves free-space records.
const (
	knownROCompat = 0x0f // finobt, rmapbt, reflink, inobtcnt
	knownIncompat = 0xff // ftype, sparse inodes, meta_uuid, bigtime, needsrepair, nrext64, exchange-range, parent

	incompatNeedsRepair = 0x10
)

// FS is an XFS file system.
type FS struct {
	r      io.ReaderAt
	size   int64
	verify bool // check CRCs; the fuzz test goes without
	sb     super
	info   volume.Info
	whole  bool // the map cannot be known: everything counts as used
	over   *overlay
}

// super holds the fields of the superblock that matter here.
type super struct {
	version    int
	blockSize  int64
	sectorSize int64
	blocks     int64 // in the data device
	agBlocks   int64
	agCount    int64
	agBlockLog uint
	logStart   uint64 // file system block; 0: the log is on another device
	logBlocks  int64
	rtBlocks   uint64
	free       int64
	rootInode  uint64
	inodeLog   uint // of the inodes in a block
}

// Open reads the superblock and looks into the log.
func Open(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, true) }

func open(r io.ReaderAt, size int64, verify bool) (*FS, error) {
	var head [512]byte
	if size < int64(len(head)) {
		return nil, fmt.Errorf("xfs: %w", volume.ErrNotThis)
	}
	if err := volume.ReadAt(r, size, 0, head[:]); err != nil {
		return nil, fmt.Errorf("xfs: %w", err)
	}
	if string(head[:4]) != magic {
		return nil, fmt.Errorf("xfs: %w", volume.ErrNotThis)
	}
	fs := &FS{r: r, size: size, verify: verify}
	if err := fs.superblock(head[:]); err != nil {
		return nil, fmt.Errorf("xfs superblock: %w", err)
	}
	fs.journal()
	return fs, nil
}

func (fs *FS) superblock(head []byte) error {
	version := be.Uint16(head[100:])
	sb := super{
		version:    int(version & 0xf),
		blockSize:  int64(be.Uint32(head[4:])),
		sectorSize: int64(be.Uint16(head[102:])),
		agBlocks:   int64(be.Uint32(head[84:])),
		agCount:    int64(be.Uint32(head[88:])),
		agBlockLog: uint(head[124]),
		logStart:   be.Uint64(head[48:]),
		logBlocks:  int64(be.Uint32(head[96:])),
		rtBlocks:   be.Uint64(head[16:]),
		rootInode:  be.Uint64(head[56:]),
		inodeLog:   uint(head[123]),
	}
	switch {
	case sb.version != 4 && sb.version != 5:
		return fmt.Errorf("version %d is not known (4 and 5 are)", sb.version)
	case sb.blockSize < 512 || sb.blockSize > 65536 || sb.blockSize&(sb.blockSize-1) != 0:
		return fmt.Errorf("block size %d", sb.blockSize)
	case sb.sectorSize < 512 || sb.sectorSize > sb.blockSize || sb.sectorSize&(sb.sectorSize-1) != 0:
		return fmt.Errorf("sector size %d", sb.sectorSize)
	case head[126] != 0:
		return fmt.Errorf("mkfs or growfs was interrupted (sb_inprogress is set)")
	}
	if fs.verify && sb.version == 5 {
		sector, err := volume.Read(fs.r, fs.size, 0, sb.sectorSize, 65536)
		if err != nil {
			return err
		}
		if !goodCRC(sector, 224) {
			return fmt.Errorf("its checksum is wrong")
		}
	}
	blocks, free := be.Uint64(head[8:]), be.Uint64(head[144:])
	if limit := uint64(fs.size / sb.blockSize); blocks == 0 || blocks > limit {
		return fmt.Errorf("it claims %d blocks of %d bytes, and the partition has room for %d", blocks, sb.blockSize,
			limit)
	}
	if free > blocks {
		return fmt.Errorf("%d of %d blocks are free", free, blocks)
	}
	sb.blocks, sb.free = int64(blocks), int64(free)
	if sb.agBlocks < 64 || sb.agCount < 1 || sb.agBlockLog > 31 || 1<<sb.agBlockLog < sb.agBlocks ||
		(sb.agCount-1)*sb.agBlocks >= sb.blocks || sb.agCount*sb.agBlocks < sb.blocks {
		return fmt.Errorf("%d allocation groups of %d blocks do not make %d blocks", sb.agCount, sb.agBlocks, sb.blocks)
	}
	fs.sb = sb
	fs.info = volume.Info{
		Label:     field.Text(head[108:120]),
		UUID:      field.UUID(head[32:48]),
		BlockSize: sb.blockSize,
		Size:      sb.blocks * sb.blockSize,
		Used:      (sb.blocks - sb.free) * sb.blockSize,
	}
	if sb.version == 5 {
		ro, incompat := be.Uint32(head[212:]), be.Uint32(head[216:])
		if unknown := ro &^ knownROCompat; unknown != 0 {
			return fmt.Errorf("unknown read-only compatible features %#x", unknown)
		}
		if unknown := incompat &^ knownIncompat; unknown != 0 {
			return fmt.Errorf("unknown incompatible features %#x", unknown)
		}
		if incompat&incompatNeedsRepair != 0 {
			fs.info.Notes = append(fs.info.Notes,
				"It is marked as needing xfs_repair; run that before capturing it again.")
			fs.whole = true
		}
	}
	if sb.rtBlocks != 0 {
		fs.info.Notes = append(fs.info.Notes,
			"It has a real-time section on another device, which is not in this partition and not captured with it.")
	}
	return nil
}

// goodCRC checks a CRC-32C, little-endian at offset at, over the block with that field counted as zero.
func goodCRC(p []byte, at int) bool {
	sum := crc32.Update(0, castagnoli, p[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, 4))
	sum = crc32.Update(sum, castagnoli, p[at+4:])
	return sum == binary.LittleEndian.Uint32(p[at:])
}

// Type is "xfs".
func (fs *FS) Type() string { return "xfs" }

// Info returns what the superblock says.
func (fs *FS) Info() volume.Info { return fs.info.Clone() }

// Extents walks the free-space tree of every allocation group.
func (fs *FS) Extents() ([]volume.Extent, error) {
	if fs.whole {
		return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
	}
	runs := volume.NewRuns(fs.size)
	gaps := &field.Gaps{Used: runs}
	for ag := range fs.sb.agCount {
		if err := fs.group(ag, gaps); err != nil {
			if fs.over != nil {
				// The log did not hold what the trees need. What is known for certain is that everything may be used.
				fs.whole = true
				fs.info.Notes = append(fs.info.Notes,
					fmt.Sprintf("What the journal does to its free space cannot be told (group %d: %v), so it is "+
						"captured whole.", ag, err))
				return []volume.Extent{{Offset: 0, Length: fs.size}}, nil
			}
			return nil, fmt.Errorf("xfs allocation group %d: %w", ag, err)
		}
	}
	used := runs.Extents()
	return used, fs.check(used)
}

// check wants the map to have the groups' headers, the log, and the inode of the root directory.
func (fs *FS) check(used []volume.Extent) error {
	sb := &fs.sb
	for ag := range sb.agCount {
		if err := volume.Require(used, "the headers of an allocation group", ag*sb.agBlocks*sb.blockSize,
			4*sb.sectorSize); err != nil {
			return fmt.Errorf("xfs: %w", err)
		}
	}
	at := func(block uint64) int64 { // of a file system block: group number, then block in it
		return (int64(block>>sb.agBlockLog)*sb.agBlocks + int64(block&(1<<sb.agBlockLog-1))) * sb.blockSize
	}
	if sb.logStart != 0 {
		if err := volume.Require(used, "its log", at(sb.logStart), sb.logBlocks*sb.blockSize); err != nil {
			return fmt.Errorf("xfs: %w", err)
		}
	}
	if err := volume.Require(used, "the root directory", at(sb.rootInode>>sb.inodeLog), sb.blockSize); err != nil {
		return fmt.Errorf("xfs: %w", err)
	}
	return nil
}
