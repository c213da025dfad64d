package caster

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/server/engine"
)

var _ engine.Prober = (*Network)(nil)

// Packets that nodes listen for go to a port that no cast has.
const (
	probePort  = LastPort + 1
	probeEvery = 250 * time.Millisecond
)

// Probe implements engine.Prober: to the last group of the prefix.
func (n *Network) Probe(ctx context.Context, text string) (netip.AddrPort, error) {
	group := netip.AddrPortFrom(cast.LastGroup(n.prefix), probePort)
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return group, fmt.Errorf("packets to %v: %w", group, err)
	}
	p := ipv4.NewPacketConn(c)
	if err = p.SetMulticastInterface(n.iface); err == nil {
		err = p.SetMulticastTTL(1)
	}
	if err != nil {
		c.Close()
		return group, fmt.Errorf("packets to %v: %w", group, err)
	}
	// Ends with ctx.
	go func() {
		defer c.Close()
		tick := time.NewTicker(probeEvery)
		defer tick.Stop()
		for {
			// One that is lost is followed by another.
			_, _ = c.WriteToUDPAddrPort([]byte(text), group)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return group, nil
}
