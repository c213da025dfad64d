package power

import (
	"context"
	"sync"
	"time"
)

// Gate stands before one BMC: it lets one caller in at a time, and that one's messages out with a pause between two.
type Gate struct {
	in    chan struct{} // holds one token while somebody is in
	pause time.Duration
	last  time.Time // of the last message; its owner is who is in
}

// NewGate makes a gate with a pause.
func NewGate(pause time.Duration) *Gate { return &Gate{in: make(chan struct{}, 1), pause: pause} }

// Enter waits until nobody else is in. Whoever entered leaves.
func (g *Gate) Enter(ctx context.Context) error {
	select {
	case g.in <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Leave lets the next one in.
func (g *Gate) Leave() { <-g.in }

// Next waits until the next message may go out.
func (g *Gate) Next(ctx context.Context) error {
	err := wait(ctx, g.pause-time.Since(g.last))
	g.last = time.Now()
	if err == nil {
		err = sends(ctx)
	}
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Gates are the gates of all addresses: blades behind one BMC share one.
type Gates struct {
	pause time.Duration
	mu    sync.Mutex
	gates map[string]*Gate
}

// NewGates makes gates with a pause.
func NewGates(pause time.Duration) *Gates { return &Gates{pause: pause, gates: map[string]*Gate{}} }

// Of is the gate of an address.
func (g *Gates) Of(address string) *Gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gates[address] == nil {
		g.gates[address] = NewGate(g.pause)
	}
	return g.gates[address]
}
