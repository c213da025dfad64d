// Package page is the page of the server: what operators see of it in a browser, at / of the API's listener. Whatever
// it shows and does is a request of the operator API, made inside the server in the name of who looks, so that the
// roles of the API's one table hold here too; the page itself decides only which buttons there are.
//
// It is HTML from templates, with a stylesheet and scripts that are files of this folder: nothing is fetched from
// elsewhere, there is no build step, and without JavaScript everything can still be read and done. What machines say of
// themselves is escaped by html/template and made harmless by plain, all of an answer at once.
package page

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/diskcast/diskcast/server/access"
)

// API is what the page asks, in the name of who looks.
type API interface {
	// Enter says who comes with a token, or with which status a request is refused. It counts wrong tokens.
	Enter(r *http.Request, token string) (access.Holder, int, error)
	// As is the operator API as the holder of a token sees it.
	As(h access.Holder) http.Handler
	// Record records that a person got what proves it, by a request of the page's.
	Record(r *http.Request, h access.Holder, request string)
}

// Tokens says whose token has a sum, as long as it is good.
type Tokens interface {
	Of(sum access.Sum) (access.Holder, bool)
	// Use says whose token a link to the login is for, once.
	Use(link string) (access.Sum, bool)
	// Login lets in whom a provider vouches for, and returns what proves it; Admit does so once more for who is in.
	// Until says how long that is good for, and Dismiss ends it.
	Login(h access.Holder, until time.Time) string
	Admit(h access.Holder, until time.Time) string
	Until(sum access.Sum) (time.Time, bool)
	Dismiss(sum access.Sum)
}

// About is what the page tells of the server itself.
type About struct {
	Name, Version, Server, Interface, Store string
	Pin                                     string // of the server's key, which receipts are verified with
}

// Config is what a page is made of.
type Config struct {
	API    API
	Tokens Tokens
	People People // nil: people log in with tokens alone
	About  About
	Log    *slog.Logger // nil: nothing is logged
}

// Page is the handler.
type Page struct {
	Config
	mux    *http.ServeMux
	routes map[string]*Route // by pattern
	visits *visits
	polls  *polls
	cross  *http.CrossOriginProtection
	// patience is how long a form may take to come.
	patience time.Duration
}

var _ http.Handler = (*Page)(nil)

// Anyone is the role of routes that want none.
const Anyone = ""

// Bounds of requests.
const (
	formBody = 64 << 10         // bytes of a form
	formTime = 20 * time.Second // Page.patience
	sendTime = time.Minute      // that an answer may take to go
)

// Route is one line of the table that the mux, the roles and the limits are made from.
type Route struct {
	Pattern string
	Role    string // access.Viewer and so on, or Anyone
	serve   func(*visit) error
}

// Routes returns the table. A route that changes something is a POST; no other method does.
func Routes() []Route {
	return []Route{
		{"GET /static/{version}/{file}", Anyone, (*visit).static},
		{"GET /login", Anyone, (*visit).loginForm},
		{"POST /login", Anyone, (*visit).login},
		{"POST /login/link", Anyone, (*visit).loginByLink},
		{"GET /login/oidc", Anyone, (*visit).beginLogin},
		{"GET /login/oidc/callback", Anyone, (*visit).endLogin},
		{"POST /logout", access.Viewer, (*visit).logout},
		{"GET /token", access.Viewer, (*visit).tokenForm},
		{"POST /token", access.Viewer, (*visit).ownToken},
		{"GET /{$}", access.Viewer, (*visit).overview},
		{"GET /machines", access.Viewer, (*visit).machines},
		{"GET /machines/{machine}", access.Viewer, (*visit).machine},
		{"GET /sessions", access.Viewer, (*visit).sessions},
		{"GET /sessions/{id}", access.Viewer, (*visit).session},
		{"GET /sessions/{id}/receipts", access.Viewer, (*visit).receipts},
		{"GET /images", access.Viewer, (*visit).images},
		{"GET /images/{image}", access.Viewer, (*visit).image},
		{"GET /upload", access.Operator, (*visit).uploadForm},
		{"GET /upload/check", access.Operator, (*visit).checkUpload},
		{"POST /upload", access.Operator, (*visit).upload},
		{"GET /jobs/{id}", access.Viewer, (*visit).job},
		{"POST /jobs/{id}/cancel", access.Operator, (*visit).cancelJob},
		{"GET /casts", access.Viewer, (*visit).casts},
		{"GET /settings", access.Viewer, (*visit).settings},
		{"GET /doctor", access.Operator, (*visit).doctor},
		{"POST /doctor", access.Operator, (*visit).askDoctor},
		{"GET /sessions/{id}/{op}", access.Operator, (*visit).askSession},
		{"POST /sessions/{id}/{op}", access.Operator, (*visit).doSession},
		{"GET /machines/{machine}/power/{op}", access.Operator, (*visit).askPower},
		{"POST /machines/{machine}/power/{op}", access.Operator, (*visit).doPower},
		{"GET /machines/{machine}/console", access.Operator, (*visit).console},
		{"GET /machines/{machine}/console/text", access.Operator, (*visit).consoleText},
		{"POST /machines/{machine}/console/{op}", access.Operator, (*visit).doConsole},
		{"GET /power/{id}", access.Viewer, (*visit).powerRun},
		{"POST /approve", access.Operator, (*visit).approve},
		{"GET /start", access.Operator, (*visit).startForm},
		{"POST /start/plan", access.Operator, (*visit).plan},
		{"POST /start", access.Operator, (*visit).start},
		{"GET /machines/{machine}/capture", access.Operator, (*visit).startForm},
		{"POST /machines/{machine}/capture/plan", access.Operator, (*visit).plan},
		{"POST /machines/{machine}/capture", access.Operator, (*visit).start},
	}
}

// New returns the page.
func New(c Config) *Page {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p := &Page{Config: c, mux: http.NewServeMux(), routes: map[string]*Route{}, visits: newVisits(c.Tokens),
		polls: &polls{now: time.Now, by: map[string]*polled{}},
		cross: http.NewCrossOriginProtection(), patience: formTime}
	table := Routes()
	for i := range table {
		rt := &table[i]
		p.routes[rt.Pattern] = rt
		p.mux.HandleFunc(rt.Pattern, func(w http.ResponseWriter, r *http.Request) { p.answer(rt, w, r) })
	}
	return p
}

// policy lets a page of ours load what the server itself has, and nothing else; no script or style is in the page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	_, pattern := p.mux.Handler(r)
	if p.routes[pattern] == nil {
		v := &visit{page: p, w: w, r: r}
		v.who()
		v.fail(&refused{http.StatusNotFound, "there is no such page"})
		return
	}
	p.mux.ServeHTTP(w, r)
}

// visit is one request.
type visit struct {
	page   *Page
	w      http.ResponseWriter
	r      *http.Request
	ctx    context.Context
	holder access.Holder
	known  *entered // nil: nobody is logged in
}

// who finds out who comes, and reports whether anybody is logged in.
func (v *visit) who() bool {
	v.ctx = v.r.Context()
	v.known, v.holder = v.page.visits.of(v.r)
	return v.known != nil
}

// may reports whether who looks has a role.
func (v *visit) may(role string) bool { return v.known != nil && access.Covers(v.holder.Role, role) }

// answer serves a route to who may have it.
func (p *Page) answer(rt *Route, w http.ResponseWriter, r *http.Request) {
	v := &visit{page: p, w: w, r: r}
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	in := v.who()
	if changes {
		// A form that trickles in would hold its connection for ever. Not every writer has deadlines (tests' do not).
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(p.patience))
		if !streamed[rt.Pattern] {
			r.Body = http.MaxBytesReader(w, r.Body, formBody)
		}
	} else if r.ContentLength != 0 {
		v.fail(&refused{http.StatusRequestEntityTooLarge, "this request has no body"})
		return
	}
	if rt.Role != Anyone && !in {
		v.away()
		return
	}
	if err := v.allowed(rt, changes); err != nil {
		v.fail(err)
		return
	}
	if err := rt.serve(v); err != nil {
		v.fail(err)
	}
}

// allowed refuses who lacks the role, and forms that no page of ours sent.
func (v *visit) allowed(rt *Route, changes bool) error {
	if rt.Role != Anyone && !v.may(rt.Role) {
		return &refused{http.StatusForbidden, fmt.Sprintf("%s has the role %s, and this wants %s: an "+
			"administrator makes others (diskcast token create)", v.holder.Name, v.holder.Role, rt.Role)}
	}
	if !changes {
		return nil
	}
	if err := v.page.cross.Check(v.r); err != nil {
		return &refused{http.StatusForbidden, "this form was sent from a page of somebody else's, or by way of a " +
			"proxy that changes Host: it must pass on the one that the browser sent"}
	}
	if streamed[rt.Pattern] { // it reads its form, and whose that is, by itself
		return nil
	}
	if err := v.r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return &refused{http.StatusRequestEntityTooLarge,
				fmt.Sprintf("the form is larger than %d bytes", tooLarge.Limit)}
		}
		return &refused{http.StatusBadRequest, "the form is not understood: " + err.Error()}
	}
	// Only now: the server reads what is left of a form that was not understood, and must not wait for that either.
	_ = http.NewResponseController(v.w).SetReadDeadline(time.Time{})
	if !v.ownForm(v.r.PostForm.Get("csrf")) {
		return errForeignForm
	}
	return nil
}

var errForeignForm = &refused{http.StatusForbidden, "this form is of an earlier login, or no page of this server " +
	"sent it: go back, load the page anew and try again"}

// away sends who is not logged in to the login, and back afterwards.
func (v *visit) away() {
	to := "/login"
	if v.r.Method == http.MethodGet && v.r.URL.Path != "/" {
		to += "?next=" + url.QueryEscape(v.r.URL.RequestURI())
	}
	if v.fragment() { // a script would put the login into the middle of the page
		v.w.Header().Set("HX-Redirect", to)
		v.w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
}

// local returns where a login leads to: a page of ours, whatever was asked for.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(to, "/") ||
		strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

// fragment reports whether the page's own script asks for the part of a page that changes.
func (v *visit) fragment() bool { return v.r.Header.Get("HX-Request") == "true" }
