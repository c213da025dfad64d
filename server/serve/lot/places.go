package lot

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// How many connections net/http begins with at a time, and for how long one counts. What takes longer, because it is
// long work or because the peer is slow on purpose, keeps its place no longer: others then wait for a moment.
const (
	placesAtOnce = 1024 // so many can share one write to the disk
	placeTime    = time.Second
)

// places hold back what comes all at once: 5,000 machines that begin in the same second would have as many handshakes
// and requests half done at a time, with their stacks and buffers, and none of them done sooner.
type places struct {
	free chan struct{}
	time time.Duration // placeTime
	mu   sync.Mutex
	of   map[net.Conn]func() // gives a connection's place back
}

func newPlaces() *places {
	return &places{free: make(chan struct{}, placesAtOnce), time: placeTime, of: map[net.Conn]func(){}}
}

// enter waits for a place for a connection; false: the lot was closed before.
func (p *places) enter(c net.Conn, done <-chan struct{}) bool {
	select {
	case p.free <- struct{}{}:
	case <-done:
		return false
	}
	var once sync.Once
	leave := func() { once.Do(func() { <-p.free }) }
	late := time.AfterFunc(p.time, func() { p.leave(c) })
	p.mu.Lock()
	p.of[c] = func() { late.Stop(); leave() }
	p.mu.Unlock()
	return true
}

// leave gives a connection's place back, if it still has one.
func (p *places) leave(c net.Conn) {
	p.mu.Lock()
	leave := p.of[c]
	delete(p.of, c)
	p.mu.Unlock()
	if leave != nil {
		leave()
	}
}

type connKey struct{}

// Serve has a server use the lot, whose handler is the one that it has.
func (l *Lot) Serve(srv *http.Server) error {
	srv.Handler = l.Handler(srv.Handler)
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, c)
	}
	srv.ConnState = func(c net.Conn, s http.ConnState) {
		if s == http.StateClosed || s == http.StateIdle {
			l.places.leave(c)
		}
	}
	return srv.Serve(l)
}

// leave gives back the place of a request's connection.
func (l *Lot) leave(r *http.Request) {
	if c, ok := r.Context().Value(connKey{}).(net.Conn); ok {
		l.places.leave(c)
	}
}
