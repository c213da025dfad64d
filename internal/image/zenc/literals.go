package zenc

import "github.com/klauspost/compress/huff0"

// Types of a literals section (RFC 8878, 3.1.1.3.1.1).
const (
	rawLiterals = iota
	rleLiterals
	compressedLiterals
	treelessLiterals
)

// Fewer literals than that are not worth a Huffman code.
const minLiterals = 64

// appendLiterals appends the literals section. fresh says that it holds a Huffman code, which the decoder knows from
// then on.
func (e *Encoder) appendLiterals(dst, lits []byte) (out []byte, fresh bool) {
	if len(lits) < minLiterals {
		return appendRaw(dst, lits), false
	}
	e.huff.Reuse = huff0.ReusePolicyNone
	if e.known {
		e.huff.Reuse = huff0.ReusePolicyAllow
	}
	var coded []byte
	var reused bool
	var err error
	four := len(lits) >= 1024
	if four {
		coded, reused, err = huff0.Compress4X(lits, &e.huff)
	} else {
		coded, reused, err = huff0.Compress1X(lits, &e.huff)
	}
	switch {
	case err == huff0.ErrUseRLE:
		return append(appendSize(dst, rleLiterals, len(lits)), lits[0]), false
	case err != nil || len(coded)+5 >= len(lits): // incompressible
		// Whatever code huff0 made meanwhile, the decoder did not get it.
		if err == nil && !reused {
			e.known = false
		}
		return appendRaw(dst, lits), false
	}
	kind := compressedLiterals
	if reused {
		kind = treelessLiterals
	}
	n, m := uint64(len(lits)), uint64(len(coded))
	switch {
	case !four:
		dst = appendBits(dst, 3, uint64(kind)|0<<2|n<<4|m<<14)
	case n < 1<<14 && m < 1<<14:
		dst = appendBits(dst, 4, uint64(kind)|2<<2|n<<4|m<<18)
	default:
		dst = appendBits(dst, 5, uint64(kind)|3<<2|n<<4|m<<22)
	}
	return append(dst, coded...), !reused
}

func appendRaw(dst, lits []byte) []byte {
	return append(appendSize(dst, rawLiterals, len(lits)), lits...)
}

// appendSize appends the header of literals that are stored or one byte repeated.
func appendSize(dst []byte, kind, n int) []byte {
	v := uint64(kind)
	switch {
	case n < 1<<5:
		return appendBits(dst, 1, v|uint64(n)<<3)
	case n < 1<<12:
		return appendBits(dst, 2, v|1<<2|uint64(n)<<4)
	}
	return appendBits(dst, 3, v|3<<2|uint64(n)<<4)
}

// appendBits appends the low n bytes of v, little-endian.
func appendBits(dst []byte, n int, v uint64) []byte {
	for range n {
		dst = append(dst, byte(v))
		v >>= 8
	}
	return dst
}
