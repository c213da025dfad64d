package zenc

// block is what a finder makes of up to maxBlock bytes.
type block struct {
	seqs  []sequence
	bytes []byte    // of the literals, with room for a copy of a whole word behind them
	n     int       // bytes of literals
	rep   [3]uint32 // the last offsets, the latest first, as the decoder has them
}

// sequence is some literals and then a match.
type sequence struct {
	literals uint32 // how many
	match    uint32 // its length, minMatch at least
	offset   uint32 // RFC 8878, 3.1.1.5: 1 to 3 are of the last offsets, others are the offset plus 3
}

const (
	minMatch = 3
	// word is how many bytes short literals are copied at a time, and what a finder leaves alone at the end of a block,
	// so that it may load the words at any position it looks at.
	word = 16
)

func (b *block) clear() {
	if b.bytes == nil {
		b.bytes = make([]byte, maxBlock+word)
		b.seqs = make([]sequence, 0, maxBlock/8)
	}
	b.seqs, b.n = b.seqs[:0], 0
}

func (b *block) literals() []byte { return b.bytes[:b.n] }

// emit adds the literals src[anchor:s] and the match of n bytes at s.
func (b *block) emit(src []byte, anchor, s, n int, offset uint32) {
	b.seqs = append(b.seqs, sequence{uint32(s - anchor), uint32(n), offset})
	b.add(src, anchor, s)
}

// add adds literals.
func (b *block) add(src []byte, from, to int) {
	if n := to - from; n <= word && from+word <= len(src) {
		*(*[word]byte)(b.bytes[b.n:]) = *(*[word]byte)(src[from:])
		b.n += n
		return
	}
	b.n += copy(b.bytes[b.n:], src[from:to])
}

// remember keeps the last offsets as a decoder does that reads an offset behind literals, or behind none.
func (b *block) remember(offset uint32, literals bool) {
	r := b.rep
	if offset > 3 {
		b.rep = [3]uint32{offset - 3, r[0], r[1]}
		return
	}
	if !literals { // then the value 1 is the second offset, 2 is the third; no finder gives a 3
		offset++
	}
	switch offset {
	case 2:
		b.rep = [3]uint32{r[1], r[0], r[2]}
	case 3:
		b.rep = [3]uint32{r[2], r[0], r[1]}
	}
}
