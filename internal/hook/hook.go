// Package hook signs the requests that the server sends to services of the operator's, and looks at such signatures:
// X-Diskcast-Signature is sha256= and the hex of HMAC-SHA256, by the hook's key, over the header X-Diskcast-Time (Unix
// time in seconds), a dot, and the body.
package hook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Headers of a signed request.
const (
	TimeHeader      = "X-Diskcast-Time"
	SignatureHeader = "X-Diskcast-Signature"
)

// Sign adds the time and the signature of a body to a request's header.
func Sign(h http.Header, key string, at time.Time, body []byte) {
	when := strconv.FormatInt(at.Unix(), 10)
	h.Set(TimeHeader, when)
	h.Set(SignatureHeader, signature(key, when, body))
}

func signature(key, when string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(mac, "%s.%s", when, body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Errors of Check.
var (
	ErrSignature = errors.New("the request was not signed with this key, or was changed since")
	ErrTime      = errors.New("the request was signed at another time: it is an old one again, or a clock is wrong")
)

// Check is what a receiver does: it says what is wrong with a request that came at a time, whose own time may be off by
// so much.
func Check(h http.Header, key string, now time.Time, off time.Duration, body []byte) error {
	when := h.Get(TimeHeader)
	if !hmac.Equal([]byte(h.Get(SignatureHeader)), []byte(signature(key, when, body))) {
		return ErrSignature
	}
	at, err := strconv.ParseInt(when, 10, 64)
	if err != nil || now.Sub(time.Unix(at, 0)).Abs() > off {
		return ErrTime
	}
	return nil
}
