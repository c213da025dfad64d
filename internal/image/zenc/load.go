package zenc

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// The finders load words at positions that they have compared with the end of the block already. With the bounds
// checked a second time by the compiler a capture at level fast takes an eighth longer.

// load64 is the eight bytes of b from i on, little-endian. All of them must be within b.
func load64(b []byte, i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))[:])
}

// load32 is the four bytes of b from i on, little-endian. All of them must be within b.
func load32(b []byte, i int) uint32 {
	return binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b)), i))[:])
}

// matchLen counts the equal bytes of src from a and from c on, before end; a is in front of c.
func matchLen(src []byte, a, c, end int) int {
	from := c
	for ; c+8 <= end; a, c = a+8, c+8 {
		if x := load64(src, a) ^ load64(src, c); x != 0 {
			return c - from + bits.TrailingZeros64(x)>>3
		}
	}
	for c < end && src[a] == src[c] {
		a, c = a+1, c+1
	}
	return c - from
}
