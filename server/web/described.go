package web

import (
	"net/http"
	"sync"

	"github.com/diskcast/diskcast/server/web/openapi"
)

// described is what the API says of itself. It is made at the first question: most servers are never asked.
type described struct {
	once           sync.Once
	document, page []byte
	err            error
}

func (d *described) make(version string) error {
	d.once.Do(func() {
		var calls []openapi.Call
		if calls, d.err = Calls(); d.err != nil {
			return
		}
		if d.document, d.err = openapi.Document(version, calls); d.err == nil {
			d.page, d.err = openapi.Page(version, calls)
		}
	})
	return d.err
}

// WithVersion has the API's description name the program's version, and returns the API.
func (a *API) WithVersion(v string) *API {
	a.version = v
	return a
}

func (a *API) apiDocument(w http.ResponseWriter, r *http.Request) {
	a.describe(w, r, "application/json", func() []byte { return a.self.document })
}

func (a *API) apiPage(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", openapi.PagePolicy)
	a.describe(w, r, htmlPage, func() []byte { return a.self.page })
}

func (a *API) describe(w http.ResponseWriter, r *http.Request, kind string, text func() []byte) {
	if err := a.self.make(a.version); err != nil {
		a.failFor(w, r, err)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache") // a newer server says more
	if _, err := w.Write(text()); err != nil {
		a.log.Debug("answer not sent", "err", err)
	}
}
