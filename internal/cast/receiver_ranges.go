package cast

import (
	"fmt"
	"github.com/diskcast/diskcast/internal/cast/core"
	"slices"
)

// Again says that the sink has lost these bytes: the blocks they are in are received anew.
func (r *Receiver) Again(off, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, end := ranges(r.p, off, n, true)
	for b := first; b < end; b++ {
		r.rx.core.Again(r.now(), b)
	}
	r.delivered.remove(int64(first)*r.p.BlockSize(), int64(end)*r.p.BlockSize())
	signal(r.wake)
}

// Deliver hands in bytes of the object that came by another way. They must be authentic. Bytes that complete a block
// are not passed to the sink: whoever delivers them has them.
func (r *Receiver) Deliver(off int64, p []byte) error {
	n := int64(len(p))
	if off < 0 || off+n > r.p.Size {
		return fmt.Errorf("cast: delivered bytes %d-%d are outside of the object of %d bytes", off, off+n, r.p.Size)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.byOther += n
	r.have(off, n)
	return nil
}

// have notes that bytes of the object are here; the lock is held.
func (r *Receiver) have(off, n int64) {
	if off < 0 || n <= 0 || off >= r.p.Size {
		return
	}
	start, end := r.delivered.add(off, off+min(n, r.p.Size-off))
	first, last := ranges(r.p, start, end-start, false)
	for b := first; b < last; b++ {
		if p := r.rx.core.Have(r.now(), b); p != nil {
			if blk, ok := p.Ext.(*rxBlock); ok {
				r.rx.recycle(blk)
			}
		}
	}
	signal(r.wake)
}

// Missing lists what is not yet whole, merged and sorted, in bytes of the object. It includes blocks that are partly here.
func (r *Receiver) Missing() []Range {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Range
	size := r.p.BlockSize()
	for _, b := range r.rx.core.MissingBlocks() {
		off := int64(b) * size
		if n := len(out); n > 0 && out[n-1].Offset+out[n-1].Length == off {
			out[n-1].Length += r.p.BlockLen(b)
			continue
		}
		out = append(out, Range{Offset: off, Length: r.p.BlockLen(b)})
	}
	return out
}

// Hold leaves the group, as when the sender sends a receiver to unicast, and joins it again.
func (r *Receiver) Hold(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rx.core.Hold(r.now(), on)
	signal(r.wake)
}

// Stats may be called at any time.
func (r *Receiver) Stats() ReceiverStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.rx.core
	got, lost := c.Counts()
	phase, why := c.Phase()
	st := ReceiverStats{
		State: State{phase, why}, Size: r.p.Size,
		Multicast: r.rx.useful, Stream: r.rx.streamed, Delivered: r.byOther, Wire: r.rx.wire,
		Packets: int64(got), Lost: int64(lost), Useless: c.Useless, Evicted: c.Evicted, Refused: c.Refused, Memory: c.Memory(),
		Rejected: r.rx.rejected, Suspicion: core.Suspicion(c.Strangers()),
	}
	if got+lost > 0 {
		st.Loss = float64(lost) / float64(got+lost)
	}
	st.Missing = min(int64(c.Missing())*r.p.BlockSize(), r.p.Size)
	return st
}

// rangeSet is a sorted list of disjoint byte ranges [start, end).
type rangeSet [][2]int64

// add adds a range and returns the one it became part of.
func (s *rangeSet) add(start, end int64) (int64, int64) {
	i, _ := slices.BinarySearchFunc(*s, start, func(r [2]int64, v int64) int {
		if r[1] < v {
			return -1
		}
		return 1
	})
	j := i
	for ; j < len(*s) && (*s)[j][0] <= end; j++ {
		start, end = min(start, (*s)[j][0]), max(end, (*s)[j][1])
	}
	*s = slices.Replace(*s, i, j, [2]int64{start, end})
	return start, end
}

// remove takes a range out.
func (s *rangeSet) remove(start, end int64) {
	var out rangeSet
	for _, r := range *s {
		if r[0] < start {
			out = append(out, [2]int64{r[0], min(r[1], start)})
		}
		if r[1] > end {
			out = append(out, [2]int64{max(r[0], end), r[1]})
		}
	}
	*s = out
}
