package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// unrecorded are requests that are no reading and change nothing, with what they do.
var unrecorded = map[string]string{
	"POST /v1/sessions/plan":                   "says what a session would do",
	"POST /v1/nodes/{node}/look":               "asks a node what it sees",
	"POST /v1/machines/{machine}/console/keys": "types, which may be a password; who opened the console is recorded",
	"POST /v1/doctor":                          "has the server look",
	"PUT /v1/imports/{id}/frames/{frame}":      "brings a piece of an image; finish makes it one",
}

// urgent are requests that end something. They are answered also when nothing can be stored: what is going wrong must
// be stopped.
var urgent = map[string]bool{
	"POST /v1/sessions/{id}/cancel": true,
	"POST /v1/power/{id}/cancel":    true,
	"POST /v1/jobs/{id}/cancel":     true,
	"DELETE /v1/tokens/{token}":     true,
}

// sealed are requests whose document is a secret.
var sealed = map[string]bool{
	"PUT /v1/machines/{machine}/power": true,
	"PUT /v1/notify/{receiver}/secret": true,
	"POST /v1/imports/{id}/finish":     true, // no secret, but hundreds of MiB; its query names the image
	"POST /v1/uploads":                 true, // no secret, but a disk
}

// recorded reports whether a request is a change that an operator makes.
func (rt *Route) recorded() bool {
	return rt.Method != http.MethodGet && rt.Scope != Nobody && unrecorded[rt.Pattern()] == ""
}

// WithAudit has the API record each change, and show the record, and returns the API.
func (a *API) WithAudit(l *audit.Log) *API {
	a.audit = l
	return a
}

type noteKey struct{}

// noteMachines has the record name the machines that a change is for.
func noteMachines(r *http.Request, ids []string) {
	if e, ok := r.Context().Value(noteKey{}).(*doc.AuditEntry); ok {
		e.Machines = ids
	}
}

// change has a request that changes something recorded: who asks for what before anything is done, and then what came
// of it.
func (a *API) change(rt *Route, w http.ResponseWriter, r *http.Request, node string) {
	if a.audit == nil {
		rt.handle(a, w, r, node)
		return
	}
	h := holderOf(r)
	from := peerAddr(r).String()
	e := doc.AuditEntry{Who: h.Name, Role: h.Role, Within: h.Within, From: from, Request: rt.Pattern(),
		Path: pathOf(r.URL)}
	about := a.about(r, rt)
	e.Before = bounded(about())
	if rt.Body > 0 && !sealed[rt.Pattern()] {
		text, err := io.ReadAll(r.Body)
		e.Document = recordable(text)
		r.Body = &readBack{Reader: io.MultiReader(bytes.NewReader(text), failing{err}), Closer: r.Body}
	}
	var owed *audit.Owed
	n, err := a.audit.Asked(r.Context(), e)
	if err != nil && urgent[rt.Pattern()] {
		a.log.Error("a change is made, and it is not stored yet who asked for it", "who", e.Who, "from", e.From,
			"request", e.Request, "path", e.Path, "err", err)
		owed = a.audit.Owe(e)
	} else if err != nil {
		a.stateFailed(r, err)
		a.fail(w, r, http.StatusServiceUnavailable, fmt.Errorf("nothing was done: it could not be stored who asked "+
			"for it: %w", err))
		return
	}
	done := doc.AuditEntry{Request: rt.Pattern()}
	out := &answer{ResponseWriter: w}
	within := engine.WithActor(context.WithValue(r.Context(), noteKey{}, &done), h.Name, func(words string) {
		done.Sessions = append(done.Sessions, plain.Line(words, maxWords))
	})
	rt.handle(a, out, r.WithContext(within), node)
	done.Status, done.Error = out.status(), out.words()
	if made := a.made(w.Header().Get("Location")); made != nil {
		about = made
	}
	done.After = bounded(about())
	ctx := context.WithoutCancel(r.Context())
	if owed != nil {
		err = a.audit.DoneOwed(ctx, owed, done)
	} else {
		err = a.audit.Done(ctx, n, done)
	}
	if err != nil {
		a.stateFailed(r, err)
		a.log.Error("what came of a change is not stored yet", "of", n, "status", done.Status, "err", err)
	}
}

// stateFailed has the trouble of the record be one of the state, which readyz, figures and the page tell.
func (a *API) stateFailed(r *http.Request, err error) {
	if r.Context().Err() == nil {
		a.engine.StateFailed(err)
	}
}

// readBack is a body that was read, with the error that its reading ended with.
type readBack struct {
	io.Reader
	io.Closer
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// maxRefusal bounds what is kept of a refusal, in bytes: words are in it twice.
const maxRefusal = 16 << 10

// answer keeps the status of an answer, and why it is a refusal.
type answer struct {
	http.ResponseWriter
	code int
	text []byte
}

func (a *answer) WriteHeader(code int) {
	if a.code == 0 {
		a.code = code
	}
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.code >= 400 && len(a.text) < maxRefusal {
		a.text = append(a.text, b[:min(len(b), maxRefusal-len(a.text))]...)
	}
	return a.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) status() int {
	if a.code == 0 {
		return http.StatusOK
	}
	return a.code
}

// maxWords bounds, in bytes, the words of a refusal.
const maxWords = 500

func (a *answer) words() string {
	var e doc.Error
	if a.code < 400 || json.Unmarshal(a.text, &e) != nil {
		return ""
	}
	return plain.Line(e.Error, maxWords)
}

// pathOf is what was asked for, with what of the query is known to be no secret.
func pathOf(u *url.URL) string {
	q, kept := u.Query(), url.Values{}
	for name, v := range q {
		if known()[name] {
			kept[name] = v
		} else {
			kept[name] = []string{leftOut}
		}
	}
	p := u.EscapedPath()
	if len(kept) > 0 {
		p += "?" + kept.Encode()
	}
	return plain.Line(p, 1000)
}

// about gives what a request is about, as the record has it: without what changes by itself, and without secrets; nil
// where there is nothing that is cheap to say.
func (a *API) about(r *http.Request, rt *Route) func() any {
	id := r.PathValue("id")
	switch {
	case strings.Contains(rt.Path, "{machine}"):
		word := r.PathValue("machine")
		if m, err := a.engine.Machine(word); err == nil {
			word = m.ID // it may have another name afterwards
		}
		return func() any { return a.machineState(word) }
	case rt.Scope == ItsSession:
		return func() any { return a.sessionState(id) }
	case rt.Scope == ItsRepeat:
		return func() any { return a.repeatState(id) }
	case strings.Contains(rt.Path, "{token}"):
		name := r.PathValue("token")
		return func() any { return a.tokenState(name) }
	}
	return func() any { return nil }
}

// made gives what a request has made, by where it says that it is; nil for nothing of these.
func (a *API) made(where string) func() any {
	if id, ok := strings.CutPrefix(where, "/v1/sessions/"); ok {
		return func() any { return a.sessionState(id) }
	}
	if id, ok := strings.CutPrefix(where, "/v1/repeats/"); ok {
		return func() any { return a.repeatState(id) }
	}
	return nil
}

func (a *API) tokenState(name string) any {
	for _, t := range a.access.List() {
		if t.Name == name {
			return t
		}
	}
	return nil
}

func (a *API) machineState(word string) any {
	m, err := a.engine.Machine(word)
	if err != nil {
		return nil
	}
	return doc.Machine{ID: m.ID, Name: m.Name, Labels: m.Labels, Notes: m.Notes, Profile: m.Profile,
		WhenIdle: m.WhenIdle, Idle: m.Idle, Approved: m.Approved, Approval: m.Approval, ByHand: m.ByHand,
		Revision: m.Revision, Boots: m.Boots, Boards: m.Boards, Nodes: m.Nodes, Made: m.Made}
}

func (a *API) sessionState(id string) any {
	s, err := a.engine.Session(id)
	if err != nil {
		return nil
	}
	out := struct {
		ID     string            `json:"id"`
		State  string            `json:"state"`
		Reason string            `json:"reason,omitempty"`
		Spec   doc.Spec          `json:"spec"`
		Image  string            `json:"image,omitempty"` // the manifest's digest
		Go     bool              `json:"go,omitempty"`
		Parts  map[string]string `json:"parts,omitempty"` // states by node
	}{s.ID, s.State, plain.Line(s.Reason, maxWords), s.Spec, s.Image.Manifest, s.Go, map[string]string{}}
	if len(s.Spec.Personalize) > 0 {
		out.Spec.Personalize = quoted(leftOut)
	}
	for i := range s.Parts {
		out.Parts[s.Parts[i].Node] = s.Parts[i].State
	}
	return out
}

func (a *API) repeatState(id string) any {
	v, err := a.engine.Repeat(id)
	if err != nil {
		return nil
	}
	return doc.Repeat{ID: v.ID, Every: v.Every, Missed: v.Missed, Spec: recordable(v.Spec), Created: v.Created}
}

// showAudit answers with a part of the record.
func (a *API) showAudit(w http.ResponseWriter, r *http.Request) {
	if a.audit == nil {
		a.fail(w, r, http.StatusNotFound, errors.New("this server records no changes"))
		return
	}
	after, limit := uint64(0), audit.MaxLines
	var err error
	q := r.URL.Query()
	if s := q.Get("after"); s != "" {
		after, err = strconv.ParseUint(s, 10, 63)
	}
	if s := q.Get("limit"); s != "" && err == nil {
		limit, err = strconv.Atoi(s)
	}
	if err != nil || limit < 1 || after > math.MaxInt64 {
		a.fail(w, r, http.StatusBadRequest, errors.New("after= is the number of an entry, and limit= how many at most"))
		return
	}
	part, err := a.audit.List(r.Context(), after, limit)
	a.answer(w, r, part, err)
}
