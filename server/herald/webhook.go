package herald

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/diskcast/diskcast/internal/hook"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
)

// idHeader has the word's id, which its body has too.
const idHeader = "X-Diskcast-Id"

// webhook tells a service: each word is a signed POST of its JSON document, and is told when the answer is 2xx.
type webhook struct {
	c    *config.Webhook
	http *http.Client
}

func newWebhook(c *config.Webhook) (*webhook, error) {
	conf, err := tlsConfig(c.CAFile)
	if err != nil {
		return nil, err
	}
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, MaxConnsPerHost: 2,
		IdleConnTimeout: time.Minute, DisableCompression: true}
	// Where a redirect leads to nobody entered.
	none := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &webhook{c: c, http: &http.Client{Transport: t, CheckRedirect: none}}, nil
}

// tlsConfig trusts those who may vouch for a receiver.
func tlsConfig(caFile string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile == "" {
		return conf, nil
	}
	b, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("ca-file: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("ca-file %s holds no certificate (PEM)", caFile)
	}
	return conf, nil
}

func (h *webhook) by() string                       { return doc.ByWebhook }
func (h *webhook) to() string                       { return h.c.URL }
func (h *webhook) wants() (what string, needs bool) { return "key", true }
func (h *webhook) most() int                        { return 1 }
func (h *webhook) gather() time.Duration            { return 0 }

func (h *webhook) send(ctx context.Context, key string, words []doc.Word) (string, error) {
	if key == "" {
		return "", errors.New("its key is not stored")
	}
	answer := ""
	for i := range words {
		var err error
		if answer, err = h.post(ctx, key, &words[i]); err != nil {
			return "", err
		}
	}
	return answer, nil
}

func (h *webhook) post(ctx context.Context, key string, w *doc.Word) (string, error) {
	b, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.c.URL, bytes.NewReader(b))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "diskcast")
	req.Header.Set(idHeader, w.ID)
	hook.Sign(req.Header, key, time.Now(), b)
	resp, err := h.http.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	// What it says is for the operator only; a body that does not end is cut, and one that hangs ends with ctx.
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1024))
	said := plain.Words(string(text), 200)
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return "", fmt.Errorf("it answers %s and leads to %q, which is not followed: enter the address that is meant",
			resp.Status, plain.Line(resp.Header.Get("Location"), 200))
	case resp.StatusCode < 200 || resp.StatusCode > 299:
		if said != "" {
			said = ": " + said
		}
		return "", fmt.Errorf("it answers %s%s", plain.Line(resp.Status, 80), said)
	case err != nil:
		return "", fmt.Errorf("its answer does not end: %w", err)
	}
	return resp.Status, nil
}
