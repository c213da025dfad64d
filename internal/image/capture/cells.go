package capture

import (
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
)

// cell is the allocated bytes of one cell of the grid.
type cell struct {
	number  int64
	extents []volume.Extent
}

// countCells is the number of cells with something in them.
func countCells(ext []volume.Extent, grid int64) (n int) {
	last := int64(-1)
	for _, e := range ext {
		from, to := max(e.Offset/grid, last+1), (e.End()-1)/grid
		n += int(max(0, to-from+1))
		last = max(last, to)
	}
	return n
}

// row is whole cells in a row of which nothing need be read: they are all hole.
type row struct{ first, n int64 }

// cells cuts extents along the grid. It calls some for every cell with something in it, but none for rows of whole
// cells that lie in one of the holes: of a large sparse disk there are millions.
func cells(ext, holes []volume.Extent, grid int64, some func(cell) error, none func(row) error) error {
	var c cell
	flush := func() error {
		if len(c.extents) == 0 {
			return nil
		}
		full := c
		c = cell{}
		return some(full)
	}
	for _, e := range ext {
		for e.Length > 0 {
			n := e.Offset / grid
			if n != c.number {
				if err := flush(); err != nil {
					return err
				}
				c.number = n
			}
			for len(holes) > 0 && holes[0].End() <= e.Offset {
				holes = holes[1:]
			}
			if e.Offset == n*grid && len(holes) > 0 && holes[0].Offset <= e.Offset {
				r := row{n, (min(e.End(), holes[0].End()) - e.Offset) / grid}
				if r.n > 0 {
					if err := none(r); err != nil {
						return err
					}
					e.Offset += r.n * grid
					e.Length -= r.n * grid
					continue
				}
			}
			part := volume.Extent{Offset: e.Offset, Length: min(e.Length, (n+1)*grid-e.Offset)}
			c.extents = append(c.extents, part)
			e.Offset += part.Length
			e.Length -= part.Length
		}
	}
	return flush()
}

// Zeros are looked for in whole blocks of the disk. A run shorter than minZeros stays among the stored bytes, where
// zstd makes next to nothing of it: every run costs some bytes of the index and a write of its own at the restore. An
// extent that is nothing but zeros is a run at any length.
const (
	zeroBlock = 4096
	minZeros  = 32 << 10
)

// split divides the extents of a cell into stored and zero ones and moves the stored bytes together at the front of
// buf, which holds the cell with every byte at its place. It returns the stored bytes.
func split(c cell, grid int64, buf []byte) (stored, zeros []image.Extent, data []byte) {
	base := c.number * grid
	n := 0
	store := func(from, to int64) {
		if from == to {
			return
		}
		if l := len(stored); l > 0 && stored[l-1].End() == from {
			stored[l-1].Length += to - from
		} else {
			stored = append(stored, image.Extent{Offset: from, Length: to - from})
		}
		if at := from - base; at != int64(n) {
			copy(buf[n:], buf[at:to-base])
		}
		n += int(to - from)
	}
	for _, e := range c.extents {
		from := e.Offset // of what is not yet decided to be stored or zero
		run := int64(-1) // start of the zeros just before at
		end := func(at int64) {
			if run >= 0 && (at-run >= minZeros || run == e.Offset && at == e.End()) {
				store(from, run)
				if l := len(zeros); l > 0 && zeros[l-1].End() == run {
					zeros[l-1].Length += at - run
				} else {
					zeros = append(zeros, image.Extent{Offset: run, Length: at - run})
				}
				from = at
			}
			run = -1
		}
		for at := e.Offset; at < e.End(); {
			next := min(e.End(), (at/zeroBlock+1)*zeroBlock)
			if !image.IsZero(buf[at-base : next-base]) {
				end(at)
			} else if run < 0 {
				run = at
			}
			at = next
		}
		end(e.End())
		store(from, e.End())
	}
	return stored, zeros, buf[:n]
}
