// Package lot keeps the connections on which nothing happens apart from net/http, which gives each of them buffers and
// deep stacks for as long as it is open.
//
// A connection that is silent, or whose answer has to wait, has no goroutine: the kernel watches all of them together.
// When something comes on one, net/http accepts it as if it were new, and gives it back when it has answered; its TLS
// has been done.
package lot

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Lot is the listener of a server, and what is before its handler.
type Lot struct {
	net.Listener
	ctx   context.Context
	limit Limits
	log   *slog.Logger
	watch *watch
	fail  chan error    // of the listener
	free  chan struct{} // there may be a place for one more to be served
	done  chan struct{} // closed by Close
	close sync.Once

	mu     sync.Mutex
	last   uint64 // number of the newest connection
	conns  map[uint64]*conn
	ready  []*conn // on which something has come
	due    []*conn // whose answers can be made, or must be
	places places
	over   bool
	none   chan struct{} // closed when it is over and no connection is here any more
}

// Limits are how long a connection may take.
type Limits struct {
	First time.Duration // until the first byte, and for TLS's handshake
	Idle  time.Duration // between two requests
}

// New returns the lot of a TLS listener whose connections have a SyscallConn below; answers that wait end with ctx.
func New(ctx context.Context, l net.Listener, limit Limits, log *slog.Logger) (*Lot, error) {
	w, err := newWatch()
	if err != nil {
		return nil, err
	}
	lot := &Lot{Listener: l, ctx: ctx, limit: limit, log: log, watch: w, fail: make(chan error, 1),
		free: make(chan struct{}, 1), done: make(chan struct{}), conns: map[uint64]*conn{}, none: make(chan struct{})}
	lot.places.init(lot)
	go lot.listen() // ends with the listener, which Close closes
	context.AfterFunc(ctx, lot.endWaits)
	return lot, nil
}

func (l *Lot) listen() {
	for {
		c, err := l.Listener.Accept()
		if err == nil {
			l.enter(c)
			continue
		}
		select {
		case l.fail <- err:
			l.watch.poke()
		case <-l.done:
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// enter watches a new connection until its first byte comes.
func (l *Lot) enter(nc net.Conn) {
	t, ok := nc.(*tls.Conn)
	var raw syscall.RawConn
	err := errors.ErrUnsupported
	if ok {
		if s, is := t.NetConn().(syscall.Conn); is {
			raw, err = s.SyscallConn()
		}
	}
	if err != nil {
		l.log.Error("a connection cannot be watched", "peer", nc.RemoteAddr(), "err", err)
		nc.Close()
		return
	}
	c := &conn{lot: l, tls: t, raw: raw}
	l.mu.Lock()
	l.last++
	c.id = l.last
	l.conns[c.id] = c
	l.mu.Unlock()
	c.park(l.limit.First)
}

// Accept returns a connection on which something has come.
func (l *Lot) Accept() (net.Conn, error) {
	for {
		l.mu.Lock()
		for len(l.ready) > 0 && l.ready[0].state != ready {
			l.ready = l.ready[1:] // closed meanwhile
		}
		some := len(l.ready) > 0
		if some && l.places.take(l.ready[0]) {
			c := l.ready[0]
			l.ready = l.ready[1:]
			c.state = served
			l.mu.Unlock()
			return &turn{conn: c}, nil
		}
		l.mu.Unlock()
		if some {
			select {
			case <-l.free:
			case err := <-l.fail:
				return nil, err
			case <-l.done:
				return nil, net.ErrClosed
			}
			continue
		}
		if err := l.watch.wait(l.came); err == nil {
			continue
		}
		select {
		case err := <-l.fail:
			return nil, err
		case <-l.done:
			return nil, net.ErrClosed
		default:
		}
	}
}

// came is told of a connection on which something has come, or whose peer has gone.
func (l *Lot) came(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch c := l.conns[id]; {
	case c == nil:
	case c.state == silent:
		c.state = ready
		l.ready = append(l.ready, c)
	case c.wait != nil:
		c.over(errGone)
	}
}

// Close closes the listener and all connections that are silent. Those with an answer to come are closed after it.
func (l *Lot) Close() error {
	var err error
	l.close.Do(func() {
		err = l.Listener.Close()
		l.mu.Lock()
		l.over = true
		close(l.done)
		var quiet []*conn
		for _, c := range l.conns {
			if c.state == silent || c.state == ready {
				quiet = append(quiet, c)
			}
		}
		if len(l.conns) == 0 {
			close(l.none)
		}
		l.mu.Unlock()
		l.watch.close()
		for _, c := range quiet {
			go c.shut() // ends within TLS's time for its last word
		}
	})
	return err
}

// endWaits has the answers made that wait, because the server ends.
func (l *Lot) endWaits() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		if c.wait != nil {
			c.over(l.ctx.Err())
		}
	}
}

// Wait waits until no connection is here any more, which Close and the end of the context bring about.
func (l *Lot) Wait(ctx context.Context) error {
	select {
	case <-l.none:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Serve has a server use the lot, whose handler is the one that it has.
func (l *Lot) Serve(srv *http.Server) error {
	srv.Handler = handler{srv.Handler}
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		if t, ok := c.(*turn); ok && s == http.StateIdle {
			t.idle = true
		}
	}
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, turnKey{}, c)
	}
	return srv.Serve(l)
}
