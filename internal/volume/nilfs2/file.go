package nilfs2

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
)

const (
	direct   = 6 // pointers in an inode that has no tree
	rootKeys = 3
	maxLevel = 14
)

// file is one of the file system's own files, found by the block map in its inode: 56 bytes, either direct pointers
// behind a word, or the root of a tree. Pointers are disk blocks (DAT), or virtual numbers that DAT translates (all
// others).
type file struct {
	fs      *FS
	bmap    []byte
	virtual *translator
}

// read reads a block of the file. One that does not exist is all zeros.
func (f *file) read(block int64, p []byte) error {
	at, err := f.find(uint64(block))
	if err != nil {
		return fmt.Errorf("block %d: %w", block, err)
	}
	if at == 0 {
		clear(p)
		return nil
	}
	return volume.ReadAt(f.fs.r, f.fs.size, at*f.fs.block, p)
}

// locate turns a pointer into a disk block.
func (f *file) locate(pointer uint64) (int64, error) {
	if f.virtual != nil {
		return f.virtual.block(pointer)
	}
	return f.fs.inside(pointer)
}

func (fs *FS) inside(block uint64) (int64, error) {
	if block < 1 || block >= uint64(fs.size/fs.block) {
		return 0, fmt.Errorf("it points to block %d, outside the partition", block)
	}
	return int64(block), nil
}

// find returns where a block of the file is; 0 when it has none.
func (f *file) find(key uint64) (int64, error) {
	if f.bmap[0]&1 == 0 {
		if key >= direct {
			return 0, nil
		}
		pointer := le.Uint64(f.bmap[8+8*key:])
		if pointer == 0 {
			return 0, nil
		}
		return f.locate(pointer)
	}
	// A node: u8 flags, u8 level, u16 children, 4 bytes; in a block of its own 8 more; keys; behind room for all keys,
	// pointers.
	node, keys, most := f.bmap, 8, rootKeys
	level := int(node[1])
	if level < 1 || level > maxLevel {
		return 0, fmt.Errorf("its tree has level %d", level)
	}
	for {
		n := int(le.Uint16(node[2:]))
		if int(node[1]) != level || n < 1 || n > most {
			return 0, errors.New("its tree is damaged")
		}
		i := n - 1
		for i >= 0 && le.Uint64(node[keys+8*i:]) > key {
			i--
		}
		if i < 0 || level == 1 && le.Uint64(node[keys+8*i:]) != key {
			return 0, nil
		}
		at, err := f.locate(le.Uint64(node[keys+8*most+8*i:]))
		if err != nil || level == 1 {
			return at, err
		}
		child := make([]byte, f.fs.block)
		if err := volume.ReadAt(f.fs.r, f.fs.size, at*f.fs.block, child); err != nil {
			return 0, err
		}
		node, keys, most, level = child, 16, int(f.fs.block-16)/16, level-1
	}
}

// translator reads DAT: groups of as many entries as a block has bits, each behind a block of bits; before each run of
// groups, a block of their descriptors of 4 bytes.
type translator struct {
	fs   *FS
	dat  file
	at   int64 // the block of DAT that is in memory
	held []byte
}

func (t *translator) block(virtual uint64) (int64, error) {
	bs := t.fs.block
	perGroup, perBlock := bs*8, bs/datEntry
	groupBlocks := perGroup/perBlock + 1
	groups := bs / 4
	if virtual > uint64(t.fs.size)*8 {
		return 0, fmt.Errorf("virtual block %d is impossible", virtual)
	}
	group, offset := int64(virtual)/perGroup, int64(virtual)%perGroup
	at := group/groups*(groups*groupBlocks+1) + 1 + group%groups*groupBlocks + 1 + offset/perBlock
	if t.held == nil || t.at != at {
		p := make([]byte, bs)
		if err := t.dat.read(at, p); err != nil {
			return 0, fmt.Errorf("DAT: %w", err)
		}
		t.held, t.at = p, at
	}
	return t.fs.inside(le.Uint64(t.held[offset%perBlock*datEntry:]))
}
