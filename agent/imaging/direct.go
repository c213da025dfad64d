package imaging

import (
	"context"
	"sync"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/span"
)

// direct is the Receiver of a session without a cast: it only keeps account of what is missing, and everything
// comes by HTTP.
type direct struct {
	why     string // nothing comes by multicast
	onState func(cast.State)

	mu      sync.Mutex
	size    int64
	missing span.Set
	got     int64
	whole   chan struct{} // closed while nothing is missing
}

func newDirect(size int64, why string, o cast.ReceiverOptions) *direct {
	var have span.Set
	for _, r := range o.Have {
		have = have.Add(r.Offset, r.Length)
	}
	d := &direct{why: why, onState: o.OnState, size: size, missing: span.Invert(have, size), whole: make(chan struct{})}
	if len(d.missing) == 0 {
		close(d.whole)
	}
	return d
}

// Run waits until nothing is missing.
func (d *direct) Run(ctx context.Context) error {
	d.onState(cast.State{Phase: cast.Unicast, Why: d.why})
	d.mu.Lock()
	whole := d.whole
	d.mu.Unlock()
	select {
	case <-whole:
		d.onState(cast.State{Phase: cast.Complete})
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *direct) Again(off, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.missing) == 0 {
		d.whole = make(chan struct{})
	}
	d.missing = d.missing.Add(off, n)
}

func (d *direct) Deliver(off int64, p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := len(d.missing)
	d.missing = d.missing.Remove(off, int64(len(p)))
	d.got += int64(len(p))
	if was > 0 && len(d.missing) == 0 {
		close(d.whole)
	}
	return nil
}

// Wrong does nothing: nothing comes by multicast.
func (d *direct) Wrong() {}

func (d *direct) Missing() []cast.Range {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]cast.Range(nil), d.missing...)
}

func (d *direct) Stats() cast.ReceiverStats {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := cast.ReceiverStats{Size: d.size, Delivered: d.got}
	for _, r := range d.missing {
		s.Missing += r.Length
	}
	return s
}
