package network

import (
	"context"
	"fmt"
	"time"
)

// minRenew keeps a server with absurdly short leases from being asked all the time.
const minRenew = 5 * time.Second

// Keep renews the lease until ctx ends, and at once when the link comes back: it may be another port, or another
// network. An address that cannot be renewed stays in use: taking it away would only break the restore that is under
// way.
func (l *Link) Keep(ctx context.Context) error {
	changed, err := l.o.System.Changed(ctx)
	if err != nil {
		return fmt.Errorf("watching the network interfaces: %w", err)
	}
	lease, linked := l.Lease, l.o.System.Carrier(l.Name)
	due := after(lease, lease.RenewAfter)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due:
		case <-changed:
			was := linked
			linked = l.o.System.Carrier(l.Name)
			if was && !linked {
				l.o.Log.Warn("the link is gone; waiting for it to come back. Is the cable plugged in?", "nic", l.Name)
			}
			if was || !linked {
				continue
			}
			l.o.Log.Info("the link is back", "nic", l.Name)
			if lease.Time == 0 && lease.ack == nil { // the site's own address
				continue
			}
		}
		next, err := l.renew(ctx, lease)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			due = after(lease, max(lease.RenewAfter/2, 10*time.Second))
		default:
			lease = next
			due = after(lease, lease.RenewAfter)
		}
	}
}

// after is when to ask for more time; never, of an address that does not end.
func after(l *Lease, wait time.Duration) <-chan time.Time {
	if l.Time == 0 {
		return nil
	}
	return time.After(max(wait, minRenew))
}

// renew asks for more time, and sets what came of it.
func (l *Link) renew(ctx context.Context, lease *Lease) (*Lease, error) {
	attempt, cancel := context.WithTimeout(ctx, l.o.WaitLease)
	defer cancel()
	next, err := l.o.System.Renew(attempt, l.Name, lease)
	if err != nil {
		if ctx.Err() == nil {
			l.o.Log.Warn("the DHCP lease was not renewed; keeping the address and asking again", "nic", l.Name,
				"address", lease.Addr, "error", err)
		}
		return nil, err
	}
	if next.Addr != lease.Addr {
		l.o.Log.Warn("the DHCP server gave another address", "nic", l.Name, "was", lease.Addr, "is", next.Addr)
		if err := l.o.System.Deconfigure(l.Name, lease); err != nil {
			l.o.Log.Warn("the old address stays", "nic", l.Name, "error", err)
		}
	}
	if err := l.o.System.Configure(l.Name, next); err != nil {
		l.o.Log.Warn("the renewed lease could not be set", "nic", l.Name, "error", err)
	}
	return next, nil
}
