package image

import (
	"encoding/binary"
	"fmt"
)

// ParseIndex parses and checks an index blob. Whatever it accepts is safe to work with: every extent lies in its cell
// and on the disk, in order and without overlap; every chunk is as long as its frame decodes to; every frame and blob
// is used. It keeps nothing of b. Memory is bounded by a small multiple of len(b).
func ParseIndex(b []byte) (*Index, error) { return readIndex(b, true) }

// readIndex is ParseIndex, which leaves the chunks out unless keep: of a large disk they take far more memory than b.
func readIndex(b []byte, keep bool) (*Index, error) {
	x, err := parseIndex(b, keep)
	if err != nil {
		return nil, fmt.Errorf("index: %w: %w", ErrFormat, err)
	}
	return x, nil
}

func parseIndex(b []byte, keep bool) (*Index, error) {
	if len(b) > MaxIndex {
		return nil, fmt.Errorf("it has %d bytes, more than the %d that stores and nodes take", len(b), MaxIndex)
	}
	if len(b) < indexHeader || string(b[:8]) != indexMagic {
		return nil, fmt.Errorf("it does not begin with %q", indexMagic)
	}
	le := binary.LittleEndian
	if v := le.Uint32(b[8:]); v != indexVersion {
		return nil, fmt.Errorf("it has version %d; this program reads version %d", v, indexVersion)
	}
	log := le.Uint32(b[12:])
	if log > 62 {
		return nil, fmt.Errorf("a grid of 2^%d bytes", log)
	}
	x := &Index{Grid: 1 << log}
	if err := CheckGrid(x.Grid); err != nil {
		return nil, err
	}
	disk := le.Uint64(b[16:])
	if disk > maxDisk {
		return nil, fmt.Errorf("a disk of %d bytes", disk)
	}
	x.DiskSize = int64(disk)
	blobs, frames, chunks := int64(le.Uint32(b[24:])), int64(le.Uint32(b[28:])), int64(le.Uint32(b[32:]))
	if le.Uint32(b[36:]) != 0 {
		return nil, fmt.Errorf("its reserved field is not zero")
	}
	object := le.Uint64(b[40:])
	c := &cursor{b: b, off: indexHeader}
	// A frame record has at least 40 bytes, a chunk record 5: counts beyond that are lies, and nothing is allocated for
	// them.
	if frames*frameLeast+chunks*5 > int64(c.left()) {
		return nil, fmt.Errorf("%d bytes cannot hold %d frames and %d chunks", len(b), frames, chunks)
	}
	if blobs > frames || blobs == 0 && frames > 0 {
		return nil, fmt.Errorf("%d blobs for %d frames", blobs, frames)
	}
	if frames > chunks {
		return nil, fmt.Errorf("%d frames for %d chunks", frames, chunks)
	}
	x.Blobs = int(blobs)
	if err := x.parseFrames(c, int(frames)); err != nil {
		return nil, err
	}
	if uint64(x.ObjectSize()) != object {
		return nil, fmt.Errorf("the frames make an object of %d bytes, the header says %d", x.ObjectSize(), object)
	}
	if err := x.parseChunks(c, int(chunks), keep); err != nil {
		return nil, err
	}
	if c.left() != 0 {
		return nil, fmt.Errorf("%d bytes follow the last chunk", c.left())
	}
	return x, nil
}

func (x *Index) parseFrames(c *cursor, n int) error {
	x.Frames = make([]Frame, n)
	next := make([]int64, x.Blobs)
	seen := 0 // blobs are numbered in the order of their first use
	var object int64
	for i := range x.Frames {
		f := &x.Frames[i]
		f.Sum = [32]byte(c.bytes(32))
		f.CRC = binary.LittleEndian.Uint32(c.bytes(4))
		blob := c.number(int64(min(seen, x.Blobs-1)), "blob number")
		if c.err == nil && int(blob) == seen {
			seen++
		}
		delta := c.uvarint() // zigzag
		f.Blob = int(blob)
		f.Length = c.number(maxStored(x.Grid), "stored length")
		f.Size = c.number(x.Grid, "decoded size")
		if c.err != nil {
			return fmt.Errorf("frame %d: %w", i, c.err)
		}
		f.Offset = next[f.Blob] + (int64(delta>>1) ^ -int64(delta&1))
		if f.Offset < 0 || f.Offset > maxDisk {
			return fmt.Errorf("frame %d: it lies at offset %d of its blob", i, f.Offset)
		}
		if f.Size == 0 || f.Length == 0 || f.Length > maxStored(f.Size) {
			return fmt.Errorf("frame %d: %d bytes cannot be stored in %d", i, f.Size, f.Length)
		}
		next[f.Blob] = f.Offset + f.Length
		f.Object = object
		object += f.Length
	}
	if seen != x.Blobs {
		return fmt.Errorf("%d blobs, of which %d are used", x.Blobs, seen)
	}
	return nil
}

func (x *Index) parseChunks(c *cursor, n int, keep bool) error {
	out := &chunkList{x: x, keep: keep, refs: make([]int32, len(x.Frames))}
	if keep {
		x.Chunks = make([]Chunk, 0, n)
	}
	cells, whole := (x.DiskSize+x.Grid-1)/x.Grid, x.DiskSize/x.Grid
	zero := zeroRecord(x.Grid)
	cell, seen := int64(-1), 0
	for i := 0; i < n; i++ {
		// Of a large sparse disk most chunks are cells of zeros in a row, whose records are alike.
		if row := c.same(zero, min(int64(n-i), whole-cell-1)); row > 0 {
			out.addZeros(cell+1, row)
			cell += row
			i += int(row) - 1
			continue
		}
		c.visits++
		k := Chunk{Cell: cell + 1 + c.number(max(cells-cell-2, 0), "distance to the next cell")}
		k.Frame = int32(c.number(int64(min(seen+1, len(x.Frames))), "frame number")) - 1
		if c.err == nil && k.Cell >= cells {
			c.fail(fmt.Errorf("cell %d of %d", k.Cell, cells))
		}
		if c.err != nil {
			return fmt.Errorf("chunk %d: %w", i, c.err)
		}
		cell = k.Cell
		start := k.Cell * x.Grid
		s, z := len(out.stored), len(out.zeros)
		size, err := c.runs(start, min(start+x.Grid, x.DiskSize), &out.stored, &out.zeros)
		if err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
		switch {
		case k.Frame < 0 && size != 0:
			return fmt.Errorf("chunk %d: it has %d bytes and no frame", i, size)
		case k.Frame >= 0:
			f := &x.Frames[k.Frame]
			if size != f.Size {
				return fmt.Errorf("chunk %d: its extents have %d bytes, its frame %d", i, size, f.Size)
			}
			out.refs[k.Frame]++
			if int(k.Frame) == seen {
				seen++
			}
		}
		out.add(k, s, z)
	}
	if seen != len(x.Frames) {
		return fmt.Errorf("frame %d belongs to no chunk", seen)
	}
	x.visits = c.visits
	if keep {
		x.link(out.refs)
	}
	return nil
}

// runs reads the runs of one chunk, which must lie from at to end, and returns how many bytes are stored.
func (c *cursor) runs(at, end int64, stored, zeros *[]Extent) (int64, error) {
	n := c.uvarint()
	if c.err == nil && (n == 0 || n > uint64(c.left()/2)) {
		c.fail(fmt.Errorf("%d runs", n))
	}
	var size int64
	last := uint64(2)
	for ; n > 0 && c.err == nil; n-- {
		gap := c.number(end-at, "distance to the next run")
		v := c.uvarint()
		zero, length := v&1, v>>1
		if c.err != nil {
			break
		}
		if length == 0 || length > uint64(end-at-gap) {
			c.fail(fmt.Errorf("a run of %d bytes at %d ends beyond its cell or the disk", length, at+gap))
			break
		}
		if gap == 0 && zero == last {
			c.fail(fmt.Errorf("the runs before and after %d are one", at))
			break
		}
		run := Extent{Offset: at + gap, Length: int64(length)}
		if zero == 1 {
			*zeros = append(*zeros, run)
		} else {
			*stored = append(*stored, run)
			size += run.Length
		}
		at, last = run.End(), zero
	}
	return size, c.err
}

// link fills in Frame.Chunks. refs is the number of chunks of each frame.
func (x *Index) link(refs []int32) {
	total := 0
	for _, n := range refs {
		total += int(n)
	}
	all := make([]int32, total)
	for i := range x.Frames {
		n := int(refs[i])
		x.Frames[i].Chunks, all = all[:0:n], all[n:]
	}
	for i := range x.Chunks {
		if f := x.Chunks[i].Frame; f >= 0 {
			x.Frames[f].Chunks = append(x.Frames[f].Chunks, int32(i))
		}
	}
}
