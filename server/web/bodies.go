package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Bounds, in bytes, on the bodies that are in memory at once. Strangers have a pool of their own, so that they cannot
// keep nodes out.
const (
	strangerBodies = 32 << 20
	nodeBodies     = 512 << 20 // of nodes and operators
	maxHello       = 128 << 10 // a hello: the inventory has at most 64 KiB
	helloPatience  = 5 * time.Second
	maxHellosFrom  = 8 // from one address at once; a machine says one
)

var errBusy = errors.New("the server is busy: ask again")

// pool bounds the bodies of one kind of client.
type pool struct {
	size int64
	sem  *semaphore.Weighted
}

func newPool(size int64) *pool { return &pool{size, semaphore.NewWeighted(size)} }

// take waits for room for the request's body, whose limit is known, and returns what gives it back.
func (p *pool) take(r *http.Request, limit int64, patience time.Duration) (func(), error) {
	n := limit
	if r.ContentLength >= 0 {
		n = min(n, r.ContentLength)
	}
	n = min(n, p.size)
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := p.sem.Acquire(ctx, n); err != nil {
		return nil, errBusy
	}
	return func() { p.sem.Release(n) }, nil
}

// hellos counts the hellos that are being read, by address.
type hellos struct {
	mu   sync.Mutex
	from map[netip.Addr]int
}

func (h *hellos) enter(a netip.Addr) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.from[a] >= maxHellosFrom && !a.IsLoopback() {
		return false
	}
	h.from[a]++
	return true
}

func (h *hellos) leave(a netip.Addr) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.from[a]--; h.from[a] == 0 {
		delete(h.from, a)
	}
}
