package main

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/agent/lldp"
)

// switchPatience is how long a switch is listened for: it speaks every 30 s (802.1AB, 9.2.5.7), and may lose one.
const switchPatience = 95 * time.Second

// hearSwitch listens, beside all else, for the switch that the network card is plugged into. The channel is closed when
// it was heard, or nobody listens any more: a node that knows no switch is as good as another.
func (a *agent) hearSwitch(ctx context.Context, g *errgroup.Group, nic string) <-chan struct{} {
	over := make(chan struct{})
	if nic == "" {
		close(over)
		return over
	}
	g.Go(func() error {
		defer close(over)
		ctx, cancel := context.WithTimeout(ctx, switchPatience)
		defer cancel()
		n, err := lldp.Hear(ctx, nic, func(err error) { a.log.Debug("LLDP", "nic", nic, "err", err) })
		switch {
		case err == nil:
			a.plugged.Store(n)
			a.log.Info("the switch says where this node is plugged in", "nic", nic, "switch", n.Switch, "port", n.Port)
		case ctx.Err() == nil:
			a.log.Info("which switch this node is plugged into cannot be heard", "nic", nic, "err", err)
		}
		return nil
	})
	return over
}

// tellSwitch tells the server of the switch, unless the hello did.
func (a *agent) tellSwitch(ctx context.Context, heard <-chan struct{}, told *lldp.Neighbour) error {
	select {
	case <-ctx.Done():
		return nil
	case <-heard:
	}
	if a.plugged.Load() == told {
		return nil
	}
	if err := a.client.Refresh(ctx); err != nil && ctx.Err() == nil {
		a.log.Warn("the server was not told which switch this node is plugged into", "err", err)
	}
	return nil
}
