package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/diskcast/diskcast/internal/receipt"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

func (a *API) listSessions(w http.ResponseWriter, r *http.Request) {
	list := a.within(r).Sessions()
	q := r.URL.Query()
	state := q.Get("state")
	var keep func(**doc.Session) bool
	if q.Has("state") {
		is := inState[state]
		if is == nil {
			a.fail(w, r, http.StatusBadRequest, fmt.Errorf("state=%.40q is none of waiting, going, over, done, "+
				"failed, cancelled", state))
			return
		}
		keep = func(s **doc.Session) bool { return is(*s) }
	}
	listed(a, w, r, list, func(s **doc.Session) string { return (*s).ID }, keep)
}

// inState are the sorts of sessions that may be asked for. The word for one that goes is another for each kind.
var inState = map[string]func(*doc.Session) bool{
	"waiting": func(s *doc.Session) bool { return s.State == doc.Waiting }, "going": (*doc.Session).Going,
	"over": (*doc.Session).Over, "done": func(s *doc.Session) bool { return s.State == doc.Done },
	"failed":    func(s *doc.Session) bool { return s.State == doc.Failed },
	"cancelled": func(s *doc.Session) bool { return s.State == doc.Cancelled },
}

func (a *API) createSession(w http.ResponseWriter, r *http.Request) {
	spec, ok := a.readSpec(w, r)
	if !ok {
		return
	}
	spec.Repeat, spec.Menu = "", "" // the server's own words
	s, err := a.engine.Create(r.Context(), spec)
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	w.Header().Set("Location", "/v1/sessions/"+s.ID)
	a.reply(w, http.StatusCreated, s)
}

// planSession says what createSession would make, and makes nothing.
func (a *API) planSession(w http.ResponseWriter, r *http.Request) {
	if spec, ok := a.readSpec(w, r); ok {
		p, err := a.engine.Plan(r.Context(), spec)
		a.answer(w, r, p, err)
	}
}

// readSpec reads a spec, and takes from a profile what it leaves open; false when that was answered with an error.
func (a *API) readSpec(w http.ResponseWriter, r *http.Request) (doc.Spec, bool) {
	text, err := io.ReadAll(r.Body)
	var spec doc.Spec
	if err == nil {
		err = decodeJSON(bytes.NewReader(text), &spec)
	}
	if err != nil {
		a.failDocument(w, r, fmt.Errorf("session spec: %w", err))
		return spec, false
	}
	if spec, err = a.within(r).Spec(text, &spec); err == nil {
		err = a.engine.CheckStart(spec.At)
	}
	if err != nil {
		a.failFor(w, r, err)
		return spec, false
	}
	return spec, true
}

func (a *API) showSession(w http.ResponseWriter, r *http.Request) {
	s, err := a.within(r).Session(r.PathValue("id"))
	a.answer(w, r, s, err)
}

func (a *API) cancelSession(w http.ResponseWriter, r *http.Request) {
	s, err := a.engine.Cancel(r.Context(), r.PathValue("id"))
	a.answer(w, r, s, err)
}

func (a *API) goSession(w http.ResponseWriter, r *http.Request) {
	s, err := a.engine.Go(r.Context(), r.PathValue("id"))
	a.answer(w, r, s, err)
}

func (a *API) editSession(w http.ResponseWriter, r *http.Request) {
	var c doc.SessionChange
	if a.read(w, r, "session change", &c) {
		if c.At != nil {
			if err := a.engine.CheckStart(*c.At); err != nil {
				a.failFor(w, r, err)
				return
			}
		}
		s, err := a.engine.Edit(r.Context(), r.PathValue("id"), c)
		a.answer(w, r, s, err)
	}
}

func (a *API) retrySession(w http.ResponseWriter, r *http.Request) {
	s, err := a.engine.Retry(r.Context(), r.PathValue("id"))
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	w.Header().Set("Location", "/v1/sessions/"+s.ID)
	a.reply(w, http.StatusCreated, s)
}

func (a *API) removeSession(w http.ResponseWriter, r *http.Request) {
	a.done(w, r, a.engine.Remove(r.Context(), r.PathValue("id")))
}

func (a *API) listNodes(w http.ResponseWriter, r *http.Request) {
	listed(a, w, r, a.within(r).Nodes(), func(n *doc.Node) string { return n.ID }, nil)
}

func (a *API) showNode(w http.ResponseWriter, r *http.Request) {
	n, err := a.engine.Node(r.PathValue("node"))
	a.answer(w, r, n, err)
}

func (a *API) forgetNode(w http.ResponseWriter, r *http.Request) {
	a.done(w, r, a.engine.Forget(r.Context(), r.PathValue("node"), said(r, "force")))
}

func (a *API) nodeLog(w http.ResponseWriter, r *http.Request) {
	limit := 100
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			a.fail(w, r, http.StatusBadRequest, fmt.Errorf("limit=%q is not a number of lines", s))
			return
		}
		limit = n
	}
	lines, err := a.engine.Log(r.Context(), r.PathValue("node"), limit, said(r, "all"))
	a.answer(w, r, lines, err)
}

func (a *API) lookFrom(w http.ResponseWriter, r *http.Request) {
	l, err := a.engine.LookFrom(r.Context(), r.PathValue("node"))
	a.answer(w, r, l, err)
}

func (a *API) receipts(w http.ResponseWriter, r *http.Request) {
	list, err := a.within(r).Receipts(r.Context(), r.URL.Query().Get("session"))
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	listed(a, w, r, list, func(text *json.RawMessage) string { return string(*text) }, nil)
}

// WithPin has the API show receipts as a page, verified with the key of the pin, and returns the API.
func (a *API) WithPin(pin string) *API {
	a.pin = pin
	return a
}

func (a *API) receiptPage(w http.ResponseWriter, r *http.Request) {
	list, err := a.within(r).Receipts(r.Context(), r.URL.Query().Get("session"))
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("receipts: %w: a part has one when its node had a plan for its disk and has ended",
			engine.ErrNotFound)
	}
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	signed, err := receipt.LookAll(list, a.pin)
	if err != nil {
		a.failFor(w, r, err) // a page without it would look whole
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	h.Set("Cache-Control", "no-store")
	if err := receipt.Page(w, signed); err != nil {
		a.log.Debug("answer not sent", "err", err)
	}
}

func (a *API) showDHCP(w http.ResponseWriter, r *http.Request) {
	if a.dhcp == nil {
		a.fail(w, r, http.StatusNotFound, errNoDHCP)
		return
	}
	a.reply(w, http.StatusOK, a.dhcp.View())
}

func (a *API) freeLease(w http.ResponseWriter, r *http.Request) {
	if a.dhcp == nil {
		a.fail(w, r, http.StatusNotFound, errNoDHCP)
		return
	}
	what := r.PathValue("lease")
	if _, err := netip.ParseAddr(what); err != nil {
		if _, err := net.ParseMAC(what); err != nil {
			a.fail(w, r, http.StatusBadRequest,
				fmt.Errorf("lease %.60q is neither an IPv4 address nor a MAC address", what))
			return
		}
	}
	a.done(w, r, a.dhcp.FreeLease(r.Context(), what))
}

var errNoDHCP = errors.New("this server has no leases: it runs with --dhcp off, or by IPv6, where " +
	"addresses are worked out from MAC addresses")
