package wire

// WindowLen is how far, in packets, a sequence number may be behind the highest one seen.
// At 10 Gbit it is 20 ms: more than a LAN reorders.
const WindowLen = 16384

// Window remembers which sequence numbers of one origin were seen.
type Window struct {
	started bool
	top     uint64
	bits    []uint64
}

// NewWindow makes a window of n sequence numbers, a multiple of 64 and a power of two.
func NewWindow(n int) *Window { return &Window{bits: make([]uint64, n/64)} }

// Fresh says whether seq was not seen yet and is not too old to tell.
func (w *Window) Fresh(seq uint64) bool {
	n := uint64(len(w.bits)) * 64
	switch {
	case !w.started || seq > w.top:
		return true
	case w.top-seq >= n:
		return false
	}
	return w.bits[seq%n/64]&(1<<(seq%64)) == 0
}

// Mark notes that seq was seen. Call it only for packets that are authentic.
func (w *Window) Mark(seq uint64) {
	n := uint64(len(w.bits)) * 64
	switch {
	case !w.started:
		w.started = true
		w.top = seq
	case seq > w.top:
		if seq-w.top >= n {
			clear(w.bits)
		} else {
			for s := w.top + 1; s <= seq; s++ {
				if s%64 == 0 && s+63 <= seq {
					w.bits[s%n/64] = 0
					s += 63
					continue
				}
				w.bits[s%n/64] &^= 1 << (s % 64)
			}
		}
		w.top = seq
	case w.top-seq >= n:
		return
	}
	w.bits[seq%n/64] |= 1 << (seq % 64)
}

// Count is how many numbers above after, up to last, were seen. Both must be within the window.
func (w *Window) Count(after, last uint64) (seen uint64) {
	n := uint64(len(w.bits)) * 64
	for s := after + 1; s <= min(last, w.top); s++ {
		if w.bits[s%n/64]&(1<<(s%64)) != 0 {
			seen++
		}
	}
	return seen
}

// Top is the highest number marked, 0 if none was.
func (w *Window) Top() uint64 { return w.top }
