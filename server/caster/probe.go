package caster

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/cast/sock"
	"github.com/diskcast/diskcast/server/engine"
)

var _ engine.Prober = (*Network)(nil)

// Packets that nodes listen for go to a port that no cast has.
const (
	probePort  = LastPort + 1
	probeEvery = 250 * time.Millisecond
)

// Probe implements engine.Prober: to the last group of the prefix, from a socket as casts have it.
func (n *Network) Probe(ctx context.Context, text string) (netip.AddrPort, error) {
	group := netip.AddrPortFrom(cast.LastGroup(n.prefix), probePort)
	g, err := sock.DialGroup(group, n.iface, 1, false)
	if err != nil {
		return group, err
	}
	send := func() error { return g.Send([]byte(text), len(text)) }
	if err := send(); err != nil {
		g.Close()
		return group, fmt.Errorf("packets to %v: %w", group, err)
	}
	// Ends with ctx.
	go func() {
		defer g.Close()
		tick := time.NewTicker(probeEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			// One that is lost is followed by another.
			_ = send()
		}
	}()
	return group, nil
}
