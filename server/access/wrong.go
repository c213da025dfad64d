package access

import (
	"net/netip"
	"sync"
	"time"
)

// How many wrong tokens an address may come with: so many at once, then one in a while.
const (
	wrongBurst = 20
	wrongEvery = 3 * time.Second
	wrongKept  = 1024 // addresses; those of one IPv6 network of 64 bits are one
)

// Wrong counts wrong tokens by the address that they come from. A right token is not held up by wrong ones, not even
// from the same address: 256 bits are not guessed, and who could lock others out would. It spares answers and the log.
// Its zero value is ready.
type Wrong struct {
	mu   sync.Mutex
	from map[netip.Addr]time.Time // when its account is even again
}

// Over counts a wrong token, and says whether its address has come with too many.
func (w *Wrong) Over(from netip.Addr, now time.Time) bool {
	if from.Is6() {
		if p, err := from.WithZone("").Prefix(64); err == nil {
			from = p.Addr()
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	even, known := w.from[from]
	if even.Before(now) {
		even = now
	}
	if even.Sub(now) > (wrongBurst-1)*wrongEvery {
		return true
	}
	if !known && len(w.from) >= wrongKept {
		w.forget(now)
	}
	if w.from == nil {
		w.from = map[netip.Addr]time.Time{}
	}
	w.from[from] = even.Add(wrongEvery)
	return false
}

// forget makes room: those that are even again go, else any one.
func (w *Wrong) forget(now time.Time) {
	for a, even := range w.from {
		if even.Before(now) {
			delete(w.from, a)
		}
	}
	for a := range w.from {
		if len(w.from) < wrongKept {
			return
		}
		delete(w.from, a)
	}
}
