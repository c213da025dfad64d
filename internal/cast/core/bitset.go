package core

import "math/bits"

// bitset is a set of block numbers.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, (n+63)/64) }

func (s bitset) has(i int) bool { return s[i>>6]&(1<<(i&63)) != 0 }
func (s bitset) set(i int)      { s[i>>6] |= 1 << (i & 63) }
func (s bitset) clear(i int)    { s[i>>6] &^= 1 << (i & 63) }

// next returns the first member at or after i, or -1.
func (s bitset) next(i int) int {
	w := i >> 6
	if w >= len(s) {
		return -1
	}
	v := s[w] &^ (1<<(i&63) - 1)
	for v == 0 {
		if w++; w == len(s) {
			return -1
		}
		v = s[w]
	}
	return w<<6 + bits.TrailingZeros64(v)
}

// nextNot returns the first number at or after i and below n that is in neither s nor t, or n.
func (s bitset) nextNot(t bitset, i, n int) int {
	for w := i >> 6; w < len(s); w++ {
		v := ^(s[w] | t[w])
		if w == i>>6 {
			v &^= 1<<(i&63) - 1
		}
		if v != 0 {
			return min(w<<6+bits.TrailingZeros64(v), n)
		}
	}
	return n
}

// nextEither returns the first number at or after i and below n that is in s or t, or n.
func (s bitset) nextEither(t bitset, i, n int) int {
	for w := i >> 6; w < len(s); w++ {
		v := s[w] | t[w]
		if w == i>>6 {
			v &^= 1<<(i&63) - 1
		}
		if v != 0 {
			return min(w<<6+bits.TrailingZeros64(v), n)
		}
	}
	return n
}
