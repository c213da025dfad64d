package ext

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxJournalBlocks is what mke2fs allows for a journal.
const maxJournalBlocks = 10_240_000

// span is a run of blocks of a file.
type span struct {
	logical, physical, count int64
}

// inode reads an inode.
func (fs *FS) inode(number uint32) ([]byte, error) {
	sb := &fs.sb
	if number < 1 || int64(number) > sb.inodesPerGroup*sb.groupCount {
		return nil, fmt.Errorf("inode %d does not exist", number)
	}
	g, index := int64(number-1)/sb.inodesPerGroup, int64(number-1)%sb.inodesPerGroup
	per := sb.descsPerBlock()
	list, err := fs.descriptors(g/per*per, g%per+1)
	if err != nil {
		return nil, err
	}
	at := index * sb.inodeSize
	block, err := fs.blocks(list[g%per].inodeTable+at/sb.blockSize, 1)
	if err != nil {
		return nil, err
	}
	return block[at%sb.blockSize:][:sb.inodeSize], nil
}

// fileMap returns where the blocks of an inode are, in logical order. It serves the journal and the root directory,
// which have no holes.
func (fs *FS) fileMap(inode uint32) ([]span, int64, error) {
	sb := &fs.sb
	raw, err := fs.inode(inode)
	if err != nil {
		return nil, 0, err
	}
	le := binary.LittleEndian
	size := int64(le.Uint32(raw[4:])) | int64(le.Uint32(raw[0x6c:]))<<32
	blocks := size / sb.blockSize
	if size < 0 || blocks < 1 || blocks > maxJournalBlocks || blocks > sb.blocks {
		return nil, 0, fmt.Errorf("inode %d has %d bytes, which no journal has", inode, size)
	}
	w := &walker{fs: fs, limit: blocks}
	const flagExtents = 0x80000
	if le.Uint32(raw[0x20:])&flagExtents != 0 {
		err = w.extents(raw[0x28:0x28+60], 6)
	} else {
		err = w.indirect(raw[0x28 : 0x28+60])
	}
	if err != nil {
		return nil, 0, fmt.Errorf("the block map of inode %d: %w", inode, err)
	}
	if w.at != blocks {
		return nil, 0, fmt.Errorf("inode %d has %d blocks instead of %d", inode, w.at, blocks)
	}
	return w.spans, blocks, nil
}

// walker collects the blocks of a file without holes.
type walker struct {
	fs    *FS
	limit int64 // blocks the file has
	at    int64 // blocks found
	nodes int   // metadata blocks read
	spans []span
}

func (w *walker) add(logical, physical, count int64) error {
	if logical != w.at {
		return fmt.Errorf("block %d is missing", w.at)
	}
	if physical < 1 || count < 1 || count > w.fs.sb.blocks || physical > w.fs.sb.blocks-count {
		return fmt.Errorf("block %d is outside the file system", physical)
	}
	count = min(count, w.limit-w.at)
	if count <= 0 {
		return nil
	}
	if n := len(w.spans); n > 0 && w.spans[n-1].physical+w.spans[n-1].count == physical {
		w.spans[n-1].count += count
	} else {
		w.spans = append(w.spans, span{logical, physical, count})
	}
	w.at += count
	return nil
}

// read reads one metadata block; a map with more of them than the file has blocks goes in circles.
func (w *walker) read(block int64) ([]byte, error) {
	if w.nodes++; int64(w.nodes) > w.limit+16 {
		return nil, errors.New("it has more nodes than blocks")
	}
	return w.fs.blocks(block, 1)
}

// extents walks a node of an extent tree: header, then extents or links to other nodes.
func (w *walker) extents(node []byte, maxDepth int) error {
	le := binary.LittleEndian
	if le.Uint16(node) != 0xf30a {
		return errors.New("an extent node has no magic number")
	}
	entries, depth := int(le.Uint16(node[2:])), int(le.Uint16(node[6:]))
	if depth >= maxDepth || 12+12*entries > len(node) {
		return fmt.Errorf("an extent node has %d entries at depth %d", entries, depth)
	}
	for i := range entries {
		e := node[12+12*i:]
		if depth > 0 {
			child, err := w.read(int64(le.Uint32(e[4:])) | int64(le.Uint16(e[8:]))<<32)
			if err != nil {
				return err
			}
			if err := w.extents(child, depth); err != nil {
				return err
			}
			continue
		}
		count := int64(le.Uint16(e[4:]))
		if count > 32768 { // an extent that was allocated and not written
			count -= 32768
		}
		if err := w.add(int64(le.Uint32(e)), int64(le.Uint16(e[6:]))<<32|int64(le.Uint32(e[8:])), count); err != nil {
			return err
		}
	}
	return nil
}

// indirect walks the 15 block pointers of ext2: 12 direct ones, then one of each level.
func (w *walker) indirect(pointers []byte) error {
	for i := range 15 {
		if w.at >= w.limit {
			return nil
		}
		if err := w.pointer(int64(binary.LittleEndian.Uint32(pointers[4*i:])), max(0, i-11)); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) pointer(block int64, level int) error {
	if level == 0 {
		return w.add(w.at, block, 1)
	}
	node, err := w.read(block)
	if err != nil {
		return err
	}
	for ; len(node) >= 4 && w.at < w.limit; node = node[4:] {
		if err := w.pointer(int64(binary.LittleEndian.Uint32(node)), level-1); err != nil {
			return err
		}
	}
	return nil
}
