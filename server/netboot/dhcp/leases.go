package dhcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// View fills in what the operator sees of the range.
func (p *Pool) View(v *doc.DHCP) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	v.Range, v.Addresses = p.cfg.Range.String(), p.usable()
	v.Free = v.Addresses
	type row struct {
		addr netip.Addr
		doc.Lease
	}
	var rows []row
	for mac, l := range p.byMAC {
		r := doc.Lease{Addr: l.Addr.String(), MAC: mac, State: doc.LeaseHeld, Known: p.cfg.Known(mac),
			Given: l.From, Until: l.Until}
		switch {
		case !l.Until.After(now) && l.offer:
			continue
		case !l.Until.After(now):
			r.State = doc.LeaseOver
			v.Free++
		case l.offer:
			r.State = doc.LeaseOffered
		}
		v.Free--
		rows = append(rows, row{l.Addr, r})
	}
	for a, c := range p.conflict {
		if !c.until.After(now) {
			continue
		}
		r := doc.Lease{Addr: a.String(), State: doc.LeaseConflict, Until: c.until}
		if !c.declined {
			r.MAC = c.by
		}
		v.Free--
		rows = append(rows, row{a, r})
	}
	slices.SortFunc(rows, func(a, b row) int { return a.addr.Compare(b.addr) })
	for _, r := range rows {
		v.Leases = append(v.Leases, r.Lease)
	}
	if !p.short.IsZero() && now.Sub(p.short) < shortFor {
		v.Warnings = append(v.Warnings, p.shortage()+".")
	}
}

// Free ends the lease of an address or of a MAC address at once, an offer or a conflict too; durable when it returns.
// The machine is not told: it keeps the address until it renews, and the address is given to no other while it answers
// there.
func (p *Pool) Free(ctx context.Context, what string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	mac := ""
	if a, err := netip.ParseAddr(what); err == nil {
		_, aside := p.conflict[a]
		owner, taken := p.byAddr[a]
		if !aside && !taken {
			return fmt.Errorf("lease of %v: %w", a, store.ErrNotFound)
		}
		if mac = owner; !taken {
			delete(p.conflict, a)
			return nil
		}
	} else {
		hw, err := net.ParseMAC(what)
		if err != nil {
			return fmt.Errorf("lease %.60q: %w", what, err)
		}
		mac = strings.ToLower(hw.String())
		if _, ok := p.byMAC[mac]; !ok {
			return fmt.Errorf("lease of %s: %w", mac, store.ErrNotFound)
		}
	}
	p.settled(mac)
	l := p.byMAC[mac]
	if err := p.drop(ctx, mac); err != nil {
		return fmt.Errorf("lease of %v to %s: %w", l.Addr, mac, err)
	}
	p.unset(mac)
	delete(p.conflict, l.Addr)
	return nil
}
