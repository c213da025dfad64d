package serve

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/page"
	"github.com/diskcast/diskcast/server/web"
)

// TestFront: every request of the API's table goes to the API, and every one of the page's to the page.
func TestFront(t *testing.T) {
	says := func(who string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Who", who) })
	}
	f := &front{api: says("api"), page: says("page")}
	ask := func(path, want string) {
		t.Helper()
		w := httptest.NewRecorder()
		f.ServeHTTP(w, &http.Request{Method: "GET", URL: &url.URL{Path: path}, Header: http.Header{}})
		if got := w.Header().Get("Who"); got != want {
			t.Errorf("%s goes to the %s, want the %s", path, got, want)
		}
	}
	for _, r := range web.Routes() {
		ask(r.Path, "api")
	}
	for _, r := range page.Routes() {
		_, path, _ := strings.Cut(r.Pattern, " ")
		ask(strings.TrimSuffix(path, "{$}"), "page")
	}
	ask("/v1/nothing", "api")
	ask("/v1", "api")
	ask("/v1x", "page")
	ask("/nothing", "page")
}
