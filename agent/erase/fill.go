package erase

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"
)

// filler makes the bytes that belong at a place of the disk.
type filler interface {
	fill(p []byte, off int64)
}

// pattern is repeated from the disk's first byte.
type pattern []byte

func (f pattern) fill(p []byte, off int64) {
	start := int(off % int64(len(f)))
	n := copy(p, f[start:])
	for n < len(p) && n < len(f) { // the first whole round
		n += copy(p[n:], f)
	}
	if start == 0 {
		for n < len(p) {
			n += copy(p[n:], p[:n])
		}
		return
	}
	for n < len(p) {
		n += copy(p[n:], f[(start+n)%len(f):])
	}
}

// inverted has every bit turned over.
func (f pattern) inverted() pattern {
	out := make(pattern, len(f))
	for i, b := range f {
		out[i] = ^b
	}
	return out
}

// stream is AES-256 in counter mode over zeros: random to who does not have the key, and made again at any place by who
// has.
type stream struct{ block cipher.Block }

// newStream derives the key of one purpose from the seed of an erase: SHA-256 of seed and purpose.
func newStream(seed []byte, purpose string) stream {
	key := sha256.Sum256(append(bytes.Clone(seed), purpose...))
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	return stream{block}
}

// fill wants off to be a multiple of 16, as every sector's is.
func (s stream) fill(p []byte, off int64) {
	if off%aes.BlockSize != 0 {
		panic(fmt.Sprintf("erase: stream at %d", off))
	}
	var counter [aes.BlockSize]byte
	binary.BigEndian.PutUint64(counter[8:], uint64(off)/aes.BlockSize)
	clear(p)
	cipher.NewCTR(s.block, counter[:]).XORKeyStream(p, p)
}

// buffer returns n bytes that direct I/O can move: on a page's boundary.
func buffer(n int) []byte {
	page := os.Getpagesize()
	b := make([]byte, n+page)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	return b[skip : skip+n : skip+n]
}

// uniform reports whether all bytes are the same, and which.
func uniform(p []byte) (byte, bool) {
	if len(p) == 0 {
		return 0, false
	}
	return p[0], bytes.Equal(p[1:], p[:len(p)-1])
}
