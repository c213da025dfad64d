package power

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net/http"
)

// PinOf names a certificate's key as docs/security.md does: sha256: and the hex of its SubjectPublicKeyInfo's hash.
func PinOf(spki []byte) string {
	sum := sha256.Sum256(spki)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Transport speaks HTTPS with who has the pinned key, and keeps the first one that it sees. BMCs sign their own
// certificates, so that nothing but the pin tells one from another.
func Transport(c *Config, h *Host) *http.Transport {
	pin := c.Pin
	check := func(cs tls.ConnectionState) error {
		got := PinOf(cs.PeerCertificates[0].RawSubjectPublicKeyInfo)
		switch {
		case pin == got:
			return nil
		case pin == "":
			if err := h.Keep(context.Background(), got); err != nil {
				return &Error{Word: Fault, Err: fmt.Errorf("its certificate's pin cannot be kept: %w", err)}
			}
			pin = got
			return nil
		}
		return Fail(Stranger, "its certificate has the pin %s, and the one seen first had %s: somebody may stand "+
			"between; if its certificate was changed, set its power up again, with --pin %s or without one", got, pin,
			got)
	}
	// The pin takes the place of the names and authorities of the web, which a BMC has nothing of.
	conf := &tls.Config{InsecureSkipVerify: true, VerifyConnection: check, MinVersion: tls.VersionTLS12}
	return &http.Transport{TLSClientConfig: conf, MaxIdleConns: 1, MaxConnsPerHost: 1, DisableCompression: true}
}
