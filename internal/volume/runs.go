package volume

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/diskcast/diskcast/internal/span"
)

// MaxRuns bounds the number of extents in a map, and so its memory (16 bytes each). Beyond it the smallest gaps are
// counted as used: the image grows by some free blocks and stays correct.
const MaxRuns = 1 << 20

// Runs collects allocated runs in any order and merges them. The zero value is not usable: see NewRuns.
type Runs struct {
	limit  int64
	max    int
	gap    int64 // gaps shorter than this are closed
	sorted bool
	ext    []Extent
}

// NewRuns returns a collector for a partition of size bytes: whatever is added beyond it is cut off.
func NewRuns(size int64) *Runs {
	return &Runs{limit: size, max: MaxRuns, gap: 1, sorted: true}
}

// Add counts n bytes from off as used. Negative and empty runs are ignored.
func (r *Runs) Add(off, n int64) {
	if off < 0 || n <= 0 || off >= r.limit {
		return
	}
	n = min(n, r.limit-off)
	if l := len(r.ext); l > 0 {
		last := &r.ext[l-1]
		if off >= last.Offset && off-last.End() < r.gap {
			last.Length = max(last.Length, off+n-last.Offset)
			return
		}
		if off < last.Offset {
			r.sorted = false
		}
	}
	r.ext = append(r.ext, Extent{Offset: off, Length: n})
	if len(r.ext) >= r.max {
		r.compact()
	}
}

// compact merges; when that does not halve the list it closes larger and larger gaps until it does.
func (r *Runs) compact() {
	r.merge()
	for len(r.ext) > r.max/2 {
		r.gap = max(4096, r.gap*2)
		r.merge()
	}
}

func (r *Runs) merge() {
	if !r.sorted {
		slices.SortFunc(r.ext, func(a, b Extent) int { return cmp.Compare(a.Offset, b.Offset) })
		r.sorted = true
	}
	out := r.ext[:0]
	for _, e := range r.ext {
		if l := len(out); l > 0 && e.Offset-out[l-1].End() < r.gap {
			out[l-1].Length = max(out[l-1].Length, e.End()-out[l-1].Offset)
			continue
		}
		out = append(out, e)
	}
	r.ext = out
}

// AddBits adds a run of unit bytes for every set bit among the first n bits of bitmap, the least significant bit of
// each byte first. Bit 0 stands for the bytes from base on. A bitmap shorter than n bits is read as far as it goes.
func (r *Runs) AddBits(bitmap []byte, n int64, base, unit int64) {
	n = min(n, int64(len(bitmap))*8)
	start := int64(-1) // first bit of the run being read
	for i := int64(0); i < n; {
		// Eight bytes at a time: a run or a gap inside them ends where the next bit differs.
		var word uint64
		have := int64(64)
		if at := i / 8; at+8 <= int64(len(bitmap)) {
			word = binary.LittleEndian.Uint64(bitmap[at:])
		} else {
			var tail [8]byte
			have = int64(copy(tail[:], bitmap[at:])) * 8
			word = binary.LittleEndian.Uint64(tail[:])
		}
		word >>= uint(i % 8)
		have -= i % 8
		if start < 0 {
			zeros := min(int64(bits.TrailingZeros64(word)), have)
			i += zeros
			if zeros < have && i < n {
				start = i
			}
		} else {
			ones := min(int64(bits.TrailingZeros64(^word)), have)
			i += ones
			if ones < have && i <= n {
				r.Add(base+start*unit, (i-start)*unit)
				start = -1
			}
		}
	}
	if start >= 0 && start < n {
		r.Add(base+start*unit, (n-start)*unit)
	}
}

// Extents returns what was added: in order, merged, within the size. The Runs must not be added to afterwards.
func (r *Runs) Extents() []Extent {
	r.merge()
	return slices.Clip(r.ext)
}

// Merge returns the union of lists of extents, cut off at size.
func Merge(size int64, lists ...[]Extent) []Extent {
	r := NewRuns(size)
	for _, l := range lists {
		for _, e := range l {
			r.Add(e.Offset, e.Length)
		}
	}
	return r.Extents()
}

// Invert returns what ext does not cover of size bytes: from a list of free runs, the used ones. ext must be merged.
func Invert(ext []Extent, size int64) []Extent { return span.Invert(ext, size) }

// Subtract returns what of a is not in b. Both must be merged.
func Subtract(a, b []Extent) []Extent { return span.Subtract(a, b) }

// Bytes returns the sum of the lengths of ext.
func Bytes(ext []Extent) int64 {
	var n int64
	for _, e := range ext {
		n += e.Length
	}
	return n
}

// Require fails unless used, which must be merged, holds all of the n bytes at off. Readers ask it for what their file
// system cannot do without: a map that calls such a place free is wrong, in other places too.
func Require(used []Extent, what string, off, n int64) error {
	if lacks := Subtract([]Extent{{Offset: off, Length: n}}, used); n > 0 && len(lacks) > 0 {
		return fmt.Errorf("its map calls %d bytes at %d free, where it has %s", lacks[0].Length, lacks[0].Offset, what)
	}
	return nil
}
