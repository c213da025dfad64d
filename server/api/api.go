// Package api is the server's HTTPS interface: for nodes, which say hello, long-poll for their descriptor, report
// events and fetch blobs; and for operators. docs/node-api.md is its specification.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/images"
	"github.com/diskcast/diskcast/server/model"
	"github.com/diskcast/diskcast/server/state"
)

// Images serves blobs and objects. The caller closes what it opens.
type Images interface {
	OpenBlob(digest string) (images.Reader, int64, error)
	OpenObject(manifest string) (images.Reader, int64, error)
	List() ([]images.Entry, error)
}

// Captures takes what nodes send of their disks.
type Captures interface {
	Has(u *engine.Upload, disk int64, sum [32]byte, size int64) (bool, error)
	Put(u *engine.Upload, disk int64, sum [32]byte, size int64, stored []byte) error
	// Finish makes the image and returns its digest.
	Finish(ctx context.Context, u *engine.Upload, disk int64, x *image.Index, cfg *image.Config) (string, error)
}

// DHCP is what the server does for the addresses of the LAN. FreeLease takes an IPv4 or a MAC address.
type DHCP interface {
	View() model.DHCP
	FreeLease(ctx context.Context, what string) error
}

// API is the handler of all of /v1/.
type API struct {
	engine   *engine.Engine
	images   Images
	captures Captures
	dhcp     DHCP
	token    [sha256.Size]byte // of the operator
	log      *slog.Logger
	mux      *http.ServeMux

	strangers, nodes *pool // bodies in memory
	hellos           hellos
}

var _ http.Handler = (*API)(nil)

// maxBody bounds any request's body; session.Decode bounds documents too.
const maxBody = session.MaxDocument

// New returns the handler. captures is nil where no captures are taken.
func New(e *engine.Engine, im Images, captures Captures, operatorToken string, log *slog.Logger) *API {
	a := &API{engine: e, images: im, captures: captures, token: sha256.Sum256([]byte(operatorToken)), log: log, mux: http.NewServeMux(),
		strangers: newPool(strangerBodies), nodes: newPool(nodeBodies), hellos: hellos{from: map[netip.Addr]int{}}}
	a.mux.HandleFunc("POST /v1/node/hello", a.hello)
	a.mux.HandleFunc("GET /v1/node/{node}/descriptor", a.node(a.descriptor))
	a.mux.HandleFunc("POST /v1/node/{node}/events", a.node(a.events))
	a.mux.HandleFunc("POST /v1/node/{node}/disk", a.node(a.disk))
	if captures != nil {
		a.mux.HandleFunc("GET /v1/node/{node}/captures/{id}/frames/{frame}", a.node(a.hasFrame))
		a.mux.HandleFunc("PUT /v1/node/{node}/captures/{id}/frames/{frame}", a.node(a.putFrame))
		a.mux.HandleFunc("POST /v1/node/{node}/captures/{id}/finish", a.node(a.finishCapture))
	}
	a.mux.HandleFunc("GET /v1/blobs/{digest}", a.reader(a.blob))
	a.mux.HandleFunc("GET /v1/objects/{digest}", a.reader(a.object))

	a.mux.HandleFunc("GET /v1/sessions", a.operator(a.listSessions))
	a.mux.HandleFunc("POST /v1/sessions", a.operator(a.createSession))
	a.mux.HandleFunc("GET /v1/sessions/{id}", a.operator(a.showSession))
	a.mux.HandleFunc("POST /v1/sessions/{id}/cancel", a.operator(a.cancelSession))
	a.mux.HandleFunc("GET /v1/sessions/{id}/watch", a.operator(a.watchSession))
	a.mux.HandleFunc("GET /v1/nodes", a.operator(a.listNodes))
	a.mux.HandleFunc("GET /v1/nodes/{node}", a.operator(a.showNode))
	a.mux.HandleFunc("DELETE /v1/nodes/{node}", a.operator(a.forgetNode))
	a.mux.HandleFunc("GET /v1/nodes/{node}/log", a.operator(a.nodeLog))
	a.machineRoutes()
	a.mux.HandleFunc("GET /v1/images", a.operator(a.listImages))
	a.mux.HandleFunc("GET /v1/dhcp", a.operator(a.showDHCP))
	a.mux.HandleFunc("DELETE /v1/dhcp/leases/{lease}", a.operator(a.freeLease))
	return a
}

// WithDHCP has the API show the server's DHCP, and returns the API.
func (a *API) WithDHCP(d DHCP) *API {
	a.dhcp = d
	return a
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, pattern := a.mux.Handler(r)
	limit, patience := bodyLimit(pattern)
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		// A body that trickles in would hold its connection for ever. Not every writer has deadlines (tests' do not).
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience))
	}
	if pattern == "" {
		a.fail(w, r, http.StatusNotFound, errors.New("no such endpoint: "+r.Method+" "+r.URL.Path))
		return
	}
	a.mux.ServeHTTP(w, r)
}

// bodyLimit is how large a request's body may be, and how long it may take.
func bodyLimit(pattern string) (int64, time.Duration) {
	switch {
	case strings.HasSuffix(pattern, "/frames/{frame}"):
		return maxFrame, 2 * time.Minute
	case strings.HasSuffix(pattern, "/hello"):
		return maxHello, helloPatience
	case strings.HasSuffix(pattern, "/finish"):
		return image.MaxConfig + image.MaxIndex, 10 * time.Minute
	}
	return maxBody, 30 * time.Second
}

func bearer(r *http.Request) string {
	t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return t
}

func (a *API) isOperator(token string) bool {
	sum := sha256.Sum256([]byte(token)) // equal lengths: the comparison's time tells nothing
	return subtle.ConstantTimeCompare(sum[:], a.token[:]) == 1
}

// operator guards an endpoint of the operator.
func (a *API) operator(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.isOperator(bearer(r)) {
			a.fail(w, r, http.StatusUnauthorized, errors.New("the operator token is missing or wrong: `diskcast token` on the server prints it"))
			return
		}
		h(w, r)
	}
}

// node guards an endpoint of one node: the token must be that node's.
func (a *API) node(h func(w http.ResponseWriter, r *http.Request, node string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, err := a.engine.Authorize(bearer(r))
		if err == nil && id != r.PathValue("node") {
			err = engine.ErrToken
		}
		if err != nil {
			a.fail(w, r, http.StatusUnauthorized, err)
			return
		}
		if r.Method != http.MethodGet {
			limit, patience := bodyLimit(r.Pattern)
			release, err := a.nodes.take(r, limit, patience)
			if err != nil {
				a.fail(w, r, http.StatusServiceUnavailable, err)
				return
			}
			defer release()
		}
		h(w, r, id)
	}
}

// reader guards blobs and objects: a node reads those of the image that its descriptor names, an operator all.
func (a *API) reader(h func(w http.ResponseWriter, r *http.Request, digest string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		digest := r.PathValue("digest")
		if !images.ValidDigest(digest) {
			a.fail(w, r, http.StatusBadRequest, errors.New("digest is not sha256: and 64 hex digits"))
			return
		}
		token := bearer(r)
		if !a.isOperator(token) {
			id, err := a.engine.Authorize(token)
			if err != nil {
				a.fail(w, r, http.StatusUnauthorized, err)
				return
			}
			if !a.engine.MayRead(id, digest) {
				a.fail(w, r, http.StatusForbidden, errors.New("the node's descriptor does not name an image with this digest"))
				return
			}
		}
		h(w, r, digest)
	}
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, code int, err error) {
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	level := slog.LevelInfo
	switch {
	case code == http.StatusServiceUnavailable: // many ask at once, which is no fault of the server and may be a stranger's doing
		level = slog.LevelWarn
	case code >= 500:
		level = slog.LevelError
	}
	a.log.Log(r.Context(), level, "request refused", "method", r.Method, "path", r.URL.Path, "peer", r.RemoteAddr, "code", code, "err", err)
	a.reply(w, code, model.Error{Error: err.Error()})
}

// failDocument refuses a document that is not understood.
func (a *API) failDocument(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		a.fail(w, r, http.StatusRequestEntityTooLarge, fmt.Errorf("the document is larger than %d bytes", tooLarge.Limit))
		return
	}
	a.fail(w, r, http.StatusBadRequest, err)
}

// failFor finds the status for an engine's error.
func (a *API) failFor(w http.ResponseWriter, r *http.Request, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, engine.ErrSpec): // before the others: it may wrap one of them
		code = http.StatusUnprocessableEntity
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, images.ErrNotFound), errors.Is(err, state.ErrNotFound):
		code = http.StatusNotFound
	case errors.Is(err, engine.ErrToken):
		code = http.StatusUnauthorized
	case errors.Is(err, engine.ErrUnsettled), errors.Is(err, engine.ErrCrowd), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		code = http.StatusServiceUnavailable
	}
	a.fail(w, r, code, err)
}

func (a *API) reply(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		a.log.Error("answer has no JSON", "err", err)
		code, b = http.StatusInternalServerError, []byte(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	if _, err := w.Write(append(b, '\n')); err != nil {
		a.log.Debug("answer not sent", "err", err)
	}
}

// decode reads a request's document; its error is the client's fault.
func decode(r *http.Request, doc session.Document) error {
	return session.Decode(r.Body, doc)
}

func decodeJSON(r io.Reader, v any) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields() // an operator's misspelt field must not be ignored
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("request has data after its end")
	}
	return nil
}

func peerAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}
