// Package identity is what a server proves itself with, its key, and what operators prove themselves with, a token:
// files of its state directory.
package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/receipt"
)

// Files of the state directory.
const (
	KeyFile   = "server.pem"     // the server's private key and certificate
	TokenFile = "operator.token" // the operator's bearer token
)

// Identity is what the server proves itself with and what operators prove themselves with.
type Identity struct {
	Cert  tls.Certificate
	Pin   string // sha256: and the hex of SHA-256 over the certificate's SubjectPublicKeyInfo
	Token string
}

// Sign puts a receipt into an envelope by the server's key, which nodes and operators know by its pin.
func (id *Identity) Sign(r *receipt.Receipt) (*receipt.Envelope, error) {
	key, err := id.Signer()
	if err != nil {
		return nil, err
	}
	return receipt.Sign(r, key)
}

// Signer is the server's key.
func (id *Identity) Signer() (crypto.Signer, error) {
	key, ok := id.Cert.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the server's key is a %T, which signs nothing", id.Cert.PrivateKey)
	}
	return key, nil
}

// Load reads the identity from the state directory and makes what is missing.
func Load(dir string) (*Identity, error) {
	if err := private.Dir(dir, "the server's key and the operator's token"); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	id := &Identity{}
	b, err := private.Once(filepath.Join(dir, KeyFile), newKey)
	if err != nil {
		return nil, err
	}
	if id.Cert, err = tls.X509KeyPair(b, b); err != nil {
		return nil, fmt.Errorf("key %s is damaged: %w (moved away, a new one is made; nodes then need initramfs "+
			"images with its pin, and receipts that the old key signed are verified with the old pin: diskcast "+
			"receipt verify --pin OLD-PIN)", filepath.Join(dir, KeyFile), err)
	}
	id.Pin = PinOf(id.Cert.Leaf)
	if b, err = private.Once(filepath.Join(dir, TokenFile), newToken); err != nil {
		return nil, err
	}
	if id.Token = strings.TrimSpace(string(b)); len(id.Token) < 32 {
		return nil, fmt.Errorf("operator token in %s is shorter than 32 characters: remove the file, and the next "+
			"start makes a new one", filepath.Join(dir, TokenFile))
	}
	return id, nil
}

func newKey() ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "diskcast server"},
		// Nodes know the key by its pin, and their clocks may be wrong: the dates must not matter.
		NotBefore:   time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:    time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280, 4.1.2.5: no expiry
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"diskcast"},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, b := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: keyDER}, {Type: "CERTIFICATE", Bytes: der}} {
		if err := pem.Encode(&out, b); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func newToken() ([]byte, error) { return []byte(rand.Text() + rand.Text() + "\n"), nil }

// PinOf is the pin of a certificate: "sha256:" and the hex of SHA-256 over its SubjectPublicKeyInfo.
func PinOf(cert *x509.Certificate) string { return receipt.Pin(cert.RawSubjectPublicKeyInfo) }

// PinError is a server with another key than the one that it is known by.
type PinError struct{ Got, Want string }

func (e *PinError) Error() string {
	return fmt.Sprintf("this is not the server that was asked for: its key's pin is %s, wanted %s", e.Got, e.Want)
}

// PinnedTLS is the configuration of a client that knows the server by its pin and by nothing else.
func PinnedTLS(pin string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The pin below is the whole check: names and dates do not matter, as the key does not change.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return errors.New("the server sent no certificate")
			}
			if got := PinOf(cs.PeerCertificates[0]); got != pin {
				return &PinError{Got: got, Want: pin}
			}
			return nil
		},
	}
}
