package client

import (
	"fmt"
	"sync"
	"time"
)

// sayEvery is how long nothing more is said of a server that still does not answer.
const sayEvery = 30 * time.Second

// outage tells who waits of a server that does not answer, or fails: at once, every 30 s, and when it answers again.
// Several may ask at once.
type outage struct {
	note func(words string) // may be nil

	mu          sync.Mutex
	since, told time.Time // since is zero while the server answers
}

// failed is called with each error after which the server is asked again.
func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	words := err.Error() + "; asking again"
	switch {
	case o.note == nil, !o.since.IsZero() && now.Sub(o.told) < sayEvery:
		return
	case o.since.IsZero():
		o.since = now
	default:
		words += fmt.Sprintf(", for %v now", now.Sub(o.since).Round(time.Second))
	}
	o.told = now
	o.note(words)
}

// over is called with each answer.
func (o *outage) over() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	o.note(fmt.Sprintf("the server answers again, after %v", time.Since(o.since).Round(time.Second)))
	o.since = time.Time{}
}
