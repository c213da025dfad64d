package xfs

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

const (
	agfMagic = "XAGF"
	noBlock  = 0xffffffff
	maxLevel = 16 // a tree of 2^32 records has fewer
)

// tree is one of the two free-space trees of a group: where its root and its height stand in the group's header, and
// the magic numbers of its blocks in versions 4 and 5.
type tree struct {
	name         string
	root, levels int
	v4, v5       string
}

var (
	byBlock = tree{"free space tree", 16, 28, "ABTB", "AB3B"}
	bySize  = tree{"free space tree by size", 20, 32, "ABTC", "AB3C"}
)

// group tells gaps the free runs of one allocation group. It fails when the tree disagrees with its own counters.
func (fs *FS) group(ag int64, gaps *field.Gaps) error {
	sb := &fs.sb
	start := ag * sb.agBlocks
	length := min(sb.agBlocks, sb.blocks-start)
	agf := make([]byte, sb.sectorSize)
	changed, err := fs.read(agf, start*sb.blockSize+sb.sectorSize)
	if err != nil {
		return fmt.Errorf("free space header: %w", err)
	}
	switch {
	case string(agf[:4]) != agfMagic:
		return errors.New("the magic number of its free space header is wrong")
	case int64(be.Uint32(agf[8:])) != ag:
		return fmt.Errorf("its free space header is that of group %d", be.Uint32(agf[8:]))
	case int64(be.Uint32(agf[12:])) != length:
		return fmt.Errorf("its free space header counts %d blocks instead of %d", be.Uint32(agf[12:]), length)
	case fs.verify && sb.version == 5 && !changed && !goodCRC(agf, 216):
		return errors.New("the checksum of its free space header is wrong")
	}
	gaps.From(start * sb.blockSize)
	w := walk{fs: fs, ag: ag, start: start, length: length, tree: byBlock}
	next, free, longest := int64(0), int64(0), int64(0) // next is the lowest block that the next record may start at
	var sum uint64
	err = w.walk(agf, func(from, count int64) error {
		if from < next || count == 0 || from+count > length {
			return fmt.Errorf("a run of %d blocks at %d is out of order or out of the group", count, from)
		}
		next, free, longest = from+count, free+count, max(longest, count)
		sum += hash(from, count)
		gaps.Free((start+from)*sb.blockSize, count*sb.blockSize)
		return nil
	})
	if err != nil {
		return err
	}
	if want := int64(be.Uint32(agf[52:])); free != want {
		return fmt.Errorf("its free space tree holds %d free blocks, its header counts %d", free, want)
	}
	if want := int64(be.Uint32(agf[56:])); longest != want {
		return fmt.Errorf("the longest run in its free space tree has %d blocks, and in its header %d", longest, want)
	}
	gaps.To((start + length) * sb.blockSize)
	return fs.compare(&w, agf, sum)
}

// compare wants the other tree of a group, which has the same runs by their size, to hold what the first one does.
func (fs *FS) compare(w *walk, agf []byte, want uint64) error {
	w.tree = bySize
	var last [2]int64
	var sum uint64
	err := w.walk(agf, func(from, count int64) error {
		if count < last[0] || count == last[0] && from <= last[1] {
			return fmt.Errorf("a run of %d blocks at %d is out of order", count, from)
		}
		last = [2]int64{count, from}
		sum += hash(from, count)
		return nil
	})
	if err == nil && sum != want {
		err = errors.New("its two free space trees hold different runs")
	}
	return err
}

// hash makes the sum over a set of runs tell one set from another (the finalizer of splitmix64).
func hash(from, count int64) uint64 {
	x := uint64(from)<<32 | uint64(count)
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// walk goes down the left edge of a tree and then along the leaves. Records must ascend, and no leaf but a root may be
// empty, so that a loop of sibling pointers ends at its first repetition.
type walk struct {
	fs            *FS
	ag            int64
	start, length int64 // of the group, in blocks
	tree          tree
}

// walk shows all records of the tree that a group's header names to visit, which must refuse what is out of order.
func (w *walk) walk(agf []byte, visit func(from, count int64) error) error {
	block, levels := be.Uint32(agf[w.tree.root:]), be.Uint32(agf[w.tree.levels:])
	if levels < 1 || levels > maxLevel {
		return fmt.Errorf("its %s has %d levels", w.tree.name, levels)
	}
	level := int(levels) - 1
	buf := make([]byte, w.fs.sb.blockSize)
	root := true
	for ; level > 0; level-- {
		n, header, err := w.block(buf, block, level)
		if err != nil {
			return err
		}
		// A node holds its keys (8 bytes each) and then, behind room for as many as would fit, its pointers (4 bytes).
		most := (len(buf) - header) / 12
		if n < 1 || n > most {
			return fmt.Errorf("%s node %d has %d keys", w.tree.name, block, n)
		}
		block = be.Uint32(buf[header+8*most:])
		root = false
	}
	for {
		n, header, err := w.block(buf, block, 0)
		if err != nil {
			return err
		}
		if n > (len(buf)-header)/8 || n == 0 && !root {
			return fmt.Errorf("%s leaf %d has %d records", w.tree.name, block, n)
		}
		for i := range n {
			if err := visit(int64(be.Uint32(buf[header+8*i:])), int64(be.Uint32(buf[header+8*i+4:]))); err != nil {
				return fmt.Errorf("%s leaf %d: %w", w.tree.name, block, err)
			}
		}
		right := be.Uint32(buf[12:])
		if right == noBlock {
			return nil
		}
		block, root = right, false
	}
}

// block reads a tree block and returns the number of its records and the length of its header.
func (w *walk) block(buf []byte, block uint32, level int) (n, header int, err error) {
	if int64(block) >= w.length {
		return 0, 0, fmt.Errorf("%s block %d is outside the group", w.tree.name, block)
	}
	at := (w.start + int64(block)) * w.fs.sb.blockSize
	changed, err := w.fs.read(buf, at)
	if err != nil {
		return 0, 0, err
	}
	want, header := w.tree.v4, 16
	if w.fs.sb.version == 5 {
		want, header = w.tree.v5, 56
	}
	if string(buf[:4]) != want {
		return 0, 0, fmt.Errorf("block %d is not of the %s", block, w.tree.name)
	}
	if got := int(be.Uint16(buf[4:])); got != level {
		return 0, 0, fmt.Errorf("%s block %d is on level %d instead of %d", w.tree.name, block, got, level)
	}
	if w.fs.sb.version == 5 {
		if int64(be.Uint64(buf[16:])) != at/512 || int64(be.Uint32(buf[48:])) != w.ag {
			return 0, 0, fmt.Errorf("%s block %d belongs elsewhere", w.tree.name, block)
		}
		if w.fs.verify && !changed && !goodCRC(buf, 52) {
			return 0, 0, fmt.Errorf("the checksum of %s block %d is wrong", w.tree.name, block)
		}
	}
	return int(be.Uint16(buf[6:])), header, nil
}

// read reads metadata as it will be after the log was replayed, and tells whether the log changed it: then its
// checksum, which is not in the log, says nothing.
func (fs *FS) read(p []byte, at int64) (changed bool, err error) {
	if err := volume.ReadAt(fs.r, fs.size, at, p); err != nil {
		return false, err
	}
	if fs.over == nil {
		return false, nil
	}
	return fs.over.apply(p, at), nil
}
