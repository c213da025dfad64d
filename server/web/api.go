// Package web is the server's HTTPS interface: for nodes, which say hello, long-poll for their descriptor, report
// events and fetch blobs; and for operators. docs/node-api.md and
// docs/operator-api.md are its specification; routes.go has the table of all requests.
package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/herald"
	"github.com/diskcast/diskcast/server/library"
	"github.com/diskcast/diskcast/server/library/images"
	"github.com/diskcast/diskcast/server/metrics"
	"github.com/diskcast/diskcast/server/power/console"
	"github.com/diskcast/diskcast/server/power/desk"
	"github.com/diskcast/diskcast/server/store"
)

// Images serves blobs and objects. The caller closes what it opens.
type Images interface {
	OpenBlob(digest string) (images.Reader, int64, error)
	OpenObject(manifest string) (images.Reader, int64, error)
}

// Captures takes what nodes send of their disks.
type Captures interface {
	Has(u *engine.Upload, disk int64, sum [32]byte, size int64) (bool, error)
	Put(u *engine.Upload, disk int64, sum [32]byte, size int64, stored []byte) error
	// Finish makes the image and returns its digest.
	Finish(ctx context.Context, u *engine.Upload, disk int64, x *image.Index, cfg *image.Config) (string, error)
	// Rest lets go of one of which nothing more comes for now; what has come stays.
	Rest(id string)
}

// DHCP is what the server does for the addresses of the LAN. FreeLease takes an IPv4 or a MAC address.
type DHCP interface {
	View() doc.DHCP
	FreeLease(ctx context.Context, what string) error
}

// API is the handler of all of /v1/, and of what those ask who watch over the server.
type API struct {
	engine   *engine.Engine
	images   Images
	captures Captures
	dhcp     DHCP
	doctor   Doctor          // nil: none
	library  library.Library // nil: none
	jobs     *library.Jobs
	uploads  *library.Uploads  // nil: none
	power    *desk.Desk        // nil: none
	consoles *console.Consoles // nil: none
	notify   *herald.Herald    // nil: none
	metrics  *metrics.Server   // nil: nothing is counted
	alive    alive
	pin      string // of the server's key, which receipts are verified with
	access   *access.Book
	audit    *audit.Log // nil: nothing is recorded
	wrong    access.Wrong
	log      *slog.Logger
	mux      *http.ServeMux
	routes   map[string]*Route // by pattern
	version  string            // of the program
	self     described

	strangers, nodes *pool // bodies in memory
	hellos           hellos
	imports          imports
	asked            asked
}

var _ http.Handler = (*API)(nil)

// maxBody bounds any request's body; session.Decode bounds documents too.
const maxBody = session.MaxDocument

// New returns the handler, which takes the operatorToken and no other until it has WithAccess. captures is nil where no
// captures are taken.
func New(e *engine.Engine, im Images, captures Captures, operatorToken string, log *slog.Logger) *API {
	a := &API{engine: e, images: im, captures: captures, access: access.Only(operatorToken), log: log,
		strangers: newPool(strangerBodies), nodes: newPool(nodeBodies), hellos: hellos{from: map[netip.Addr]int{}}}
	a.route(Routes())
	return a
}

// WithLibrary has the API work on images, and returns the API. It is called before jobs runs.
func (a *API) WithLibrary(l library.Library, jobs *library.Jobs) *API {
	a.library, a.jobs = l, jobs
	jobs.Changed(a.engine.JobChanged)
	a.engine.FollowJobs(jobs)
	return a
}

// WithAccess has the API take the tokens of a book, and make others, and returns the API.
func (a *API) WithAccess(b *access.Book) *API {
	a.access = b
	return a
}

// WithDHCP has the API show the server's DHCP, and returns the API.
func (a *API) WithDHCP(d DHCP) *API {
	a.dhcp = d
	return a
}

func bearer(r *http.Request) string {
	scheme, t, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return t
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, code int, err error) {
	a.failWith(w, r, code, err, "")
}

// failWith refuses with a word for programs.
func (a *API) failWith(w http.ResponseWriter, r *http.Request, code int, err error, kind string) {
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if code == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "60")
	}
	level := slog.LevelInfo
	switch {
	case code == http.StatusServiceUnavailable && errors.Is(err, context.Canceled):
		level = slog.LevelDebug // who waited has gone, or is told that the server ends
	case code == http.StatusServiceUnavailable:
		// many ask at once, which is no fault of the server and may be a stranger's doing
		level = slog.LevelWarn
	case code >= 500:
		level = slog.LevelError
	}
	a.log.Log(r.Context(), level, "request refused", "method", r.Method, "path", r.URL.Path, "peer", r.RemoteAddr,
		"code", code, "err", err)
	e := doc.NewError(code, problemOf(code, kind, err), err.Error())
	e.Kind = kind
	if entry := (*engine.EntryError)(nil); errors.As(err, &entry) {
		e.Entry = entry.Entry
	}
	if fields := (*fieldsError)(nil); errors.As(err, &fields) {
		e.Errors = fields.fields
	}
	a.replyAs(w, code, "application/problem+json", e)
}

// failDocument refuses a document that is not understood.
func (a *API) failDocument(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		a.fail(w, r, http.StatusRequestEntityTooLarge,
			fmt.Errorf("the document is larger than %d bytes", tooLarge.Limit))
		return
	}
	a.fail(w, r, http.StatusBadRequest, &documentError{err})
}

// failFor finds the status for an engine's error.
func (a *API) failFor(w http.ResponseWriter, r *http.Request, err error) {
	code, kind := http.StatusInternalServerError, ""
	switch {
	case errors.Is(err, engine.ErrSpec): // before the others: it may wrap one of them
		code = http.StatusUnprocessableEntity
		if library.Kind(err) == doc.KindDamaged {
			kind, err = doc.KindDamaged, library.Advised(err)
		}
	case errors.Is(err, access.ErrSpec):
		code = http.StatusUnprocessableEntity
	case errors.Is(err, access.ErrExists):
		code = http.StatusConflict
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, images.ErrNotFound), errors.Is(err, store.ErrNotFound):
		code = http.StatusNotFound
	case errors.Is(err, engine.ErrToken):
		code = http.StatusUnauthorized
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT): // images have failImage
		code = http.StatusServiceUnavailable
	case errors.Is(err, engine.ErrUnsettled), errors.Is(err, engine.ErrHeld), errors.Is(err, engine.ErrCrowd),
		errors.Is(err, context.Canceled),
		errors.Is(err, context.DeadlineExceeded):
		code = http.StatusServiceUnavailable
	case library.Kind(err) == doc.KindDamaged: // as long as nobody mends it
		code, kind, err = http.StatusUnprocessableEntity, doc.KindDamaged, library.Advised(err)
	}
	a.failWith(w, r, code, err, kind)
}

func (a *API) reply(w http.ResponseWriter, code int, v any) {
	a.replyAs(w, code, "application/json", v)
}

func (a *API) replyAs(w http.ResponseWriter, code int, kind string, v any) {
	if d, ok := w.(Documents); ok {
		d.Document(code, v)
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		a.log.Error("answer has no JSON", "err", err)
		code, kind = http.StatusInternalServerError, "application/problem+json"
		b = []byte(`{"type":"/v1/#internal","title":"The server failed","status":500,"code":"internal",` +
			`"detail":"the answer has no JSON","error":"the answer has no JSON"}`)
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if _, err := w.Write(append(b, '\n')); err != nil {
		a.log.Debug("answer not sent", "err", err)
	}
}

// decode reads a request's document; its error is the client's fault.
func decode(r *http.Request, into session.Document) error {
	return session.Decode(r.Body, into)
}

func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("") // of the link that all machines are on
}
