package hook

import (
	"bytes"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestCheck(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	body := []byte(`{"id":"1"}`)
	for _, c := range []struct {
		name   string
		change func(h http.Header, body []byte)
		key    string
		now    time.Time
		want   error
	}{
		{"as it was sent", nil, "k", at, nil},
		{"a minute later", nil, "k", at.Add(time.Minute), nil},
		{"an hour later", nil, "k", at.Add(time.Hour), ErrTime},
		{"an hour before", nil, "k", at.Add(-time.Hour), ErrTime},
		{"another key", nil, "l", at, ErrSignature},
		{"another body", func(_ http.Header, b []byte) { b[2] = 'x' }, "k", at, ErrSignature},
		{"another time", func(h http.Header, _ []byte) { h.Set(TimeHeader, "1800000001") }, "k", at, ErrSignature},
		{"no signature", func(h http.Header, _ []byte) { h.Del(SignatureHeader) }, "k", at, ErrSignature},
	} {
		h, b := http.Header{}, bytes.Clone(body)
		Sign(h, "k", at, b)
		if c.change != nil {
			c.change(h, b)
		}
		if err := Check(h, c.key, c.now, 5*time.Minute, b); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// TestOpenSSL: the receiver's example of docs/operating.md comes to the same signature.
func TestOpenSSL(t *testing.T) {
	need.Tools(t, "openssl")
	h, body := http.Header{}, `{"title":"session s1 is done"}`
	Sign(h, "a key", time.Unix(1_800_000_000, 0), []byte(body))
	cmd := exec.Command("openssl", "dgst", "-sha256", "-hmac", "a key", "-r")
	cmd.Stdin = strings.NewReader(h.Get(TimeHeader) + "." + body)
	out, err := cmd.Output()
	hex, _, _ := strings.Cut(string(out), " ")
	if got := h.Get(SignatureHeader); err != nil || got != "sha256="+hex {
		t.Errorf("we sign %s, openssl says %s, %v", got, out, err)
	}
}
