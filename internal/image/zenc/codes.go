package zenc

import "math/bits"

// Kinds of code, in the order in which their tables are described.
const (
	literalLength = iota
	offsetCode
	matchLength
	kinds
)

// kind is what is fixed about the codes of a kind (RFC 8878, 3.1.1.3.2).
type kind struct {
	most  uint // the largest accuracy log
	usual fseTable
}

var spec [kinds]kind

func init() {
	set := func(k int, most, log uint, shares []int16) {
		spec[k].most = most
		copy(spec[k].usual.norm[:], shares)
		spec[k].usual.set(log, len(shares))
	}
	// The default distributions of RFC 8878, 3.1.1.3.2.2.
	set(literalLength, 9, 6,
		[]int16{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1,
			-1, -1})
	set(offsetCode, 8, 5, []int16{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1,
		-1, -1})
	set(matchLength, 9, 6, []int16{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1})
	fill(literalCodes[:], literalBits[:36])
	fill(matchCodes[:], matchBits[:53])
}

// fill finds the code of each length.
func fill(of []uint8, codes []lengthCode) {
	for i, c := range codes {
		for n := int(c.base); n < min(int(c.base)+1<<c.extra, len(of)); n++ {
			of[n] = uint8(i)
		}
	}
}

// Lengths below these have their code in a table; those above are a power of two and bits.
var (
	literalCodes [64]uint8
	matchCodes   [128 + minMatch]uint8
)

// lengthCode is the first length of a code, and how many bits are added to it.
type lengthCode struct {
	base  uint32
	extra uint8
}

// RFC 8878, 3.1.1.3.2.1.1.
var (
	literalBits = lengths(0, 16, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
	matchBits   = lengths(minMatch, 32, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)
)

// lengths lists codes from the length first on: some of one length each, and then one for each of the extra.
func lengths(first uint32, single int, extra ...uint8) (l [64]lengthCode) {
	for i := range single + len(extra) {
		x := uint8(0)
		if i >= single {
			x = extra[i-single]
		}
		l[i] = lengthCode{first, x}
		first += 1 << x
	}
	return l
}

func literalCode(n uint32) uint8 {
	if n < uint32(len(literalCodes)) {
		return literalCodes[n]
	}
	return uint8(bits.Len32(n) - 1 + 19)
}

func matchCode(n uint32) uint8 {
	if n < uint32(len(matchCodes)) {
		return matchCodes[n]
	}
	return uint8(bits.Len32(n-minMatch) - 1 + 36)
}
