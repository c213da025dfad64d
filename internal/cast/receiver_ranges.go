package cast

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/cast/core"
)

// Again says that the sink has lost these bytes: the blocks they are in are received anew.
func (r *Receiver) Again(off, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, end := ranges(r.p, off, n, true)
	for b := first; b < end; b++ {
		r.rx.core.Again(r.now(), b)
	}
	r.delivered = r.delivered.Remove(int64(first)*r.p.BlockSize(), int64(end-first)*r.p.BlockSize())
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
	r.delivered = r.delivered.Add(off, min(n, r.p.Size-off))
	run := r.delivered.Around(off)
	first, last := ranges(r.p, run.Offset, run.Length, false)
	for b := first; b < last; b++ {
		if p := r.rx.core.Have(r.now(), b); p != nil {
			if blk, ok := p.Ext.(*rxBlock); ok {
				r.rx.recycle(blk)
			}
		}
	}
	signal(r.wake)
}

// Missing lists what is not yet whole, merged and sorted, in bytes of the object. It includes blocks that are partly
// here.
func (r *Receiver) Missing() []Range {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Range
	size := r.p.BlockSize()
	for _, b := range r.rx.core.MissingBlocks() {
		off := int64(b) * size
		if n := len(out); n > 0 && out[n-1].End() == off {
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
		Packets: int64(got), Lost: int64(lost), Useless: c.Useless, Evicted: c.Evicted, Refused: c.Refused,
		Memory:   c.Memory(),
		Rejected: r.rx.rejected, Suspicion: core.Suspicion(c.Strangers()),
	}
	if got+lost > 0 {
		st.Loss = float64(lost) / float64(got+lost)
	}
	st.Missing = min(int64(c.Missing())*r.p.BlockSize(), r.p.Size)
	return st
}
