// Package lot keeps the connections of nodes that wait for something apart from net/http, which gives each of them
// buffers and deep stacks for as long as it is open.
//
// An answer that must wait is made in a goroutine of its own while the request is kept nowhere, and is written here.
// The connection is then watched by one shallow goroutine. When something comes on it, net/http accepts it as if it
// were new; its TLS has been done.
package lot

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Lot is the listener of a server, and what is before its handler.
type Lot struct {
	net.Listener
	ctx   context.Context
	idle  time.Duration // that a connection may be silent
	log   *slog.Logger
	fail  chan error // of the listener
	conns chan net.Conn
	done  chan struct{} // closed by Close
	close sync.Once
	held  sync.WaitGroup // connections that are here

	mu     sync.Mutex
	parked map[*parked]struct{}
}

// parked is a connection that is here.
type parked struct {
	conn net.Conn
	raw  syscall.RawConn
}

// New returns the lot of a TLS listener whose connections have a SyscallConn below; answers that wait end with ctx.
func New(ctx context.Context, l net.Listener, idle time.Duration, log *slog.Logger) *Lot {
	lot := &Lot{Listener: l, ctx: ctx, idle: idle, log: log, fail: make(chan error), conns: make(chan net.Conn),
		done: make(chan struct{}), parked: map[*parked]struct{}{}}
	go lot.listen() // ends with the listener, which Close closes
	return lot
}

func (l *Lot) listen() {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			l.hand(c)
			continue
		}
		select {
		case l.fail <- err:
		case <-l.done:
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// hand gives net/http a connection.
func (l *Lot) hand(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.done:
		c.Close()
	}
}

// Accept returns a connection that is new, or on which something came.
func (l *Lot) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.fail:
		return nil, err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close closes the listener and all connections that are silent. Those with an answer to come are closed after it.
func (l *Lot) Close() error {
	var err error
	l.close.Do(func() {
		err = l.Listener.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		close(l.done)
		for p := range l.parked {
			_ = p.conn.SetReadDeadline(past) // who watches it closes it
		}
	})
	return err
}

// Wait waits until no connection is here any more, which Close and the end of the context bring about.
func (l *Lot) Wait(ctx context.Context) error {
	none := make(chan struct{})
	go func() { l.held.Wait(); close(none) }() // ends when none is here
	select {
	case <-none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// past is a deadline that has a pending read return at once.
var past = time.Unix(1, 0)

// of finds what watches a connection; nil: it cannot be watched.
func of(c net.Conn) *parked {
	t, ok := c.(*tls.Conn)
	if !ok {
		return nil
	}
	s, ok := t.NetConn().(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return &parked{c, raw}
}

// something waits until there is something to read, which stays to be read; an error: there is not, or the peer has
// ended the connection.
func (p *parked) something() error {
	n, err := 0, error(nil)
	werr := p.raw.Read(func(fd uintptr) bool {
		var one [1]byte
		for err = unix.EINTR; err == unix.EINTR; {
			n, _, err = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		}
		return err != unix.EAGAIN
	})
	switch {
	case werr != nil:
		return werr
	case err != nil:
		return err
	case n == 0:
		return net.ErrClosed
	}
	return nil
}

// park watches a connection until something comes, and then has net/http read it.
func (l *Lot) park(p *parked) {
	defer l.held.Done()
	l.mu.Lock()
	l.parked[p] = struct{}{}
	until := time.Now().Add(l.idle)
	select {
	case <-l.done:
		until = past
	default:
	}
	err := p.conn.SetReadDeadline(until) // under the lock: Close's is the later one
	l.mu.Unlock()
	if err == nil {
		err = p.something()
	}
	l.mu.Lock()
	delete(l.parked, p)
	l.mu.Unlock()
	if err == nil {
		err = p.conn.SetReadDeadline(time.Time{})
	}
	if err != nil {
		p.conn.Close()
		return
	}
	l.hand(p.conn)
}

// Handler is a handler of whose answers the lot takes those to nodes, and the connections with them.
func (l *Lot) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !takes(r) {
			next.ServeHTTP(w, r)
			return
		}
		body := &wholly{ReadCloser: r.Body}
		r.Body = body
		a := &answer{ResponseWriter: w, header: w.Header()}
		next.ServeHTTP(a, r)
		if a.through {
			return
		}
		// To take a connection for one that is answered at once costs more, by three wakings of goroutines, than its
		// buffers are worth until the next request.
		if a.later != nil && (body.read || r.ContentLength == 0) {
			l.take(r.Context(), a)
			return
		}
		a.whole(r.Context())
	})
}

// takes reports whether a request is one of a node, which sends the next one when it has the answer to this one.
func takes(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/v1/node/") && r.TLS != nil && r.ProtoAtLeast(1, 1) && !r.Close &&
		(r.Method == http.MethodGet || r.Method == http.MethodPost) && r.Header.Get("Expect") == ""
}

// take answers, or has the answer made, on a connection that net/http gives away.
func (l *Lot) take(ctx context.Context, a *answer) {
	conn, rw, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err != nil {
		a.whole(ctx)
		return
	}
	a.ResponseWriter = nil
	p := of(conn)
	if p == nil || rw.Reader.Buffered() > 0 { // what was read already would be lost to who reads next
		a.last = true
	}
	l.held.Add(1)
	go l.wait(p, conn, a) // ends with the answer, which ends with the context
}

// send writes an answer, and keeps the connection.
func (l *Lot) send(p *parked, conn net.Conn, a *answer) {
	// A peer who takes nothing is cut off by the deadline that the connection sets for each write.
	if _, err := conn.Write(a.bytes()); err != nil || a.last {
		conn.Close()
		l.held.Done()
		return
	}
	go l.park(p) // ends after l.idle, or with the lot
}

// wait has an answer made, and sends it unless the peer has gone meanwhile.
func (l *Lot) wait(p *parked, conn net.Conn, a *answer) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	gone, watched := make(chan error, 1), p != nil
	if watched {
		go func() { // ends with the deadline below
			err := p.something()
			if !timedOut(err) {
				cancel()
			}
			gone <- err
		}()
	}
	good := l.make(ctx, a)
	if watched {
		_ = conn.SetReadDeadline(past)
		good = timedOut(<-gone) && good
		_ = conn.SetReadDeadline(time.Time{})
	}
	if !good {
		conn.Close()
		l.held.Done()
		return
	}
	l.send(p, conn, a)
}

func timedOut(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// make runs what makes an answer. What it dies of ends its connection, as net/http does it.
func (l *Lot) make(ctx context.Context, a *answer) (good bool) {
	defer func() {
		if v := recover(); v != nil {
			l.log.Error("an answer was not made", "err", v)
		}
	}()
	f := a.later
	a.later = nil
	f(ctx, a)
	return true
}

// Serve has a server use the lot, whose handler is the one that it has.
func (l *Lot) Serve(srv *http.Server) error {
	srv.Handler = l.Handler(srv.Handler)
	return srv.Serve(l)
}
