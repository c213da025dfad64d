package wire

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/diskcast/diskcast/internal/cast/aesgcm"
)

// Sealer seals and opens the packets of one key. It may be used by several goroutines, except that the buffer it is
// given must be the caller's own.
type Sealer struct{ aead cipher.AEAD }

const salt = "diskcast cast 2"

func newSealer(key [32]byte, info []byte) (*Sealer, error) {
	k, err := hkdf.Key(sha256.New, key[:], []byte(salt), string(info), aesgcm.KeySize)
	if err != nil {
		return nil, fmt.Errorf("cast: deriving a key: %w", err)
	}
	aead, err := aesgcm.New([aesgcm.KeySize]byte(k))
	if err != nil {
		return nil, fmt.Errorf("cast: deriving a key: %w", err)
	}
	return &Sealer{aead}, nil
}

// GroupKey seals DATA and ANNOUNCE. Every receiver has it.
func GroupKey(key [32]byte, cast uint32) (*Sealer, error) {
	return newSealer(key, binary.BigEndian.AppendUint32([]byte("group"), cast))
}

// ReportKey seals the outer part of REPORT.
func ReportKey(key [32]byte, cast uint32) (*Sealer, error) {
	return newSealer(key, binary.BigEndian.AppendUint32([]byte("report"), cast))
}

// Seal writes the packet of header h and the given body to dst and returns its length, Overhead+len(body). dst must
// have room for it. The body may lie where it will stand in dst (dst[HeaderLen:]), or apart from dst, but not otherwise
// overlap it.
func (s *Sealer) Seal(dst []byte, h *Header, body []byte) int {
	h.Put(dst)
	// Origin and sequence number stand side by side in the header: those 12 bytes are the nonce.
	out := s.aead.Seal(dst[HeaderLen:HeaderLen], dst[8:20], body, dst[:HeaderLen])
	return HeaderLen + len(out)
}

// ErrForged says that a packet was not sealed with this key.
var ErrForged = errors.New("authentication failed")

// Open authenticates packet pkt and decrypts its body to the end of dst, which must have room for len(pkt)-Overhead
// bytes beyond its length. dst may be pkt[HeaderLen:HeaderLen] to open in place. On failure those bytes are undefined.
func (s *Sealer) Open(dst, pkt []byte) ([]byte, error) {
	if len(pkt) < Overhead {
		return nil, ErrForeign
	}
	out, err := s.aead.Open(dst, pkt[8:20], pkt[HeaderLen:], pkt[:HeaderLen])
	if err != nil {
		return nil, ErrForged
	}
	return out, nil
}

// Random48 draws a number for an epoch, a receiver id, or the start of a sequence; it is never 0.
func Random48() uint64 {
	for {
		var b [6]byte
		rand.Read(b[:]) // never fails: it ends the program instead
		if v := get48(b[:]); v != 0 {
			return v
		}
	}
}
