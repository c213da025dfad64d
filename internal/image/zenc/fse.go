package zenc

import "math/bits"

// fseTable codes the symbols of one kind by a table of 1<<log states (RFC 8878, 4.1).
type fseTable struct {
	log    uint
	states [1 << maxLog]uint16 // the state after a symbol: those of each symbol in order of the table
	syms   [maxSymbols]transition
	norm   [maxSymbols]int16 // the share of each symbol in the states
	n      int               // symbols with a share are below n
}

// transition says how a state and a symbol give bits and the next state.
type transition struct {
	bits  uint32 // (state + bits) >> 16 is the number of bits
	state int32  // states[state>>number + this] is the next one
}

const (
	maxLog     = 9
	maxSymbols = 64
)

// set builds the table of the shares in t.norm[:n], which sum to 1<<log. A share of -1 is less than one state.
func (t *fseTable) set(log uint, n int) {
	t.log, t.n = log, n
	size := uint32(1) << log
	var at [1 << maxLog]uint8 // the symbol of each state
	high := size - 1
	for s, share := range t.norm[:n] {
		if share == -1 {
			at[high] = uint8(s)
			high--
		}
	}
	pos, step, mask := uint32(0), size>>1+size>>3+3, size-1
	for s, share := range t.norm[:n] {
		for range share {
			at[pos] = uint8(s)
			for pos = (pos + step) & mask; pos > high; {
				pos = (pos + step) & mask
			}
		}
	}
	total := int32(0)
	var next [maxSymbols]int32
	for s, share := range t.norm[:n] {
		next[s] = total
		switch {
		case share == 0:
			t.syms[s] = transition{} // never coded
		case share == 1 || share == -1:
			t.syms[s] = transition{uint32(log)<<16 - size, total - 1}
			total++
		default:
			most := log - uint(bits.Len16(uint16(share-1))-1)
			t.syms[s] = transition{uint32(most)<<16 - uint32(share)<<most, total - int32(share)}
			total += int32(share)
		}
	}
	for u, s := range at[:size] {
		t.states[next[s]] = uint16(size) + uint16(u)
		next[s]++
	}
}

// first is the state that the coding of symbol s begins with.
func (t *fseTable) first(s uint8) uint32 {
	x := t.syms[s]
	n := (x.bits + 1<<15) >> 16
	return uint32(t.states[int32((n<<16-x.bits)>>n)+x.state])
}

// normalize sets the shares of symbols that were counted, total in all, at least two of them different, and builds the
// table: of the smallest error that largest remainders give, every symbol that occurs with one state at least.
func (t *fseTable) normalize(counts []uint32, total uint32, most uint) {
	used, last := 0, 0
	for s, c := range counts {
		if c > 0 {
			used, last = used+1, s
		}
	}
	log := min(most, uint(max(5, bits.Len32(total-1)-2)))
	for 1<<log < 2*used { // no share is squeezed below one state
		log++
	}
	size := int32(1) << log
	left, largest := size, 0
	scale := uint64(1) << 32 * uint64(size) / uint64(total)
	for s, c := range counts[:last+1] {
		share := int32(0)
		if c > 0 {
			share = max(1, int32((uint64(c)*scale+1<<31)>>32))
		}
		t.norm[s] = int16(share)
		left -= share
		if share > int32(t.norm[largest]) {
			largest = s
		}
	}
	// What rounding gave too much or too little the largest pays, and, when that is a lot, all with more than one
	// state.
	for left < 0 && int32(t.norm[largest])+left < int32(t.norm[largest])*3/4+1 {
		for s := range t.norm[:last+1] {
			if left < 0 && t.norm[s] > 1 {
				t.norm[s]--
				left++
			}
		}
	}
	t.norm[largest] += int16(left)
	t.set(log, last+1)
}

// appendTo appends the description of the table (RFC 8878, 4.1.1).
func (t *fseTable) appendTo(dst []byte) []byte {
	var w uint64
	var n uint
	put := func(v uint64, bits uint) {
		w |= v << n
		for n += bits; n >= 8; n -= 8 {
			dst = append(dst, byte(w))
			w >>= 8
		}
	}
	put(uint64(t.log-5), 4)
	width, threshold := t.log+1, int32(1)<<t.log
	left := threshold + 1
	for s := 0; left > 1; {
		share := int32(t.norm[s])
		s++
		limit := 2*threshold - 1 - left
		left -= max(share, -share)
		v := share + 1
		if v >= threshold {
			v += limit
		}
		if v < limit {
			put(uint64(v), width-1)
		} else {
			put(uint64(v), width)
		}
		for left < threshold {
			width--
			threshold >>= 1
		}
		if share == 0 {
			run := 0
			for s < t.n && t.norm[s] == 0 {
				s, run = s+1, run+1
			}
			for ; run >= 3; run -= 3 {
				put(3, 2)
			}
			put(uint64(run), 2)
		}
	}
	if n > 0 {
		dst = append(dst, byte(w))
	}
	return dst
}
