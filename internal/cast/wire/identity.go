package wire

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// A cast's key is shared by all its receivers, so what is sealed with it may be any receiver's. What steers a receiver
// is therefore signed by the sender, and what the sender and one receiver tell each other is sealed with a secret that
// the two have alone.

// Sizes in bytes.
const (
	SignatureLen = ed25519.SignatureSize
	PublicLen    = 32 // of one public key
)

// Secret is what a sender proves itself with: 32 random bytes that it alone has, for each cast others.
type Secret [32]byte

// NewSecret draws a secret.
func NewSecret() (s Secret) {
	rand.Read(s[:]) // never fails: it ends the program instead
	return s
}

// Public is what receivers know a sender by: its Ed25519 public key and its X25519 public key, 32 bytes each.
type Public [2 * PublicLen]byte

// Signer is a sender's secret in use. It may be used by several goroutines.
type Signer struct {
	public  Public
	sign    ed25519.PrivateKey
	private *ecdh.PrivateKey
}

// NewSigner derives the keys of a secret.
func NewSigner(secret Secret) (*Signer, error) {
	seed, err := hkdf.Key(sha256.New, secret[:], []byte(salt), "sender sign", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("cast: deriving a key: %w", err)
	}
	scalar, err := hkdf.Key(sha256.New, secret[:], []byte(salt), "sender agree", 32)
	if err != nil {
		return nil, fmt.Errorf("cast: deriving a key: %w", err)
	}
	s := &Signer{sign: ed25519.NewKeyFromSeed(seed)}
	if s.private, err = ecdh.X25519().NewPrivateKey(scalar); err != nil {
		return nil, fmt.Errorf("cast: deriving a key: %w", err)
	}
	copy(s.public[:], s.sign.Public().(ed25519.PublicKey))
	copy(s.public[PublicLen:], s.private.PublicKey().Bytes())
	return s, nil
}

// Public is what receivers must know.
func (s *Signer) Public() Public { return s.public }

// Sign appends to body the signature of a packet of that header and body.
func (s *Signer) Sign(h *Header, body []byte) []byte {
	return append(body, ed25519.Sign(s.sign, signed(h, body))...)
}

// Verify returns the body that was signed as part of a packet of that header, without the signature, or ErrForged.
func (p *Public) Verify(h *Header, body []byte) ([]byte, error) {
	n := len(body) - SignatureLen
	if n < 0 || !ed25519.Verify(p[:PublicLen], signed(h, body[:n]), body[n:]) {
		return nil, ErrForged
	}
	return body[:n], nil
}

func signed(h *Header, body []byte) []byte {
	var head [HeaderLen]byte
	h.Put(head[:])
	return bytes.Join([][]byte{[]byte(salt), head[:], body}, nil)
}

// Pair is what seals the packets between the sender and one receiver.
type Pair struct {
	public [PublicLen]byte // the receiver's
	report *Sealer
	Reply  *Sealer // REPLY and STREAM
}

// Guest is a receiver as the sender knows it: a pair of keys, drawn at its start, and the id that follows from them.
type Guest struct {
	ID uint64
	*Pair
}

// NewGuest draws a receiver's keys for a cast of that key, id and sender.
func NewGuest(key [32]byte, cast uint32, sender Public) (*Guest, error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("cast: drawing a key: %w", err)
	}
	peer, err := ecdh.X25519().NewPublicKey(sender[PublicLen:])
	if err != nil {
		return nil, fmt.Errorf("cast: the sender's public key: %w", err)
	}
	shared, err := private.ECDH(peer)
	if err != nil {
		return nil, fmt.Errorf("cast: the sender's public key: %w", err)
	}
	p, err := newPair(key, cast, sender, [PublicLen]byte(private.PublicKey().Bytes()), shared)
	if err != nil {
		return nil, err
	}
	return &Guest{GuestID(p.public), p}, nil
}

// GuestID is the id of the receiver that has that public key: the first 48 bits of its SHA-256, but never 0.
func GuestID(public [PublicLen]byte) uint64 {
	sum := sha256.Sum256(public[:])
	return max(get48(sum[:]), 1)
}

// Pair makes what seals packets between the sender and the receiver of that public key.
func (s *Signer) Pair(key [32]byte, cast uint32, public [PublicLen]byte) (*Pair, error) {
	peer, err := ecdh.X25519().NewPublicKey(public[:])
	if err != nil {
		return nil, ErrForged
	}
	shared, err := s.private.ECDH(peer)
	if err != nil {
		return nil, ErrForged
	}
	return newPair(key, cast, s.public, public, shared)
}

func newPair(key [32]byte, cast uint32, sender Public, public [PublicLen]byte, shared []byte) (*Pair, error) {
	secret := sha256.Sum256(bytes.Join([][]byte{key[:], shared, sender[PublicLen:], public[:]}, nil))
	p := &Pair{public: public}
	var err error
	if p.report, err = newSealer(secret, binary.BigEndian.AppendUint32([]byte("report of one"), cast)); err != nil {
		return nil, err
	}
	p.Reply, err = newSealer(secret, binary.BigEndian.AppendUint32([]byte("reply"), cast))
	return p, err
}

// Public is the receiver's public key.
func (p *Pair) Public() [PublicLen]byte { return p.public }

// ReportRoom is what a REPORT carries beyond its body: the receiver's public key and the inner tag.
const ReportRoom = PublicLen + TagLen

// SealReport writes a REPORT to dst, which must have room for len(body)+ReportRoom+Overhead bytes, and returns its
// length. Inside what all receivers can seal is what this one alone can. The body may lie in dst at
// HeaderLen+PublicLen.
func (p *Pair) SealReport(all *Sealer, dst []byte, h *Header, body []byte) int {
	h.Put(dst)
	copy(dst[HeaderLen:], p.public[:])
	at := HeaderLen + PublicLen
	inner := p.report.aead.Seal(dst[at:at], dst[8:20], body, dst[:at])
	return all.Seal(dst, h, dst[HeaderLen:at+len(inner)])
}

// ErrImpostor says that a REPORT bears the id of a receiver that did not make it.
var ErrImpostor = errors.New("a report in the name of another receiver")

// ReportKey returns the public key in the opened outer part of a REPORT of that receiver.
func ReportPublic(id uint64, outer []byte) (public [PublicLen]byte, err error) {
	if len(outer) < ReportRoom {
		return public, ErrMalformed
	}
	public = [PublicLen]byte(outer)
	if GuestID(public) != id {
		return public, ErrImpostor
	}
	return public, nil
}

// OpenReport opens the inner part of a REPORT, whose outer part was opened, in place.
func (p *Pair) OpenReport(h *Header, outer []byte) ([]byte, error) {
	if len(outer) < ReportRoom {
		return nil, ErrMalformed
	}
	var head [HeaderLen + PublicLen]byte
	h.Put(head[:])
	copy(head[HeaderLen:], outer[:PublicLen])
	body, err := p.report.aead.Open(outer[PublicLen:PublicLen], head[8:20], outer[PublicLen:], head[:])
	if err != nil {
		return nil, ErrImpostor
	}
	return body, nil
}
