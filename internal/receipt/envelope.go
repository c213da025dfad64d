package receipt

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/plain"
)

// PayloadType names what the envelope holds.
const PayloadType = "application/vnd.diskcast.receipt.v1+json"

const (
	maxSignatures = 16  // of an envelope that is read
	maxKeyName    = 128 // bytes of a key's name that are shown
)

// Envelope is a DSSE envelope with one signature: ECDSA with P-256 and SHA-256, ASN.1 DER.
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     []byte      `json:"payload"` // base64 of the document's bytes
	Signatures  []Signature `json:"signatures"`
}

// Signature is over PAE(payloadType, payload). PublicKey is the signer's, PKIX DER; who reads it must know its pin.
type Signature struct {
	KeyID     string `json:"keyid"` // the key's pin
	Sig       []byte `json:"sig"`
	PublicKey []byte `json:"publicKey"`
}

// ErrSignature: the envelope was not signed by the key that is trusted, or was changed since.
var ErrSignature = errors.New("the signature does not hold")

// Pin is the pin of a public key, as nodes know servers: "sha256:" and the hash of its PKIX DER.
func Pin(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// pae is DSSE's pre-authentication encoding: what is signed.
func pae(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// Sign checks the document and puts it into an envelope. The key must be an ECDSA key.
func Sign(r *Receipt, key crypto.Signer) (*Envelope, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	if _, ok := key.Public().(*ecdsa.PublicKey); !ok {
		return nil, fmt.Errorf("receipts are signed with ECDSA keys, not with a %T", key.Public())
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(pae(PayloadType, payload))
	sig, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	return &Envelope{PayloadType: PayloadType, Payload: payload,
		Signatures: []Signature{{KeyID: Pin(public), Sig: sig, PublicKey: public}}}, nil
}

// Parse reads an envelope of at most MaxSize bytes. What it returns is not yet believed: see Verify and Unverified.
func Parse(in io.Reader) (*Envelope, error) {
	b, err := io.ReadAll(io.LimitReader(in, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxSize {
		return nil, fmt.Errorf("more than %d bytes: this is no receipt", MaxSize)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	e := &Envelope{}
	if err := d.Decode(e); err != nil {
		return nil, fmt.Errorf("this is no receipt: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("this is no receipt: something follows the envelope")
	}
	switch {
	case e.PayloadType != PayloadType:
		return nil, fmt.Errorf("this is no receipt that this program knows: its payload type is %q, wanted %q",
			e.PayloadType, PayloadType)
	case len(e.Signatures) == 0:
		return nil, errors.New("the receipt has no signature")
	case len(e.Signatures) > maxSignatures:
		return nil, fmt.Errorf("the receipt has %d signatures, more than %d", len(e.Signatures), maxSignatures)
	}
	return e, nil
}

// Verify returns the document if a key with the pin signed it. An error that is ErrSignature says what is wrong with
// the signature.
func (e *Envelope) Verify(pin string) (*Receipt, error) {
	for i := range e.Signatures {
		if Pin(e.Signatures[i].PublicKey) != pin {
			continue
		}
		if err := e.holds(i); err != nil {
			return nil, err
		}
		return e.Unverified()
	}
	return nil, fmt.Errorf("%w: it was signed by the key %s, and the one that is trusted is %s", ErrSignature,
		Pin(e.Signatures[0].PublicKey), plain.Line(pin, maxKeyName))
}

// holds reports whether signature i is of the key that lies beside it, whoever's that is.
func (e *Envelope) holds(i int) error {
	s := e.Signatures[i]
	key, err := x509.ParsePKIXPublicKey(s.PublicKey)
	if err != nil {
		return fmt.Errorf("%w: its key cannot be read: %w", ErrSignature, err)
	}
	public, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("%w: its key is a %T, not an ECDSA key", ErrSignature, key)
	}
	sum := sha256.Sum256(pae(e.PayloadType, e.Payload))
	if !ecdsa.VerifyASN1(public, sum[:], s.Sig) {
		return fmt.Errorf("%w: the receipt was changed after it was signed", ErrSignature)
	}
	return nil
}

// Unverified returns the document without a look at its signature.
func (e *Envelope) Unverified() (*Receipt, error) {
	r := &Receipt{}
	d := json.NewDecoder(bytes.NewReader(e.Payload))
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("the receipt cannot be read: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("the receipt cannot be read: something follows the document")
	}
	if err := r.Check(); err != nil {
		return nil, err
	}
	return r, nil
}
