package aesgcm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"
)

func std(t testing.TB, key [KeySize]byte) cipher.AEAD {
	t.Helper()
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	a, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// same checks one message against crypto/cipher, sealed and opened, in place and apart, and with each of its parts
// changed.
func same(t testing.TB, key [KeySize]byte, nonce, text, data []byte, flip int) {
	t.Helper()
	ours, err := New(key)
	if err != nil {
		t.Fatal(err)
	}
	want := std(t, key).Seal([]byte("head"), nonce, text, data)
	got := ours.Seal([]byte("head"), nonce, text, data)
	if !bytes.Equal(got, want) {
		t.Fatalf("sealed %d bytes with %d of data: got %x, crypto/cipher makes %x", len(text), len(data), got, want)
	}
	in := append(make([]byte, 0, len(text)+TagSize), text...)
	if in = ours.Seal(in[:0], nonce, in, data); !bytes.Equal(in, want[4:]) {
		t.Fatalf("sealed %d bytes in place: not the same", len(text))
	}
	open, err := ours.Open([]byte("head"), nonce, want[4:], data)
	if err != nil || !bytes.Equal(open, append([]byte("head"), text...)) {
		t.Fatalf("opened %d bytes: not what was sealed (%v)", len(text), err)
	}
	bad := bytes.Clone(want[4:])
	bad[flip%len(bad)] ^= 1 << (flip % 8)
	if _, err := ours.Open(nil, nonce, bad, data); err == nil {
		t.Fatalf("opened %d bytes although bit %d of byte %d was changed", len(text), flip%8, flip%len(bad))
	}
	if len(data) > 0 {
		d := bytes.Clone(data)
		d[flip%len(d)] ^= 1
		if _, err := ours.Open(nil, nonce, want[4:], d); err == nil {
			t.Fatal("opened although the additional data was changed")
		}
	}
	n := bytes.Clone(nonce)
	n[flip%len(n)] ^= 1
	if _, err := ours.Open(nil, n, want[4:], data); err == nil {
		t.Fatal("opened with another nonce")
	}
	if open, err = ours.Open(in[:0], nonce, in, data); err != nil || !bytes.Equal(open, text) {
		t.Fatalf("opened %d bytes in place: not what was sealed (%v)", len(text), err)
	}
}

func TestSameAsStandard(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	random := func(n int) []byte {
		b := make([]byte, n)
		r.Read(b)
		return b
	}
	for size := 0; size <= 4096; size += 64 {
		for _, data := range []int{0, 1, 16, 24, 31, 32, 33, 100} {
			same(t, [KeySize]byte(random(KeySize)), random(NonceSize), random(size), random(data), int(r.Uint64()>>1))
		}
	}
	for range 3000 {
		same(t, [KeySize]byte(random(KeySize)), random(NonceSize), random(int(r.Uint64()%40)*128),
			random(int(r.Uint64()%40)), int(r.Uint64()>>1))
	}
	same(t, [KeySize]byte{}, make([]byte, NonceSize), make([]byte, 1<<20), nil, 77)
}

// TestVectors checks test case 3 of the specification of GCM (McGrew and Viega, 2005), by which the tests know that
// crypto/cipher is what they compare with.
func TestVectors(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	a, err := New([KeySize]byte(unhex("feffe9928665731c6d6a8f9467308308")))
	if err != nil {
		t.Fatal(err)
	}
	got := a.Seal(nil, unhex("cafebabefacedbaddecaf888"),
		unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a7"+
			"21c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"), nil)
	if want := "4d5c2af327cd64a62cf35abd2ba6fab4"; hex.EncodeToString(got[64:]) != want {
		t.Errorf("tag %x, want %s", got[64:], want)
	}
}

func FuzzSame(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), []byte("0123456789ab"), make([]byte, 1408), make([]byte, 24), 1000)
	f.Add([]byte("0123456789abcdef"), []byte("0123456789ab"), make([]byte, 128), []byte{}, 3)
	f.Add([]byte("0123456789abcdef"), []byte("0123456789ab"), make([]byte, 100), []byte{1}, 3)
	f.Fuzz(func(t *testing.T, key, nonce, text, data []byte, flip int) {
		if len(key) != KeySize || len(nonce) != NonceSize || flip < 0 {
			return
		}
		same(t, [KeySize]byte(key), nonce, text, data, flip)
		// The lengths that take the fast way are rare among random ones.
		same(t, [KeySize]byte(key), nonce, text[:len(text)/128*128], data[:min(len(data), 32)], flip)
	})
}

func Benchmark(b *testing.B) {
	ours, err := New([KeySize]byte{1})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		aead cipher.AEAD
	}{{"ours", ours}, {"std", std(b, [KeySize]byte{1})}} {
		for _, size := range []int{128, 1408, 8832} {
			nonce, text, data := make([]byte, NonceSize), make([]byte, size), make([]byte, 24)
			sealed := c.aead.Seal(nil, nonce, text, data)
			b.Run(fmt.Sprintf("%s/seal/%d", c.name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					sealed = c.aead.Seal(sealed[:0], nonce, text, data)
				}
			})
			b.Run(fmt.Sprintf("%s/open/%d", c.name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := c.aead.Open(text[:0], nonce, sealed, data); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
