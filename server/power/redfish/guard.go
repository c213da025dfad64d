package redfish

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/power"
)

// maxAnswer is far above any resource that is read here.
const maxAnswer = 1 << 20

// guard stands between the library and a BMC: it sends to nobody else, one request at a time, and lets through what is
// an answer.
type guard struct{ bmc *bmc }

func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := g.send(r)
	if err != nil {
		_ = errors.As(err, &g.bmc.why) // it has a word, or the context's end says enough
	}
	return resp, err
}

func (g *guard) send(r *http.Request) (*http.Response, error) {
	if r.URL.Host != g.bmc.url.Host || r.URL.Scheme != g.bmc.url.Scheme || r.URL.User != nil {
		return nil, power.Fail(power.Odd, "it sends us to %s, and its password is nobody else's",
			plain.Line(r.URL.Redacted(), 100))
	}
	if err := g.bmc.h.Next(r.Context()); err != nil {
		return nil, err
	}
	resp, err := g.bmc.wire.RoundTrip(r)
	if err != nil {
		return nil, power.HTTPError(r.Context(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, power.HTTPError(r.Context(), err)
	}
	if len(body) > maxAnswer {
		return nil, power.Fail(power.Odd, "its answer is longer than %d bytes", maxAnswer)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	words := fmt.Sprintf("%d to %s of %s", resp.StatusCode, r.Method, plain.Line(r.URL.Path, 100))
	if strings.HasSuffix(kind, "json") && resp.StatusCode >= 400 {
		words += " (" + plain.Line(g.hide(string(body)), 200) + ")"
	}
	if err := power.StatusError(resp.StatusCode, words); err != nil {
		return nil, err
	}
	if r.Method == http.MethodGet && !strings.HasSuffix(kind, "json") {
		return nil, power.Fail(power.Odd, "it answers with a document of the type %q, as a web interface does and no "+
			"Redfish service: look at the address, and whether Redfish is switched on", plain.Line(kind, 40))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// hide takes the password out of what a BMC says.
func (g *guard) hide(s string) string { return strings.ReplaceAll(s, g.bmc.c.Password, "(password)") }
