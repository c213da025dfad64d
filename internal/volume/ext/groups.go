package ext

import (
	"encoding/binary"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
)

// group is what the map needs of a group descriptor. Addresses are block numbers.
type group struct {
	number      int64
	blockBitmap int64
	inodeBitmap int64
	inodeTable  int64
	free        int64 // clusters, by the descriptor's own count
	flags       uint16
	bitmapSum   uint32
}

const (
	blockUninit = 2

	readAhead = 1 << 20 // bytes of descriptors or bitmaps read at once
)

// mapper is one run of Extents.
type mapper struct {
	fs     *FS
	runs   *volume.Runs // what the bitmaps say, in order
	meta   *volume.Runs // what is known without them
	uninit []counted    // groups without a bitmap
	free   int64        // clusters, by the groups' own counts

	window      []byte // blocks of the disk from windowStart on
	windowStart int64
}

// groups adds what all groups use. It reads descriptors and bitmaps in pieces of up to 1 MiB: with flex_bg the bitmaps
// of neighbouring groups lie side by side.
func (m *mapper) groups() error {
	sb := &m.fs.sb
	batch := max(1, readAhead/sb.blockSize) * sb.descsPerBlock() // groups
	for first := int64(0); first < sb.groupCount; first += batch {
		list, err := m.fs.descriptors(first, min(batch, sb.groupCount-first))
		if err != nil {
			return err
		}
		for i := range list {
			if err := m.group(list, i); err != nil {
				return fmt.Errorf("block group %d: %w", list[i].number, err)
			}
		}
	}
	return nil
}

// descriptors reads the descriptors of n groups from first, the first of a block of descriptors.
func (fs *FS) descriptors(first, n int64) ([]group, error) {
	sb := &fs.sb
	per := sb.descsPerBlock()
	list := make([]group, 0, n)
	for at := first; at < first+n; {
		// How many blocks of descriptors lie side by side?
		block, count := sb.descBlock(at/per), int64(1)
		for at+count*per < first+n && sb.descBlock(at/per+count) == block+count {
			count++
		}
		raw, err := fs.blocks(block, count)
		if err != nil {
			return nil, fmt.Errorf("the descriptors of block group %d: %w", at, err)
		}
		for ; len(raw) >= int(sb.descSize) && at < first+n; at++ {
			g, err := fs.descriptor(raw[:sb.descSize], at)
			if err != nil {
				return nil, fmt.Errorf("block group %d: %w", at, err)
			}
			list = append(list, g)
			raw = raw[sb.descSize:]
		}
	}
	return list, nil
}

func (fs *FS) descriptor(raw []byte, number int64) (group, error) {
	sb := &fs.sb
	le := binary.LittleEndian
	g := group{
		number:      number,
		blockBitmap: int64(le.Uint32(raw)), inodeBitmap: int64(le.Uint32(raw[4:])),
		inodeTable: int64(le.Uint32(raw[8:])),
		free:       int64(le.Uint16(raw[0xc:])), flags: le.Uint16(raw[0x12:]), bitmapSum: uint32(le.Uint16(raw[0x18:])),
	}
	if sb.descSize >= 64 {
		g.blockBitmap |= int64(le.Uint32(raw[0x20:])) << 32
		g.inodeBitmap |= int64(le.Uint32(raw[0x24:])) << 32
		g.inodeTable |= int64(le.Uint32(raw[0x28:])) << 32
		g.free |= int64(le.Uint16(raw[0x2c:])) << 16
		g.bitmapSum |= uint32(le.Uint16(raw[0x38:])) << 16
	}
	if !sb.hasGroupSums() {
		g.flags = 0 // their bits mean nothing then
	}
	for _, a := range []struct {
		what     string
		block, n int64
	}{{"block bitmap", g.blockBitmap, 1}, {"inode bitmap", g.inodeBitmap, 1},
		{"inode table", g.inodeTable, sb.inodeTableBlocks()}} {
		if a.block < sb.firstData || a.block < 1 || a.n > sb.blocks || a.block > sb.blocks-a.n {
			return g, fmt.Errorf("its %s would be at block %d, outside the file system", a.what, a.block)
		}
	}
	// After a crash a descriptor may be older than the journal's, but each version has a checksum of its own.
	if sb.hasGroupSums() {
		if want, got := le.Uint16(raw[0x1e:]), sb.descriptorSum(raw, number); want != got {
			return g, fmt.Errorf("its descriptor's checksum is %04x instead of %04x", got, want)
		}
	}
	return g, nil
}

// descriptorSum is over UUID, group number and the descriptor: without the checksum's own field in the older form, with
// zeroes in its place in the newer.
func (sb *super) descriptorSum(raw []byte, number int64) uint16 {
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], uint32(number))
	if sb.roCompat&roMetadataCsum != 0 {
		c := crc32c(sb.seed, n[:])
		c = crc32c(c, raw[:0x1e])
		c = crc32c(c, []byte{0, 0})
		return uint16(crc32c(c, raw[0x20:]))
	}
	c := crc16(0xffff, sb.uuid[:])
	c = crc16(c, n[:])
	c = crc16(c, raw[:0x1e])
	return crc16(c, raw[0x20:])
}

func (sb *super) inodeTableBlocks() int64 {
	return (sb.inodesPerGroup*sb.inodeSize + sb.blockSize - 1) / sb.blockSize
}

// blocksIn is how many blocks a group has; the last one may be short.
func (sb *super) blocksIn(group int64) int64 {
	return min(sb.blocksPerGroup, sb.blocks-sb.firstBlock(group))
}

// group adds what the i-th group of the list uses.
func (m *mapper) group(list []group, i int) error {
	sb := &m.fs.sb
	g := &list[i]
	m.free += g.free
	// Bitmaps and tables may lie in another group, with flex_bg even in one that has no bitmap.
	m.addMeta(g.blockBitmap, 1)
	m.addMeta(g.inodeBitmap, 1)
	m.addMeta(g.inodeTable, sb.inodeTableBlocks())
	start := sb.firstBlock(g.number)
	if g.flags&blockUninit != 0 {
		if n := min(sb.overhead(g.number), sb.blocksIn(g.number)); n > 0 {
			m.addMeta(start, n)
		}
		m.uninit = append(m.uninit, counted{g.number, g.free})
		return nil
	}
	bitmap, err := m.bitmap(list, i)
	if err != nil {
		return fmt.Errorf("its block bitmap: %w", err)
	}
	bitmap = bitmap[:sb.clustersPerGroup/8]
	if sb.roCompat&roMetadataCsum != 0 && sb.clean() {
		// An unclean file system may have a bitmap that is newer than its descriptor, or the other way round.
		want, got := g.bitmapSum, crc32c(sb.seed, bitmap)
		if sb.descSize < 64 {
			got &= 0xffff
		}
		if want != got {
			return fmt.Errorf("its block bitmap's checksum is %08x instead of %08x", got, want)
		}
	}
	m.addBitmap(g.number, bitmap)
	if sb.clean() {
		return m.compare(g, bitmap)
	}
	return nil
}

func (m *mapper) addBitmap(group int64, bitmap []byte) {
	sb := &m.fs.sb
	ratio := sb.clusterSize / sb.blockSize
	clusters := (sb.blocksIn(group) + ratio - 1) / ratio
	m.runs.AddBits(bitmap, clusters, sb.firstBlock(group)*sb.blockSize, sb.clusterSize)
}

// addMeta counts blocks as used; with bigalloc the whole clusters that they are in, as the bitmap has it.
func (m *mapper) addMeta(block, n int64) {
	sb := &m.fs.sb
	start, end := block*sb.blockSize, (block+n)*sb.blockSize
	start = start / sb.clusterSize * sb.clusterSize
	end = min((end+sb.clusterSize-1)/sb.clusterSize*sb.clusterSize, sb.blocks*sb.blockSize)
	m.meta.Add(start, end-start)
}

// bitmap returns the block bitmap of the i-th group. It reads those of the following groups with it as long as they
// come after it on the disk, at most readAhead bytes.
func (m *mapper) bitmap(list []group, i int) ([]byte, error) {
	bs := m.fs.sb.blockSize
	at := list[i].blockBitmap
	if at < m.windowStart || at >= m.windowStart+int64(len(m.window))/bs {
		last := at
		for _, next := range list[i+1:] {
			if next.flags&blockUninit != 0 {
				continue
			}
			// A gap costs less than another seek.
			if next.blockBitmap <= last || next.blockBitmap-last > 32 || (next.blockBitmap-at+1)*bs > readAhead {
				break
			}
			last = next.blockBitmap
		}
		window, err := m.fs.blocks(at, last-at+1)
		if err != nil {
			return nil, err
		}
		m.window, m.windowStart = window, at
	}
	return m.window[(at-m.windowStart)*bs:][:bs], nil
}

// blocks reads n blocks from first; n stays below readAhead in bytes, or is 1.
func (fs *FS) blocks(first, n int64) ([]byte, error) {
	sb := &fs.sb
	if first < 0 || n < 0 || n > sb.blocks || first > sb.blocks-n {
		return nil, fmt.Errorf("block %d is outside the file system", first)
	}
	return volume.Read(fs.r, fs.size, first*sb.blockSize, n*sb.blockSize, max(readAhead, sb.blockSize))
}
