package lot

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Why an answer that waits is made as things are, beside the end of the server.
var (
	errGone = fmt.Errorf("the peer has gone: %w", context.Canceled)
	errLate = context.DeadlineExceeded
)

// wait is an answer that has to wait.
type wait struct {
	f      Answer
	limit  time.Duration
	header http.Header
	last   bool // of its connection

	// Under the lot's lock.
	end   error // it is to be made as things are
	again bool
}

// Answer makes an answer if that can be made now, or else has again called when it is worth another look: from
// wherever, at once or later. When end is not nil it has to be made as things are, or nobody waits for it any more;
// again is forgotten then.
type Answer func(end error, w http.ResponseWriter, again func()) (made bool)

// asked is the writer of a request's answer.
type asked struct {
	http.ResponseWriter
	t     *turn
	body  int64
	later *wait
}

// Unwrap is for http.ResponseController.
func (a *asked) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// Later has the answer made by f once the handler has returned, which has written nothing; false: the handler has to
// make it. The request is gone by then. After the limit, when the server ends or when the peer has gone, f has to end.
func (a *asked) Later(limit time.Duration, f func(end error, w http.ResponseWriter, again func()) bool) bool {
	if !a.t.exact(a.body) {
		return false
	}
	a.later = &wait{f: f, limit: limit, header: a.Header()}
	return true
}

// handler is a handler whose answers may wait.
type handler struct{ next http.Handler }

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, _ := r.Context().Value(turnKey{}).(*turn)
	if t == nil || !takes(r) {
		h.next.ServeHTTP(w, r)
		return
	}
	a := &asked{ResponseWriter: w, t: t, body: r.ContentLength}
	h.next.ServeHTTP(a, r)
	if a.later != nil {
		t.wait, t.want = a.later, a.body
		panic(http.ErrAbortHandler) // net/http gives its buffers back, and closes what is the lot's to close
	}
}

// takes reports whether a request is one of a node, which sends the next one when it has the answer to this one.
func takes(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/v1/node/") && r.ProtoAtLeast(1, 1) && !r.Close &&
		(r.Method == http.MethodGet || r.Method == http.MethodPost) && r.Header.Get("Expect") == ""
}

// begin begins to wait.
func (c *conn) begin(w *wait) {
	trim(c.tls)
	err := c.tls.SetDeadline(time.Time{})
	l := c.lot
	l.mu.Lock()
	c.state, c.wait = answered, w
	c.after(w.limit)
	if w.end = l.ctx.Err(); err == nil && !l.over {
		err = l.watch.on(c, hangup)
	}
	l.mu.Unlock()
	if err != nil {
		c.lot.mu.Lock()
		c.over(errGone)
		c.lot.mu.Unlock()
	}
	c.try()
}

// over has an answer that waits made as things are. The caller holds the lot's lock.
func (c *conn) over(why error) {
	if c.wait.end == nil {
		c.wait.end = why
	}
	c.look()
}

// look has an answer looked for. The caller holds the lot's lock.
func (c *conn) look() {
	if c.wait.again = true; c.state != waiting {
		return // who looks sees it
	}
	c.state = answered
	c.lot.due = append(c.lot.due, c)
	c.lot.next()
}

// again is for who waits: it is worth another look.
func (c *conn) again() {
	c.lot.mu.Lock()
	defer c.lot.mu.Unlock()
	if c.wait != nil {
		c.look()
	}
}

// try makes an answer if that can be made, and sends it.
func (c *conn) try() {
	l := c.lot
	for {
		l.mu.Lock()
		w := c.wait
		end := w.end
		w.again = false
		l.mu.Unlock()
		a := &answer{header: w.header, last: w.last}
		made, good := c.make(end, a)
		if !good || end == errGone {
			c.shut()
			return
		}
		l.mu.Lock()
		if made {
			c.wait = nil
			l.mu.Unlock()
			c.send(a)
			return
		}
		if !w.again {
			c.state = waiting
			l.places.leave(c)
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}

// make runs what makes an answer. What it dies of ends its connection, as net/http does it.
func (c *conn) make(end error, a *answer) (made, good bool) {
	defer func() {
		if v := recover(); v != nil {
			c.lot.log.Error("an answer was not made", "err", v)
		}
	}()
	return c.wait.f(end, a, c.again), true
}

// send writes an answer, and keeps the connection.
func (c *conn) send(a *answer) {
	// A peer who takes nothing is cut off by the deadline that the connection sets for each write.
	if _, err := c.write(a.bytes()); err != nil || a.last {
		c.shut()
		return
	}
	c.park(c.lot.limit.Idle)
}
