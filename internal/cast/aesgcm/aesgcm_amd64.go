//go:build !purego

package aesgcm

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/klauspost/cpuid/v2"
)

// supported is whether the processor has the instructions and the system saves the registers.
var supported = cpuid.CPU.Supports(cpuid.AVX2, cpuid.AESNI, cpuid.CLMUL, cpuid.VAES, cpuid.VPCLMULQDQ)

// stride is how many bytes one turn of the loops in aesgcm_amd64.s takes: 8 blocks.
const stride = 128

// maxData is the most additional data, in bytes, that takes the fast way: 2 blocks.
const maxData = 32

// key is what the assembly needs of a key. Its layout is known to aesgcm_amd64.s.
type key struct {
	round [11][32]byte // round keys, each twice
	power [4][32]byte  // H^8, H^7; H^6, H^5; H^4, H^3; H^2, H^1: powers of the hash key, as overX makes them
	// the two halves of each of them added, for Karatsuba's multiplication; the upper 8 bytes of each 16 mean nothing
	folded [4][32]byte
}

type accelerated struct {
	cipher.AEAD // crypto/cipher's
	key         key
}

func accelerate(std cipher.AEAD, block cipher.Block, k [KeySize]byte) cipher.AEAD {
	if !supported {
		return std
	}
	a := &accelerated{AEAD: std}
	expand(&a.key.round, &k)
	var h [16]byte
	block.Encrypt(h[:], h[:])
	one := element{binary.BigEndian.Uint64(h[:]), binary.BigEndian.Uint64(h[8:])}
	p := one
	for i := 7; i >= 0; i-- {
		m := p.overX()
		at := i % 2 * 16
		binary.LittleEndian.PutUint64(a.key.power[i/2][at:], m.lo)
		binary.LittleEndian.PutUint64(a.key.power[i/2][at+8:], m.hi)
		binary.LittleEndian.PutUint64(a.key.folded[i/2][at:], m.lo^m.hi)
		p = p.mul(one)
	}
	return a
}

// An element of GF(2^128) as SP 800-38D writes it: its bytes in big-endian order, the coefficient of x^0 in the highest
// bit.
type element struct{ hi, lo uint64 }

// timesX multiplies by x. It is done without branches, as mul is, since elements are secret.
func (a element) timesX() element {
	carry := -(a.lo & 1) // all ones if x^127 is set
	return element{a.hi>>1 ^ carry&(0xe1<<56), a.lo>>1 | a.hi<<63}
}

func (a element) mul(b element) element {
	var z element
	for i := range 128 {
		bit := b.hi >> (63 - i%64)
		if i >= 64 {
			bit = b.lo >> (63 - i%64)
		}
		take := -(bit & 1)
		z.hi ^= a.hi & take
		z.lo ^= a.lo & take
		a = a.timesX()
	}
	return z
}

// overX divides by x. The assembly multiplies numbers whose bits are the wrong way round; their product has 255 bits
// and stands at the wrong end of 256, which is as if it were multiplied by x. Powers of the hash key that were divided
// by x make good for it.
func (a element) overX() element {
	carry := -(a.hi >> 63)
	return element{(a.hi<<1 | a.lo>>63) ^ carry&(0xc2<<56), a.lo<<1 ^ carry&1}
}

var errOpen = errors.New("aesgcm: message authentication failed")

func fits(nonce, text, data []byte) bool {
	return len(nonce) == NonceSize && len(text) > 0 && len(text)%stride == 0 && len(text) < 1<<30 &&
		len(data) <= maxData
}

// frame is what goes beside the text.
type frame struct {
	counter [16]byte // the first counter block
	data    [maxData]byte
	lengths [16]byte // of data and text in bits, big-endian
	tag     [TagSize]byte
}

func (f *frame) set(nonce, data []byte, text int) {
	copy(f.counter[:], nonce)
	f.counter[15] = 1
	if len(data) <= 16 {
		copy(f.data[16:], data) // one block: a block of zeroes before it changes nothing
	} else {
		copy(f.data[:], data)
	}
	binary.BigEndian.PutUint64(f.lengths[:], uint64(len(data))*8)
	binary.BigEndian.PutUint64(f.lengths[8:], uint64(text)*8)
}

func (a *accelerated) Seal(dst, nonce, text, data []byte) []byte {
	if !fits(nonce, text, data) {
		return a.AEAD.Seal(dst, nonce, text, data)
	}
	n := len(dst)
	dst = slices.Grow(dst, len(text)+TagSize)[:n+len(text)+TagSize]
	var f frame
	f.set(nonce, data, len(text))
	seal(&a.key, &f, &dst[n], &text[0], len(text))
	copy(dst[n+len(text):], f.tag[:])
	return dst
}

func (a *accelerated) Open(dst, nonce, sealed, data []byte) ([]byte, error) {
	if len(sealed) < TagSize || !fits(nonce, sealed[:len(sealed)-TagSize], data) {
		return a.AEAD.Open(dst, nonce, sealed, data)
	}
	text, tag := sealed[:len(sealed)-TagSize], sealed[len(sealed)-TagSize:]
	n := len(dst)
	dst = slices.Grow(dst, len(text))[:n+len(text)]
	var f frame
	f.set(nonce, data, len(text))
	open(&a.key, &f, &dst[n], &text[0], len(text))
	if subtle.ConstantTimeCompare(f.tag[:], tag) != 1 {
		clear(dst[n:])
		return nil, errOpen
	}
	return dst, nil
}

// expand makes the round keys of AES-128 (FIPS 197, 5.2), each twice.
//
//go:noescape
func expand(round *[11][32]byte, key *[KeySize]byte)

// seal encrypts n bytes, a multiple of stride, from src to dst and sets f.tag. dst and src are the same or do not
// overlap.
//
//go:noescape
func seal(k *key, f *frame, dst, src *byte, n int)

// open decrypts n bytes, a multiple of stride, from src to dst and sets f.tag to what the tag must be. dst and src are
// the same or do not overlap.
//
//go:noescape
func open(k *key, f *frame, dst, src *byte, n int)
