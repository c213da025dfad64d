// Package ext reads the allocation map of ext2, ext3 and ext4 file systems.
//
// A file system is an array of blocks of 1 to 64 KiB, cut into groups. Each group has a bitmap with one bit a block
// (with the bigalloc feature: one bit a cluster of blocks), which the group's descriptor points to; the descriptors are
// an array behind the superblock, or scattered over the groups with meta_bg. The map is therefore the sum of the
// bitmaps, read in the order in which they lie on the disk. A group that was never used has the flag BLOCK_UNINIT and
// no bitmap; what it holds (a backup of the superblock and of the descriptors, perhaps tables of other groups) is
// computed.
//
// # What is checked
//
// A clean file system says several times over what is free: in its bitmaps, in each group's own count, and in the
// superblock's total. With metadata_csum a bitmap has a checksum too, without it these counts are all there is. Where
// they disagree, or where a bitmap calls a group's own tables or the root directory free, no map is believed. That
// takes no more reading than the map itself. What would be dear is not done: reading all inodes, to see whether each
// file's blocks are in a bitmap; that is e2fsck's work.
//
// # Unclean file systems
//
// After a crash the bitmaps on the disk are older than what the journal has committed: a block that was given to a file
// in the last seconds may still be free in its bitmap, and be used as soon as the journal is replayed. So for a file
// system that needs recovery every version of a bitmap that is in the journal is added to the map. The journal itself
// is in the map too, as it is a file, and the restored file system recovers when it is first mounted, as the source
// would have. Where this is not possible the whole partition is captured: the journal has fast commits, whose format is
// not documented publicly, or is on another device; there is no journal and the file system was not unmounted; the
// kernel has marked it as having errors.
//
// Sources: the "ext4 Data Structures and Algorithms" documentation of the Linux kernel, Documentation/filesystems/ext4.
package ext

import (
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

// FS is an ext2, ext3 or ext4 file system.
type FS struct {
	r    io.ReaderAt
	size int64 // of the partition
	sb   super
	// replayed: the map has all that a replay of the journal would bring into use.
	replayed bool
	bad      []volume.Extent // blocks of the inode of bad blocks
}

// Open reads the superblock of the file system in the size bytes of r.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	if size < superOffset+superSize {
		return nil, volume.ErrNotThis
	}
	raw := make([]byte, superSize)
	if err := volume.ReadAt(r, size, superOffset, raw); err != nil {
		return nil, fmt.Errorf("the ext superblock: %w", err)
	}
	fs := &FS{r: r, size: size}
	if err := fs.sb.parse(raw); err != nil {
		return nil, err
	}
	if err := fs.sb.check(size); err != nil {
		return nil, err
	}
	return fs, nil
}

// Type is ext2, ext3 or ext4, told apart by their features as blkid does.
func (fs *FS) Type() string {
	sb := &fs.sb
	switch {
	case sb.incompat&^(incompatFiletype|incompatRecover|incompatMetaBG) != 0,
		sb.roCompat&^(roSparseSuper|roLargeFile|roBtreeDir) != 0:
		return "ext4"
	case sb.compat&compatHasJournal != 0:
		return "ext3"
	}
	return "ext2"
}

// Info returns what the superblock says and, after Extents, how a journal that must be replayed was dealt with.
func (fs *FS) Info() volume.Info {
	sb := &fs.sb
	info := volume.Info{
		Label: sb.label, UUID: sb.uuidText(), BlockSize: sb.blockSize, Size: sb.blocks * sb.blockSize,
		Used: (sb.blocks - sb.free) * sb.blockSize, Clean: sb.clean(), Bad: fs.bad,
	}
	if sb.incompat&incompatRecover != 0 {
		what := "The first mount of the restored file system replays its journal, as the next mount of this one " +
			"would have."
		if fs.replayed {
			what = "The journal is in the image, with all blocks that it may bring into use; the first mount of the " +
				"restored file system replays it."
		}
		info.Notes = append(info.Notes, "It was not unmounted (needs_recovery is set). "+what)
	}
	if sb.journalDev() {
		info.Notes = append(info.Notes,
			fmt.Sprintf("Its journal is on another device (journal UUID %s), which must be captured and restored too.",
				uuidText(sb.journalUUID[:])))
	}
	if sb.lastOrphan != 0 || sb.roCompat&roOrphans != 0 {
		info.Notes = append(info.Notes,
			"Some files were deleted while they were open; the first mount of the restored file system frees them.")
	}
	if sb.incompat&incompatMMP != 0 {
		info.Notes = append(info.Notes,
			"It has multiple mount protection (mmp): the restored copy can be mounted some seconds later than usual.")
	}
	return info
}

// badBlocks reads inode 1, whose blocks are the bad ones. Who cannot read it, as when there are none, knows of none.
func (fs *FS) badBlocks() {
	spans, _, err := fs.fileMap(badInode)
	if err != nil {
		return
	}
	bad := volume.NewRuns(fs.size)
	for _, s := range spans {
		bad.Add(s.physical*fs.sb.blockSize, s.count*fs.sb.blockSize)
	}
	fs.bad = bad.Extents()
}

const badInode = 1

// Extents returns the allocated runs.
func (fs *FS) Extents() ([]volume.Extent, error) {
	sb := &fs.sb
	if err := sb.trustworthy(); err != nil {
		return nil, err
	}
	m := &mapper{fs: fs, runs: volume.NewRuns(fs.size), meta: volume.NewRuns(fs.size)}
	// What is before the superblock belongs to no group when blocks have 1 KiB: a boot sector.
	m.meta.Add(0, superOffset+superSize)
	if err := m.groups(); err != nil {
		return nil, err
	}
	fs.badBlocks()
	for _, b := range fs.bad {
		m.meta.Add(b.Offset, b.Length) // used, whatever the bitmap says
	}
	used := volume.Merge(fs.size, m.runs.Extents(), m.meta.Extents())
	if sb.clean() {
		return used, m.check(used)
	}
	if sb.incompat&incompatRecover != 0 {
		if err := m.journal(); err != nil {
			return nil, err
		}
		fs.replayed = true
	}
	return volume.Merge(fs.size, m.runs.Extents(), m.meta.Extents()), nil
}
