package main

import (
	"context"
	"net/netip"
	"net/url"
	"time"

	"github.com/diskcast/diskcast/agent/survey"
	"github.com/diskcast/diskcast/internal/session"
)

// lookAround looks at this node's network and tells the server what it saw.
func (a *agent) lookAround(ctx context.Context, l *session.Look, nic string, waited time.Duration) {
	a.log.Info("looking at the network: the operator asked", "for", time.Duration(l.Listen*float64(time.Second)))
	o := survey.Options{Root: "/", Interface: nic, LinkWait: waited, Inventory: a.look, Now: time.Now}
	if u, err := url.Parse(a.settings.Server); err == nil {
		o.Server, _ = netip.ParseAddr(u.Hostname()) // a name stays unknown, and is said
	}
	if err := a.client.PostLook(ctx, survey.Run(ctx, o, l)); err != nil && ctx.Err() == nil {
		a.log.Warn("what was seen of the network was not told", "error", err)
	}
}
