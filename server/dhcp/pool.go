package dhcp

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/server/state"
)

// Range is the addresses that a pool gives, both ends included.
type Range struct{ First, Last netip.Addr }

// maxRange bounds a pool: a /16.
const maxRange = 1 << 16

// ParseRange reads "A-B" and checks it against the server's LAN.
func ParseRange(s string, lan netip.Prefix) (Range, error) {
	first, last, ok := strings.Cut(s, "-")
	if !ok {
		return Range{}, fmt.Errorf("DHCP range %q is not of the form 10.0.0.100-10.0.0.200", s)
	}
	var r Range
	var err error
	if r.First, err = netip.ParseAddr(strings.TrimSpace(first)); err != nil {
		return Range{}, fmt.Errorf("DHCP range %q: %w", s, err)
	}
	if r.Last, err = netip.ParseAddr(strings.TrimSpace(last)); err != nil {
		return Range{}, fmt.Errorf("DHCP range %q: %w", s, err)
	}
	switch {
	case !r.First.Is4() || !r.Last.Is4():
		return Range{}, fmt.Errorf("DHCP range %q is not of IPv4 addresses", s)
	case r.Last.Less(r.First):
		return Range{}, fmt.Errorf("DHCP range %q ends before it begins", s)
	case addrToUint(r.Last)-addrToUint(r.First) >= maxRange:
		return Range{}, fmt.Errorf("DHCP range %q has more than %d addresses", s, maxRange)
	case !lan.Contains(r.First) || !lan.Contains(r.Last):
		return Range{}, fmt.Errorf("DHCP range %q is not within %v, the LAN of the interface", s, lan.Masked())
	}
	return r, nil
}

// String implements fmt.Stringer.
func (r Range) String() string { return r.First.String() + "-" + r.Last.String() }

func (r Range) size() uint32 { return addrToUint(r.Last) - addrToUint(r.First) + 1 }

func (r Range) contains(a netip.Addr) bool { return a.Is4() && !a.Less(r.First) && !r.Last.Less(a) }

// lease is one address given to one hardware address; its JSON is the value of "lease/<mac>".
type lease struct {
	Addr  netip.Addr `json:"addr"`
	Until time.Time  `json:"until"`
}

// offerHold is how long an offered address is kept for the one it was offered to.
const offerHold = time.Minute

// declineHold is how long an address that another machine uses is set aside.
const declineHold = time.Hour

// Pool gives addresses by hardware address. A machine gets the address it had before, whenever that is possible.
type Pool struct {
	store state.Store
	rng   Range
	time  time.Duration
	now   func() time.Time
	avoid map[netip.Addr]bool // the server's own address and the LAN's two ends

	mu     sync.Mutex
	byMAC  map[string]lease // leases and, not stored, offers
	byAddr map[netip.Addr]string
}

const leasePrefix = "lease/"

// NewPool reads the leases that the store holds. now may be nil.
func NewPool(ctx context.Context, store state.Store, rng Range, server netip.Prefix, leaseTime time.Duration, now func() time.Time) (*Pool, error) {
	if leaseTime < minLease {
		return nil, fmt.Errorf("DHCP lease time %v is shorter than %v", leaseTime, minLease)
	}
	if now == nil {
		now = time.Now
	}
	p := &Pool{store: store, rng: rng, time: leaseTime, now: now,
		avoid: map[netip.Addr]bool{server.Addr(): true}, byMAC: map[string]lease{}, byAddr: map[netip.Addr]string{}}
	if server.Bits() < 31 {
		net := addrToUint(server.Masked().Addr())
		p.avoid[uintToAddr(net)] = true
		p.avoid[uintToAddr(net|(1<<(32-server.Bits())-1))] = true
	}
	err := store.View(ctx, func(tx state.Tx) error {
		return tx.Walk(leasePrefix, func(key string, _ []byte) error {
			var l lease
			if err := state.GetJSON(tx, key, &l); err != nil {
				return err
			}
			if rng.contains(l.Addr) && !p.avoid[l.Addr] {
				p.set(strings.TrimPrefix(key, leasePrefix), l)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read DHCP leases: %w", err)
	}
	return p, nil
}

// Time is the length of a lease.
func (p *Pool) Time() time.Duration { return p.time }

func (p *Pool) set(mac string, l lease) {
	if old, ok := p.byMAC[mac]; ok && p.byAddr[old.Addr] == mac {
		delete(p.byAddr, old.Addr)
	}
	if other, ok := p.byAddr[l.Addr]; ok && other != mac {
		delete(p.byMAC, other)
	}
	p.byMAC[mac] = l
	p.byAddr[l.Addr] = mac
}

func (p *Pool) unset(mac string) {
	if l, ok := p.byMAC[mac]; ok {
		delete(p.byMAC, mac)
		delete(p.byAddr, l.Addr)
	}
}

// free reports whether the address may be given to mac.
func (p *Pool) free(a netip.Addr, mac string) bool {
	if !p.rng.contains(a) || p.avoid[a] {
		return false
	}
	owner, taken := p.byAddr[a]
	return !taken || owner == mac || !p.byMAC[owner].Until.After(p.now())
}

// Offer chooses an address and holds it for a minute.
func (p *Pool) Offer(mac string, wanted netip.Addr) (netip.Addr, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.byMAC[mac]; ok && p.free(l.Addr, mac) {
		if until := p.now().Add(offerHold); l.Until.Before(until) {
			p.set(mac, lease{Addr: l.Addr, Until: until})
		}
		return l.Addr, nil
	}
	a, ok := p.choose(mac, wanted)
	if !ok {
		return netip.Addr{}, fmt.Errorf("no address is free in DHCP range %v for %s: widen --dhcp-range", p.rng, mac)
	}
	p.set(mac, lease{Addr: a, Until: p.now().Add(offerHold)})
	return a, nil
}

// choose prefers the wanted address, then one that nobody ever had, from a place in the range that is the machine's
// own, then one whose lease is over.
func (p *Pool) choose(mac string, wanted netip.Addr) (netip.Addr, bool) {
	if wanted.IsValid() && p.free(wanted, mac) {
		return wanted, true
	}
	n := p.rng.size()
	first, start := addrToUint(p.rng.First), hash(mac)%n
	var over netip.Addr
	for i := range n {
		a := uintToAddr(first + (start+i)%n)
		if !p.free(a, mac) {
			continue
		}
		if _, had := p.byAddr[a]; !had {
			return a, true
		}
		if !over.IsValid() {
			over = a
		}
	}
	return over, over.IsValid()
}

// Commit makes the address the machine's for a lease time; durable when it returns. An address that may not be the
// machine's is an error whose text is fit for the client.
func (p *Pool) Commit(ctx context.Context, mac string, a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.free(a, mac) {
		return fmt.Errorf("address %v is not yours to use", a)
	}
	old, had := p.byMAC[mac]
	until := p.now().Add(p.time)
	// One boot makes three exchanges within a minute: only the first needs the disk.
	if had && old.Addr == a && until.Sub(old.Until) < p.time/8 && until.After(old.Until) {
		return nil
	}
	// The previous, expired owner's lease goes with the same write.
	owner := p.byAddr[a]
	l := lease{Addr: a, Until: until}
	err := p.store.Update(ctx, func(tx state.WriteTx) error {
		if owner != "" && owner != mac {
			if err := tx.Delete(leasePrefix + owner); err != nil {
				return err
			}
		}
		return state.PutJSON(tx, leasePrefix+mac, l)
	})
	if err != nil {
		return fmt.Errorf("lease could not be stored: %w", err)
	}
	p.set(mac, l)
	return nil
}

// Forget drops an offer that the machine did not take up.
func (p *Pool) Forget(mac string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, ok := p.byMAC[mac]; ok && l.Until.Before(p.now().Add(offerHold+time.Second)) {
		p.unset(mac)
	}
}

// Release ends the lease; the address stays the machine's favourite as long as nobody else needs it.
func (p *Pool) Release(ctx context.Context, mac string, a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.byMAC[mac]
	if !ok || l.Addr != a {
		return nil
	}
	l.Until = p.now()
	if err := p.store.Update(ctx, func(tx state.WriteTx) error { return state.PutJSON(tx, leasePrefix+mac, l) }); err != nil {
		return fmt.Errorf("release of %v by %s: %w", a, mac, err)
	}
	p.set(mac, l)
	return nil
}

// Decline sets an address aside that the machine found in use by another.
func (p *Pool) Decline(ctx context.Context, mac string, a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.byMAC[mac]
	if !ok || l.Addr != a {
		return nil
	}
	p.unset(mac)
	// Held by nobody's hardware address; not stored, for after a restart the machine will find out again.
	p.set("declined "+a.String(), lease{Addr: a, Until: p.now().Add(declineHold)})
	if err := p.store.Update(ctx, func(tx state.WriteTx) error { return tx.Delete(leasePrefix + mac) }); err != nil {
		return fmt.Errorf("decline of %v by %s: %w", a, mac, err)
	}
	return nil
}

// MAC returns whose address it is.
func (p *Pool) MAC(a netip.Addr) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mac, ok := p.byAddr[a]
	return mac, ok && !strings.HasPrefix(mac, "declined")
}
