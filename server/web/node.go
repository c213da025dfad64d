package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/library/images"
)

// maxWait bounds a long-poll: proxies and firewalls forget a connection that is silent for longer.
const maxWait = time.Minute

func (a *API) hello(w http.ResponseWriter, r *http.Request) {
	h, ok := a.readHello(w, r)
	if !ok {
		return
	}
	reply, err := a.engine.Hello(r.Context(), h, peerAddr(r))
	a.answer(w, r, reply, err)
}

// readHello reads a stranger's document in bounded memory, and answers when it does not.
func (a *API) readHello(w http.ResponseWriter, r *http.Request) (*session.Hello, bool) {
	from := peerAddr(r)
	if !a.hellos.enter(from) {
		a.fail(w, r, http.StatusServiceUnavailable,
			fmt.Errorf("%d hellos come from this address at once: ask again", maxHellosFrom))
		return nil, false
	}
	defer a.hellos.leave(from)
	release, err := a.strangers.take(r, maxHello, helloPatience)
	if err != nil {
		a.fail(w, r, http.StatusServiceUnavailable, err)
		return nil, false
	}
	defer release()
	h := &session.Hello{}
	if err := decode(r, h); err != nil {
		a.failDocument(w, r, err)
		return nil, false
	}
	return h, true
}

func (a *API) descriptor(w http.ResponseWriter, r *http.Request, node string) {
	q := r.URL.Query()
	var after uint64
	var wait time.Duration
	var err error
	if s := q.Get("after"); s != "" {
		if after, err = strconv.ParseUint(s, 10, 64); err != nil {
			a.fail(w, r, http.StatusBadRequest, fmt.Errorf("after=%q is not a serial", s))
			return
		}
	}
	if s := q.Get("wait"); s != "" {
		if wait, err = time.ParseDuration(s); err != nil || wait < 0 {
			a.fail(w, r, http.StatusBadRequest, fmt.Errorf("wait=%q is not a duration such as 30s", s))
			return
		}
	}
	want := a.engine.Want(node, after)
	if wait == 0 {
		d, err := want.Look(func() {})
		if d != nil || err != nil || !want.Coming() {
			want.Close()
			a.described(w, r, node, d, err)
			return
		}
		wait = maxWait // until it is durable
	}
	afterwards(w, r, min(wait, maxWait), func(end error, w http.ResponseWriter, r *http.Request, again func()) bool {
		d, err := want.Look(again)
		if d == nil && err == nil {
			if end == nil {
				return false
			}
			if !errors.Is(end, context.DeadlineExceeded) {
				err = end
			}
		}
		want.Close()
		a.described(w, r, node, d, err)
		return true
	})
}

// described answers with a descriptor, or that there is no newer one.
func (a *API) described(w http.ResponseWriter, r *http.Request, node string, d *session.Descriptor, err error) {
	switch {
	case err != nil:
		a.failFor(w, r, err)
	case d == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		// The node would refuse it too, and ask for it for ever; said here, it stands in the server's log.
		if err := d.Validate(); err != nil {
			a.fail(w, r, http.StatusInternalServerError,
				fmt.Errorf("descriptor %d for %s cannot be followed: %w", d.Serial, node, err))
			return
		}
		a.reply(w, http.StatusOK, d)
	}
}

func (a *API) events(w http.ResponseWriter, r *http.Request, node string) {
	var batch session.Events
	if err := decode(r, &batch); err != nil {
		a.failDocument(w, r, err)
		return
	}
	session.SetReportEvery(w.Header(), a.engine.ReportEvery())
	stored, err := a.engine.Report(node, &batch)
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	whenStored(w, r, stored, a.done)
}

func (a *API) disk(w http.ResponseWriter, r *http.Request, node string) {
	var c session.DiskChoice
	if err := decode(r, &c); err != nil {
		a.failDocument(w, r, err)
		return
	}
	first, stored, err := a.engine.Choice(node, &c)
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	chosen := session.DiskChoice{V: session.Version, Session: c.Session, Disk: first}
	whenStored(w, r, stored, func(w http.ResponseWriter, r *http.Request, err error) { a.answer(w, r, chosen, err) })
}

func (a *API) looked(w http.ResponseWriter, r *http.Request, node string) {
	var l session.LookResult
	if err := decode(r, &l); err != nil {
		a.failDocument(w, r, err)
		return
	}
	a.done(w, r, a.engine.Looked(node, &l))
}

func (a *API) chosen(w http.ResponseWriter, r *http.Request, node string) {
	var c session.MenuChoice
	if err := decode(r, &c); err != nil {
		a.failDocument(w, r, err)
		return
	}
	reply, err := a.engine.Choose(r.Context(), node, &c)
	a.answer(w, r, reply, err)
}

func (a *API) personalization(w http.ResponseWriter, r *http.Request, node string) {
	var ask session.PersonalAsk
	if err := decode(r, &ask); err != nil {
		a.failDocument(w, r, err)
		return
	}
	d, err := a.engine.Personalize(r.Context(), node, &ask, peerAddr(r))
	a.answer(w, r, d, err)
}

func (a *API) blob(w http.ResponseWriter, r *http.Request) {
	digest := r.PathValue("digest")
	rd, size, err := a.images.OpenBlob(digest)
	a.content(w, r, digest, rd, size, err)
}

func (a *API) object(w http.ResponseWriter, r *http.Request) {
	digest := r.PathValue("digest")
	rd, size, err := a.images.OpenObject(digest)
	// An object and a manifest share a digest and are not the same bytes: the tag tells them apart.
	a.content(w, r, "object-"+digest, rd, size, err)
}

func (a *API) content(w http.ResponseWriter, r *http.Request, tag string, rd images.Reader, size int64, err error) {
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	defer rd.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", `"`+tag+`"`) // strong: what has a digest never changes
	http.ServeContent(w, r, "", time.Time{}, io.NewSectionReader(rd, 0, size))
}
