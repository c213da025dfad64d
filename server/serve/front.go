package serve

import (
	"net/http"
	"strings"
)

// front is what answers on the API's listener: the API for programs, and the page for everything else.
type front struct{ api, page http.Handler }

// ofAPI are the beginnings of the paths of the API.
var ofAPI = []string{"/v1/", "/healthz", "/readyz", "/metrics", "/debug/"}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for _, p := range ofAPI {
		if strings.HasPrefix(r.URL.Path, p) || r.URL.Path+"/" == p {
			f.api.ServeHTTP(w, r)
			return
		}
	}
	f.page.ServeHTTP(w, r)
}
