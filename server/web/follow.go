package web

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/feed"
)

// Least times between two groups of lines: what changes faster is told once. A group of many lines is followed by a
// longer pause, so that 5,000 machines that report each second do not cost a reader 5,000 lines each second.
const (
	watchPace   = 200 * time.Millisecond
	watchLine   = time.Millisecond // for each line of the group
	longestPace = 5 * time.Second
)

// follow streams changes: of a session until it is over, else for ever.
func (a *API) follow(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	after := cmp.Or(r.Header.Get("Last-Event-ID"), q.Get("after"))
	sub, err := a.within(r).Follow(q.Get("session"), q.Get("node"), after)
	lost := errors.Is(err, feed.ErrLost) && r.Header.Get("Last-Event-ID") != "" && wantsEvents(r)
	if lost { // a browser that is refused asks no more (HTML, 9.2.3), and it cannot ask without the id
		sub, err = a.within(r).Follow(q.Get("session"), q.Get("node"), "")
	}
	switch {
	case errors.Is(err, feed.ErrLost):
		a.fail(w, r, http.StatusGone,
			errors.New(err.Error()+": ask without a cursor, which begins with the state that is"))
		return
	case errors.Is(err, feed.ErrCursor):
		a.fail(w, r, http.StatusBadRequest, err)
		return
	case err != nil:
		a.failFor(w, r, err)
		return
	}
	a.stream(w, r, sub, true, lost)
}

// watchSession streams a session without cursors: a client whose stream breaks asks again and gets the present state
// first.
func (a *API) watchSession(w http.ResponseWriter, r *http.Request) {
	sub, err := a.within(r).Watch(r.PathValue("id"))
	if err != nil {
		a.failFor(w, r, err)
		return
	}
	a.stream(w, r, sub, false, false)
}

// stream writes lines until the subject of them is over, the client has gone or its token has ended, the server ends,
// or the client has fallen too far behind: it then asks again, and is told so. The first line says where events were
// lost.
func (a *API) stream(w http.ResponseWriter, r *http.Request, sub *engine.Sub, cursors, lost bool) {
	out := linesFor(w, r)
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead { // which has no lines to wait for
		return
	}
	if lost {
		if err := out.line(&doc.Line{Type: doc.LineLost}); err != nil {
			return
		}
	}
	rc := http.NewResponseController(w)
	for group := 0; ; {
		lines, last, err := next(r.Context(), sub)
		if token := bearer(r); err == nil && token != "" { // else it is somebody of As
			if _, good := a.access.Who(token); !good {
				return
			}
		}
		if err != nil {
			return
		}
		for i := range lines {
			l := &lines[i]
			if !cursors {
				if l.Cursor = ""; l.Gone != "" || l.Session == nil && l.Node == nil && l.Event == nil {
					continue
				}
			}
			if err := out.line(l); err != nil {
				return
			}
		}
		if group += len(lines); sub.Behind() {
			continue
		}
		if last {
			if err := out.end(); err != nil {
				return
			}
		}
		if err := out.flush(); err != nil {
			return
		}
		if err := rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
		if last {
			return
		}
		pause := min(max(watchPace, time.Duration(group)*watchLine), longestPace)
		group = 0
		clear(lines) // what they tell of is not kept by who waits
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
			return
		}
	}
}

// next waits for changes, and gives a sign of life when there are none.
func next(ctx context.Context, sub *engine.Sub) (lines []doc.Line, last bool, err error) {
	wait, cancel := context.WithTimeout(ctx, doc.Alive)
	defer cancel()
	lines, last, err = sub.Next(wait)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return []doc.Line{sub.Live()}, false, nil
	}
	return lines, last, err
}
