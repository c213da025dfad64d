package xfs

import (
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

const (
	agfMagic = "XAGF"
	magicV4  = "ABTB" // free space by block number
	magicV5  = "AB3B"
	noBlock  = 0xffffffff
	maxLevel = 16 // a tree of 2^32 records has fewer
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
	root, level, want := be.Uint32(agf[16:]), be.Uint32(agf[28:]), int64(be.Uint32(agf[52:]))
	if level < 1 || level > maxLevel {
		return fmt.Errorf("its free space tree has %d levels", level)
	}
	gaps.From(start * sb.blockSize)
	w := walk{fs: fs, ag: ag, start: start, length: length, gaps: gaps}
	if err := w.leaves(root, int(level)-1); err != nil {
		return err
	}
	if w.free != want {
		return fmt.Errorf("its free space tree holds %d free blocks, its header counts %d", w.free, want)
	}
	gaps.To((start + length) * sb.blockSize)
	return nil
}

// walk goes down the left edge of a tree and then along the leaves. Records must ascend, and no leaf but a root may be
// empty, so that a loop of sibling pointers ends at its first repetition.
type walk struct {
	fs            *FS
	ag            int64
	start, length int64 // of the group, in blocks
	gaps          *field.Gaps
	next          int64 // lowest block that the next record may start at
	free          int64
}

func (w *walk) leaves(block uint32, level int) error {
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
			return fmt.Errorf("free space tree node %d has %d keys", block, n)
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
			return fmt.Errorf("free space tree leaf %d has %d records", block, n)
		}
		for i := range n {
			from, count := int64(be.Uint32(buf[header+8*i:])), int64(be.Uint32(buf[header+8*i+4:]))
			if from < w.next || count == 0 || from+count > w.length {
				return fmt.Errorf("free space tree leaf %d: a run of %d blocks at %d is out of order or out of the group", block, count, from)
			}
			w.next = from + count
			w.free += count
			w.gaps.Free((w.start+from)*w.fs.sb.blockSize, count*w.fs.sb.blockSize)
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
		return 0, 0, fmt.Errorf("free space tree block %d is outside the group", block)
	}
	at := (w.start + int64(block)) * w.fs.sb.blockSize
	changed, err := w.fs.read(buf, at)
	if err != nil {
		return 0, 0, err
	}
	want, header := magicV4, 16
	if w.fs.sb.version == 5 {
		want, header = magicV5, 56
	}
	if string(buf[:4]) != want {
		return 0, 0, fmt.Errorf("block %d is not of the free space tree", block)
	}
	if got := int(be.Uint16(buf[4:])); got != level {
		return 0, 0, fmt.Errorf("free space tree block %d is on level %d instead of %d", block, got, level)
	}
	if w.fs.sb.version == 5 {
		if int64(be.Uint64(buf[16:])) != at/512 || int64(be.Uint32(buf[48:])) != w.ag {
			return 0, 0, fmt.Errorf("free space tree block %d belongs elsewhere", block)
		}
		if w.fs.verify && !changed && !goodCRC(buf, 52) {
			return 0, 0, fmt.Errorf("the checksum of free space tree block %d is wrong", block)
		}
	}
	return int(be.Uint16(buf[6:])), header, nil
}

// read reads metadata as it will be after the log was replayed, and tells whether the log changed it: then its checksum,
// which is not in the log, says nothing.
func (fs *FS) read(p []byte, at int64) (changed bool, err error) {
	if err := volume.ReadAt(fs.r, fs.size, at, p); err != nil {
		return false, err
	}
	if fs.over == nil {
		return false, nil
	}
	return fs.over.apply(p, at), nil
}
