package web

import (
	"net/http"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/metrics"
)

// TestWatched: those who watch over a server ask without a token whether it lives, and only the operator gets figures,
// profiles and the count of what was asked.
func TestWatched(t *testing.T) {
	r := newRig(t)
	api := r.srv.Config.Handler.(*API)
	api.WithMetrics(metrics.New(metrics.Sources{Version: "v", Figures: r.e.Figures}))
	ask := func(path, token string) (int, string) {
		code, body, _ := r.call("GET", path, token, "")
		return code, body
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, body := ask(path, ""); code != 200 || body != "ok\n" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	for _, path := range []string{"/metrics", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
		if code, _ := ask(path, "wrong"); code != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %d", path, code)
		}
	}
	if code, _ := ask("/debug/pprof/goroutine", r.id.Token); code != 200 {
		t.Errorf("a profile: %d", code)
	}
	code, body := ask("/metrics", r.id.Token)
	for _, want := range []string{`diskcast_build_info{version="v"} 1`,
		`diskcast_http_request_seconds_count{route="GET /healthz"} 1`,
		`diskcast_http_refused_total{route="GET /metrics",code="401"} 1`} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("%d: no %s in\n%s", code, want, body)
		}
	}
	api.alive.asking.Store(true) // an engine that hangs in an earlier question
	code, body = ask("/healthz", "")
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "not answered") {
		t.Errorf("an engine that hangs: %d %s", code, body)
	}
}
