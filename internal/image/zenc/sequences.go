package zenc

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// coded is a sequence as it is written: a code of each kind and the bits that are added to them.
type coded struct {
	extra uint64 // those of the literal length, then of the match length, then of the offset
	bits  uint8  // how many
	codes [kinds]uint8
}

// sequenceCoder codes the sequences of a block. It keeps its buffers.
type sequenceCoder struct {
	coded  []coded
	counts [kinds][64]uint32
	tables [kinds]fseTable
}

// Modes of a table (RFC 8878, 3.1.1.3.2.1).
const (
	predefinedMode = iota
	runMode
	describedMode
)

// Fewer sequences than that do not pay for the description of a table.
const minDescribed = 48

// append appends the sequences section.
func (c *sequenceCoder) append(dst []byte, seqs []sequence) []byte {
	n := len(seqs)
	switch {
	case n == 0:
		return append(dst, 0)
	case n < 128:
		dst = append(dst, byte(n))
	case n < 0x7F00:
		dst = append(dst, byte(n>>8)+128, byte(n))
	default:
		dst = append(dst, 255, byte(n-0x7F00), byte((n-0x7F00)>>8))
	}
	c.code(seqs)
	modes := len(dst)
	dst = append(dst, 0)
	var use [kinds]*fseTable
	for k := range use {
		t, counts := &c.tables[k], &c.counts[k]
		first := c.coded[0].codes[k]
		switch {
		case counts[first] == uint32(n) && n > 2:
			dst[modes] |= runMode << (6 - 2*k)
			dst = append(dst, first)
			t.run()
		case n < minDescribed:
			t = &spec[k].usual
		default:
			dst[modes] |= describedMode << (6 - 2*k)
			t.normalize(counts[:], uint32(n), spec[k].most)
			dst = t.appendTo(dst)
		}
		use[k] = t
	}
	return c.appendStream(dst, use[literalLength], use[offsetCode], use[matchLength])
}

// run makes the table of a single symbol: no bits, one state.
func (t *fseTable) run() {
	t.log = 0
	t.states[0] = 0
	clear(t.syms[:])
}

// code finds the codes of all sequences and counts them.
func (c *sequenceCoder) code(seqs []sequence) {
	c.coded = slices.Grow(c.coded[:0], len(seqs))[:len(seqs)]
	out := c.coded[:len(seqs)]
	clear(c.counts[:])
	ll, of, ml := &c.counts[literalLength], &c.counts[offsetCode], &c.counts[matchLength]
	for i := range seqs {
		s := &seqs[i]
		l, m, o := literalCode(s.literals)&63, matchCode(s.match)&63, uint8(bits.Len32(s.offset)-1)&63
		x, y := literalBits[l], matchBits[m]
		out[i] = coded{
			extra: uint64(s.literals-x.base) | uint64(s.match-y.base)<<(x.extra&63) |
				(uint64(s.offset)&^(1<<o))<<((x.extra+y.extra)&63),
			bits:  x.extra + y.extra + o,
			codes: [kinds]uint8{literalLength: l, offsetCode: o, matchLength: m},
		}
		ll[l]++
		of[o]++
		ml[m]++
	}
}

// appendStream appends the bits of the sequences, which a decoder reads from the end.
func (c *sequenceCoder) appendStream(dst []byte, ll, of, ml *fseTable) []byte {
	dst = slices.Grow(dst, 11*len(c.coded)+16) // a sequence has 59 bits and at most 26 of its states
	out := dst[len(dst):cap(dst)]
	at := 0
	var w uint64
	var n uint

	i := len(c.coded) - 1
	s := &c.coded[i]
	// A code that the table does not have cannot be: the counts were of these codes, and the predefined tables have all
	// codes below MaxSize.
	l, o, m := ll.first(s.codes[literalLength]), of.first(s.codes[offsetCode]), ml.first(s.codes[matchLength])
	for {
		// Long lengths, which are rare. 16 and 15 bits are the most that the lengths have, being of one block, and 25
		// the most of an offset behind which such lengths have room: with them and the 7 bits of a byte begun, the word
		// is not full.
		if n+uint(s.bits) > 63 {
			binary.LittleEndian.PutUint64(out[at:], w)
			at += int(n >> 3)
			w >>= n & 56
			n &= 7
		}
		w |= s.extra << (n & 63)
		n += uint(s.bits)
		binary.LittleEndian.PutUint64(out[at:], w)
		at += int(n >> 3)
		w >>= n & 56
		n &= 7
		if i--; i < 0 {
			break
		}
		s = &c.coded[i]
		x, y, z := &of.syms[s.codes[offsetCode]&63], &ml.syms[s.codes[matchLength]&63],
			&ll.syms[s.codes[literalLength]&63]
		bo, bm, bl := (o+x.bits)>>16, (m+y.bits)>>16, (l+z.bits)>>16
		w |= uint64(o&(1<<(bo&31)-1)|m&(1<<(bm&31)-1)<<(bo&31)|l&(1<<(bl&31)-1)<<((bo+bm)&31)) << (n & 63)
		n += uint(bo + bm + bl)
		o = uint32(of.states[(int32(o>>(bo&31))+x.state)&(1<<maxLog-1)])
		m = uint32(ml.states[(int32(m>>(bm&31))+y.state)&(1<<maxLog-1)])
		l = uint32(ll.states[(int32(l>>(bl&31))+z.state)&(1<<maxLog-1)])
	}
	for _, f := range [...]struct {
		state uint32
		log   uint
	}{{m, ml.log}, {o, of.log}, {l, ll.log}, {1, 1}} { // and a 1 that marks the end
		w |= uint64(f.state&(1<<f.log-1)) << n
		n += f.log
	}
	binary.LittleEndian.PutUint64(out[at:], w)
	at += int(n+7) >> 3
	return dst[:len(dst)+at]
}
