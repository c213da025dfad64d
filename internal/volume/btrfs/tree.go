package btrfs

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
)

const (
	headSize, itemSize, pointerSize = 101, 25, 33
	maxLevel                        = 7

	typeExtentData, typeRoot, typeExtent, typeMetadata = 108, 132, 168, 169

	extentTree = 2
)

// key orders the items of a tree.
type key struct {
	object uint64
	kind   uint8
	offset uint64
}

func parseKey(p []byte) key { return key{le.Uint64(p), p[8], le.Uint64(p[9:])} }

func (k key) less(o key) bool {
	if k.object != o.object {
		return k.object < o.object
	}
	if k.kind != o.kind {
		return k.kind < o.kind
	}
	return k.offset < o.offset
}

// walker visits the items of one tree in order. Keys must ascend over the whole tree, so that a tree which refers to
// one block twice ends at the second visit.
type walker struct {
	fs    *FS
	last  key
	begun bool
	block func(logical int64) error // may be nil
	item  func(k key, data []byte) error
}

func (fs *FS) walk(root pointer, block func(logical int64) error, item func(k key, data []byte) error) error {
	w := walker{fs: fs, block: block, item: item}
	return w.visit(root, true)
}

func (w *walker) visit(at pointer, root bool) error {
	p, err := w.fs.read(at)
	if err != nil {
		return err
	}
	if w.block != nil {
		if err := w.block(at.logical); err != nil {
			return err
		}
	}
	n := int(le.Uint32(p[96:]))
	body := p[headSize:]
	if n == 0 && !root {
		return fmt.Errorf("tree block %d is empty", at.logical)
	}
	if at.level > 0 {
		if n < 1 || n > len(body)/pointerSize {
			return fmt.Errorf("tree block %d has %d pointers", at.logical, n)
		}
		for i := range n {
			q := body[i*pointerSize:]
			if k := parseKey(q); w.begun && !w.last.less(k) {
				return fmt.Errorf("tree block %d is out of order", at.logical)
			}
			child := pointer{int64(le.Uint64(q[17:])), at.level - 1, le.Uint64(q[25:])}
			if err := w.visit(child, false); err != nil {
				return err
			}
		}
		return nil
	}
	if n < 0 || n > len(body)/itemSize {
		return fmt.Errorf("tree block %d has %d items", at.logical, n)
	}
	for i := range n {
		q := body[i*itemSize:]
		k := parseKey(q)
		if w.begun && !w.last.less(k) {
			return fmt.Errorf("tree block %d is out of order", at.logical)
		}
		w.last, w.begun = k, true
		off, size := int64(le.Uint32(q[17:])), int64(le.Uint32(q[21:]))
		if off+size > int64(len(body)) {
			return fmt.Errorf("an item of tree block %d is outside it", at.logical)
		}
		if err := w.item(k, body[off:off+size]); err != nil {
			return err
		}
	}
	return nil
}

// read reads a tree block, from another copy when the first is damaged.
func (fs *FS) read(at pointer) ([]byte, error) {
	c, err := fs.find(at.logical, fs.node)
	if err != nil {
		return nil, err
	}
	if len(c.copies) == 0 {
		return nil, fmt.Errorf("tree block %d is striped over places of one device", at.logical)
	}
	p := make([]byte, fs.node)
	var first error
	for _, off := range c.copies {
		err := volume.ReadAt(fs.r, fs.size, off+at.logical-c.logical, p)
		if err == nil {
			err = fs.checkBlock(p, at)
		}
		if err == nil {
			return p, nil
		}
		if first == nil {
			first = fmt.Errorf("tree block %d: %w", at.logical, err)
		}
	}
	return nil, first
}

func (fs *FS) checkBlock(p []byte, at pointer) error {
	if err := fs.checksum(p); err != nil {
		return err
	}
	switch {
	case [16]byte(p[32:48]) != fs.fsid:
		return errors.New("it belongs to another file system")
	case int64(le.Uint64(p[48:])) != at.logical:
		return fmt.Errorf("it says that it is block %d", le.Uint64(p[48:]))
	case int(p[100]) != at.level:
		return fmt.Errorf("it is on level %d instead of %d", p[100], at.level)
	case at.generation != 0 && le.Uint64(p[80:]) != at.generation:
		return fmt.Errorf("it is of generation %d instead of %d", le.Uint64(p[80:]), at.generation)
	}
	return nil
}

// parseRoot reads where a tree's root is from a root item.
func parseRoot(item []byte) (pointer, error) {
	if len(item) < 239 {
		return pointer{}, errors.New("a root item is too short")
	}
	p := pointer{logical: int64(le.Uint64(item[176:])), level: int(item[238]), generation: le.Uint64(item[160:])}
	if p.level > maxLevel {
		return p, fmt.Errorf("a tree has %d levels", p.level)
	}
	return p, nil
}

// extents adds what the extent tree lists.
func (fs *FS) extents(runs *volume.Runs) error {
	sum := int64(0)
	err := fs.eachExtent(func(logical, n int64) error {
		sum += n
		return fs.add(runs, logical, n)
	})
	if err != nil {
		return err
	}
	if fs.verify && sum != fs.used {
		return fmt.Errorf("it has %d bytes, and the superblock counts %d", sum, fs.used)
	}
	return nil
}

// check wants the map to have the tree blocks by which the extent tree was found and read, in all their copies.
func (fs *FS) check(used []volume.Extent) error {
	for _, logical := range fs.seen {
		c, err := fs.find(logical, fs.node)
		if err != nil {
			return err
		}
		for _, at := range c.copies {
			if err := volume.Require(used, "a block of its own trees", at+logical-c.logical, fs.node); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachExtent visits what the extent tree lists, in the order of logical addresses.
func (fs *FS) eachExtent(visit func(logical, n int64) error) error {
	var root *pointer
	fs.seen = []int64{fs.chunkRoot.logical}
	seen := func(logical int64) error { fs.seen = append(fs.seen, logical); return nil }
	err := fs.walk(fs.root, seen, func(k key, item []byte) error {
		if k.object != extentTree || k.kind != typeRoot {
			return nil
		}
		p, err := parseRoot(item)
		root = &p
		return err
	})
	if err != nil {
		return fmt.Errorf("root tree: %w", err)
	}
	if root == nil {
		return errors.New("the root tree does not name it")
	}
	next := uint64(0)
	return fs.walk(*root, seen, func(k key, _ []byte) error {
		n := int64(k.offset)
		switch k.kind {
		case typeExtent:
		case typeMetadata:
			n = fs.node
		default:
			return nil
		}
		if k.object < next || n <= 0 || int64(k.object) < 0 {
			return fmt.Errorf("the extent at %d, %d bytes, overlaps another", k.object, n)
		}
		next = k.object + uint64(n)
		return visit(int64(k.object), n)
	})
}

// treeLog adds the blocks of the tree log, and the data that is written but only the log knows of. The log's root tree
// has a root item for each subvolume's log.
func (fs *FS) treeLog(runs *volume.Runs) error {
	block := func(logical int64) error { return fs.add(runs, logical, fs.node) }
	return fs.walk(fs.logRoot, block, func(k key, item []byte) error {
		if k.kind != typeRoot {
			return nil
		}
		root, err := parseRoot(item)
		if err != nil {
			return err
		}
		return fs.walk(root, block, func(k key, item []byte) error {
			// A file extent: type at 20 (0 is inline), disk address at 21, bytes on the disk at 29.
			if k.kind != typeExtentData || len(item) < 53 || item[20] == 0 {
				return nil
			}
			at, n := int64(le.Uint64(item[21:])), int64(le.Uint64(item[29:]))
			if at == 0 {
				return nil // a hole
			}
			return fs.add(runs, at, n)
		})
	})
}
