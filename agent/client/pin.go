package client

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Pin is the SHA-256 of a certificate's SubjectPublicKeyInfo (DER).
type Pin [sha256.Size]byte

// ErrPin is wrapped by the error of a connection to a server with another key.
var ErrPin = errors.New("the server's key is not the pinned one")

// ParsePin reads "sha256:" and 64 hex digits.
func ParsePin(s string) (Pin, error) {
	var p Pin
	if s == "" {
		return p, errors.New("no pin is set")
	}
	digits, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(digits) != hex.EncodedLen(len(p)) {
		return p, fmt.Errorf("pin %q is not sha256: and 64 hex digits", s)
	}
	if _, err := hex.Decode(p[:], []byte(digits)); err != nil {
		return p, fmt.Errorf("pin %q: %w", s, err)
	}
	return p, nil
}

// String is the form that ParsePin reads.
func (p Pin) String() string { return "sha256:" + hex.EncodeToString(p[:]) }

// PinOf is the pin of a certificate's raw SubjectPublicKeyInfo.
func PinOf(spki []byte) Pin { return sha256.Sum256(spki) }

// tlsConfig trusts the pinned key and nothing else. The certificate's names and dates do not matter: a node that
// just started may believe that it is 1970, and reaches the server by whatever address DHCP made possible.
func tlsConfig(pin Pin) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The chain is not checked; VerifyConnection below takes its place and runs on resumed sessions too.
		InsecureSkipVerify: true,
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return fmt.Errorf("%w: it sent no certificate", ErrPin)
			}
			got := PinOf(cs.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if subtle.ConstantTimeCompare(got[:], pin[:]) != 1 {
				return fmt.Errorf("%w: it has %v, the site settings say %v; if the server was set up anew, make the "+
					"boot directory again with mkimage", ErrPin, got, pin)
			}
			return nil
		},
	}
}
