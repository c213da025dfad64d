package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	runtimepprof "runtime/pprof"
	"sync/atomic"
	"time"

	"github.com/diskcast/diskcast/server/metrics"
)

// alive is whether the engine answers: a question at a time, so that an engine that hangs is not asked again and again.
type alive struct{ asking atomic.Bool }

// alivePatience is how long the engine may take to answer.
const alivePatience = 5 * time.Second

func (l *alive) ask(r *http.Request, question func()) error {
	if !l.asking.CompareAndSwap(false, true) {
		return errors.New("the engine is asked already, and has not answered yet")
	}
	answered := make(chan struct{})
	go func() { question(); l.asking.Store(false); close(answered) }() // ends when the engine answers
	late := time.NewTimer(alivePatience)
	defer late.Stop()
	select {
	case <-answered:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	case <-late.C:
		return fmt.Errorf("the engine has not answered for %v", alivePatience)
	}
}

// healthz answers whether the server lives: one that does not should be started anew.
func (a *API) healthz(w http.ResponseWriter, r *http.Request) { a.health(w, r, false) }

// readyz answers whether the server can do its work: one that cannot write its state lives, and is not ready.
func (a *API) readyz(w http.ResponseWriter, r *http.Request) { a.health(w, r, true) }

func (a *API) health(w http.ResponseWriter, r *http.Request, ready bool) {
	var unsaved time.Duration
	err := a.alive.ask(r, func() { unsaved = a.engine.Unsaved() })
	if err == nil && ready && unsaved > 0 {
		err = fmt.Errorf("the state could not be written for %v", unsaved.Round(time.Second))
	}
	if err != nil {
		a.fail(w, r, http.StatusServiceUnavailable, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, "ok")
}

// WithMetrics has the API count its requests and serve what is counted, and returns the API.
func (a *API) WithMetrics(m *metrics.Server) *API {
	a.metrics = m
	return a
}

func (a *API) figures(w http.ResponseWriter, r *http.Request) {
	if a.metrics == nil {
		a.fail(w, r, http.StatusNotFound, errors.New("this server counts nothing"))
		return
	}
	a.metrics.Handler().ServeHTTP(w, r)
}

// profile serves Go's profiles of the running server.
func (a *API) profile(w http.ResponseWriter, r *http.Request) {
	switch name := r.PathValue("name"); name {
	case "cmdline":
		pprof.Cmdline(w, r)
	case "profile":
		pprof.Profile(w, r)
	case "symbol":
		pprof.Symbol(w, r)
	case "trace":
		pprof.Trace(w, r)
	default:
		if runtimepprof.Lookup(name) == nil {
			a.fail(w, r, http.StatusNotFound, fmt.Errorf("there is no profile %.60q: goroutine, heap, profile and "+
				"trace are some", name))
			return
		}
		pprof.Handler(name).ServeHTTP(w, r)
	}
}

// counted remembers the status that an answer had.
type counted struct {
	http.ResponseWriter
	code  int
	count func(code int) // counts the answer when there is one
	is    bool           // made later
}

// Later is for answers that wait, where the server has a place for them.
func (c *counted) Later(limit time.Duration, f func(end error, w http.ResponseWriter, again func()) bool) bool {
	l, ok := c.ResponseWriter.(later)
	if !ok {
		return false
	}
	told := c.count
	c.is = l.Later(limit, func(end error, w http.ResponseWriter, again func()) bool {
		mine := &counted{ResponseWriter: w}
		made := f(end, mine, again)
		if made {
			told(cmp.Or(mine.code, http.StatusOK))
		}
		return made
	})
	return c.is
}

// Unwrap is for http.ResponseController.
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *counted) WriteHeader(code int) {
	if c.code == 0 {
		c.code = code
	}
	c.ResponseWriter.WriteHeader(code)
}

// count has a request counted. Its route is the pattern of the table, since a path would make a row of each machine.
func (a *API) count(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *http.Request)) {
	if a.metrics == nil {
		serve(w, r)
		return
	}
	c, began := &counted{ResponseWriter: w}, time.Now()
	_, route := a.mux.Handler(r)
	if route == "" {
		route = "none"
	}
	c.count = func(code int) { a.metrics.Request(route, code, time.Since(began)) }
	if serve(c, r); !c.is {
		c.count(cmp.Or(c.code, http.StatusOK))
	}
}
