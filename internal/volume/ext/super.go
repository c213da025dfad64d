package ext

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

const (
	superOffset = 1024
	superSize   = 1024
	superMagic  = 0xef53
	maxGroups   = 4 << 20 // 512 TiB with blocks of 4 KiB
)

// Feature flags, from the kernel documentation's "Super Block" chapter.
const (
	compatHasJournal   = 0x4
	compatLazyBG       = 0x40
	compatSparseSuper2 = 0x200

	incompatFiletype   = 0x2
	incompatRecover    = 0x4
	incompatJournalDev = 0x8
	incompatMetaBG     = 0x10
	incompatExtents    = 0x40
	incompat64bit      = 0x80
	incompatMMP        = 0x100
	incompatCsumSeed   = 0x2000
	// filetype, recover, meta_bg, extents, 64bit, mmp, flex_bg, ea_inode, dirdata, csum_seed, largedir, inline_data,
	// encrypt, casefold: none of them changes what a bit in a bitmap means.
	incompatKnown = incompatFiletype | incompatRecover | incompatMetaBG | incompatExtents | incompat64bit |
		incompatMMP | 0x200 | 0x400 | 0x1000 | incompatCsumSeed | 0x4000 | 0x8000 | 0x10000 | 0x20000

	roSparseSuper  = 0x1
	roLargeFile    = 0x2
	roBtreeDir     = 0x4
	roGdtCsum      = 0x10
	roBigalloc     = 0x200
	roMetadataCsum = 0x400
	roOrphans      = 0x10000 // the orphan file is not empty
	// The above, huge_file, dir_nlink, extra_isize, quota, readonly, project, shared_blocks, verity.
	roKnown = roSparseSuper | roLargeFile | roBtreeDir | roGdtCsum | roBigalloc | roMetadataCsum | roOrphans |
		0x8 | 0x20 | 0x40 | 0x100 | 0x1000 | 0x2000 | 0x4000 | 0x8000
)

const (
	stateValid  = 1
	stateErrors = 2
)

// super is what the map needs of the superblock. Block numbers and counts are in blocks.
type super struct {
	blocks, free       int64
	firstData          int64
	blockSize          int64
	clusterSize        int64
	blocksPerGroup     int64
	clustersPerGroup   int64
	inodesPerGroup     int64
	inodeSize          int64
	groupCount         int64
	state              uint16
	compat             uint32
	incompat, roCompat uint32
	uuid, journalUUID  [16]byte
	label              string
	reservedGDT        int64
	journalInode       uint32
	journalDevice      uint32
	lastOrphan         uint32
	descSize           int64
	firstMetaBG        int64
	backupGroups       [2]uint32
	seed               uint32 // of metadata checksums
}

func (sb *super) parse(raw []byte) error {
	le := binary.LittleEndian
	if le.Uint16(raw[0x38:]) != superMagic {
		return volume.ErrNotThis
	}
	sb.compat, sb.incompat, sb.roCompat = le.Uint32(raw[0x5c:]), le.Uint32(raw[0x60:]), le.Uint32(raw[0x64:])
	if le.Uint32(raw[0x4c:]) == 0 { // revision 0 has no features and fixed sizes
		sb.compat, sb.incompat, sb.roCompat = 0, 0, 0
	}
	logBlock, logCluster := le.Uint32(raw[0x18:]), le.Uint32(raw[0x1c:])
	if logBlock > 6 {
		return fmt.Errorf("its superblock is damaged: a block size of 2^%d KiB", logBlock)
	}
	sb.blockSize = 1024 << logBlock
	sb.clusterSize = sb.blockSize
	sb.blocksPerGroup = int64(le.Uint32(raw[0x20:]))
	sb.clustersPerGroup = sb.blocksPerGroup
	if sb.roCompat&roBigalloc != 0 {
		if logCluster < logBlock || logCluster > 30 {
			return fmt.Errorf("its superblock is damaged: a cluster size of 2^%d KiB", logCluster)
		}
		sb.clusterSize = 1024 << logCluster
		sb.clustersPerGroup = int64(le.Uint32(raw[0x24:]))
	}
	sb.blocks, sb.free = int64(le.Uint32(raw[0x4:])), int64(le.Uint32(raw[0xc:]))
	sb.descSize = 32
	if sb.incompat&incompat64bit != 0 {
		sb.blocks |= int64(le.Uint32(raw[0x150:])) << 32
		sb.free |= int64(le.Uint32(raw[0x158:])) << 32
		sb.descSize = int64(le.Uint16(raw[0xfe:]))
	}
	sb.firstData = int64(le.Uint32(raw[0x14:]))
	sb.inodesPerGroup = int64(le.Uint32(raw[0x28:]))
	sb.state = le.Uint16(raw[0x3a:])
	sb.inodeSize = 128
	if le.Uint32(raw[0x4c:]) > 0 {
		sb.inodeSize = int64(le.Uint16(raw[0x58:]))
	}
	copy(sb.uuid[:], raw[0x68:])
	sb.label, _, _ = strings.Cut(string(bytes.ToValidUTF8(raw[0x78:0x88], []byte("?"))), "\x00")
	sb.reservedGDT = int64(le.Uint16(raw[0xce:]))
	copy(sb.journalUUID[:], raw[0xd0:])
	sb.journalInode, sb.journalDevice = le.Uint32(raw[0xe0:]), le.Uint32(raw[0xe4:])
	sb.lastOrphan = le.Uint32(raw[0xe8:])
	sb.firstMetaBG = int64(le.Uint32(raw[0x104:]))
	sb.backupGroups = [2]uint32{le.Uint32(raw[0x24c:]), le.Uint32(raw[0x250:])}
	sb.seed = crc32c(^uint32(0), sb.uuid[:])
	if sb.incompat&incompatCsumSeed != 0 {
		sb.seed = le.Uint32(raw[0x270:])
	}
	if sb.incompat&incompatJournalDev != 0 {
		return fmt.Errorf("it is the journal of another ext3 or ext4 file system (journal UUID %s), which must be "+
			"captured with it", sb.uuidText())
	}
	if sb.roCompat&roMetadataCsum != 0 {
		if want, got := le.Uint32(raw[0x3fc:]), crc32c(^uint32(0), raw[:0x3fc]); want != got {
			return fmt.Errorf("its superblock is damaged: the checksum is %08x instead of %08x", got, want)
		}
	}
	return nil
}

// check makes sure that everything that follows stays within bounds.
func (sb *super) check(size int64) error {
	if f := sb.incompat &^ incompatKnown; f != 0 {
		return fmt.Errorf("it has incompatible features that this program does not know: %#x", f)
	}
	if f := sb.roCompat &^ roKnown; f != 0 {
		return fmt.Errorf("it has read-only compatible features that this program does not know: %#x", f)
	}
	if sb.compat&compatLazyBG != 0 {
		return errors.New("it has the feature lazy_bg, which was given up before it was documented")
	}
	ratio := sb.clusterSize / sb.blockSize
	bad := func(format string, a ...any) error {
		return fmt.Errorf("its superblock is damaged: "+format, a...)
	}
	switch {
	case sb.clustersPerGroup < 8 || sb.clustersPerGroup > 8*sb.blockSize || sb.clustersPerGroup%8 != 0:
		return bad("%d clusters a group", sb.clustersPerGroup)
	case sb.blocksPerGroup != sb.clustersPerGroup*ratio:
		return bad("%d blocks a group, but %d clusters", sb.blocksPerGroup, sb.clustersPerGroup)
	case sb.firstData > 1 || sb.firstData == 1 && (sb.blockSize != 1024 || ratio != 1):
		return bad("the first data block is %d", sb.firstData)
	case sb.blocks <= sb.firstData:
		return bad("%d blocks", sb.blocks)
	case sb.blocks > size/sb.blockSize:
		return fmt.Errorf("it claims %d blocks of %d bytes, more than its partition of %d bytes has", sb.blocks,
			sb.blockSize, size)
	case sb.free > sb.blocks:
		return bad("%d of %d blocks are free", sb.free, sb.blocks)
	case sb.inodeSize < 128 || sb.inodeSize > sb.blockSize || sb.inodeSize&(sb.inodeSize-1) != 0:
		return bad("inodes of %d bytes", sb.inodeSize)
	case sb.inodesPerGroup < 1 || sb.inodesPerGroup > 8*sb.blockSize:
		return bad("%d inodes a group", sb.inodesPerGroup)
	case sb.descSize < 32 || sb.descSize > 1024 || sb.descSize&(sb.descSize-1) != 0 || sb.incompat&incompat64bit != 0 &&
		sb.descSize < 64:
		return bad("group descriptors of %d bytes", sb.descSize)
	}
	sb.groupCount = (sb.blocks - sb.firstData + sb.blocksPerGroup - 1) / sb.blocksPerGroup
	switch {
	case sb.groupCount > maxGroups:
		return bad("%d groups", sb.groupCount)
	case sb.reservedGDT > sb.blockSize/4:
		return bad("%d blocks reserved for descriptors", sb.reservedGDT)
	case sb.incompat&incompatMetaBG != 0 && sb.firstMetaBG > sb.descBlocks():
		return bad("the first meta group is %d", sb.firstMetaBG)
	}
	return nil
}

// clean says whether it was unmounted in order.
func (sb *super) clean() bool {
	return sb.incompat&incompatRecover == 0 && sb.state&stateValid != 0 && sb.state&stateErrors == 0
}

// trustworthy says why the bitmaps, together with the journal, are not enough to know which blocks are in use.
func (sb *super) trustworthy() error {
	switch {
	case sb.state&stateErrors != 0:
		return errors.New("the kernel has found errors in it (run e2fsck)")
	case sb.incompat&incompatRecover == 0 && sb.state&stateValid == 0:
		return errors.New("it was not unmounted and has no journal to recover from (run e2fsck)")
	case sb.incompat&incompatRecover != 0 && sb.journalDev():
		return errors.New("it needs recovery and its journal is on another device (mount and unmount it)")
	}
	return nil
}

func (sb *super) journalDev() bool {
	return sb.compat&compatHasJournal != 0 && sb.journalInode == 0 &&
		(sb.journalDevice != 0 || sb.journalUUID != [16]byte{})
}

// hasGroupSums says whether descriptors have checksums, and with them the UNINIT flags.
func (sb *super) hasGroupSums() bool { return sb.roCompat&(roGdtCsum|roMetadataCsum) != 0 }

func (sb *super) descsPerBlock() int64 { return sb.blockSize / sb.descSize }

// descBlocks is how many blocks of group descriptors there are.
func (sb *super) descBlocks() int64 {
	return (sb.groupCount + sb.descsPerBlock() - 1) / sb.descsPerBlock()
}

func (sb *super) firstBlock(group int64) int64 { return sb.firstData + group*sb.blocksPerGroup }

// hasSuper says whether a group begins with a copy of the superblock.
func (sb *super) hasSuper(group int64) bool {
	switch {
	case group == 0:
		return true
	case sb.compat&compatSparseSuper2 != 0:
		return group == int64(sb.backupGroups[0]) || group == int64(sb.backupGroups[1])
	case group == 1 || sb.roCompat&roSparseSuper == 0:
		return true
	}
	for _, base := range []int64{3, 5, 7} {
		n := base
		for n < group {
			n *= base
		}
		if n == group {
			return true
		}
	}
	return false
}

// superBlocks is how many blocks the superblock takes at the start of a group: with blocks of 1 KiB that begin at 0, as
// bigalloc wants them, the boot sector's block comes before it in group 0.
func (sb *super) superBlocks(group int64) int64 {
	switch {
	case !sb.hasSuper(group):
		return 0
	case group == 0 && sb.blockSize == 1024 && sb.firstData == 0:
		return 2
	}
	return 1
}

// oldDescBlocks is how many blocks of descriptors lie in one piece behind a superblock.
func (sb *super) oldDescBlocks() int64 {
	if sb.incompat&incompatMetaBG != 0 {
		return sb.firstMetaBG
	}
	return sb.descBlocks()
}

// descBlock is where the i-th block of descriptors is.
func (sb *super) descBlock(i int64) int64 {
	if i < sb.oldDescBlocks() {
		return sb.firstData + sb.superBlocks(0) + i
	}
	group := i * sb.descsPerBlock()
	return sb.firstBlock(group) + sb.superBlocks(group)
}

// overhead is how many blocks the superblock and the descriptors take at the start of a group.
func (sb *super) overhead(group int64) int64 {
	n := sb.superBlocks(group)
	meta := group / sb.descsPerBlock()
	if sb.incompat&incompatMetaBG != 0 && meta >= sb.firstMetaBG {
		// The first, the second and the last group of a meta group each have its block of descriptors.
		if in := group % sb.descsPerBlock(); in < 2 || in == sb.descsPerBlock()-1 {
			n++
		}
		return n
	}
	if n > 0 {
		n += sb.oldDescBlocks() + sb.reservedGDT
	}
	return n
}

func (sb *super) uuidText() string { return uuidText(sb.uuid[:]) }

func uuidText(u []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:16])
}
