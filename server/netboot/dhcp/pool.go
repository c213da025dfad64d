package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/diskcast/diskcast/server/store"
)

// lease is one address given to one hardware address; its JSON is the value of "lease/<mac>".
type lease struct {
	Addr  netip.Addr    `json:"addr"`
	Until time.Time     `json:"until"`
	From  time.Time     `json:"from,omitzero"` // when it was last given
	Term  time.Duration `json:"term,omitempty"`
	offer bool          // not taken up yet, and not stored
}

const (
	offerHold    = time.Minute      // an offered address is kept for the one it was offered to
	firstTerm    = 10 * time.Minute // of a lease to a machine that nothing is known of; doubles with each renewal
	declineHold  = time.Hour        // an address that a machine found in use is set aside
	conflictHold = 10 * time.Minute // the same, where the server found it, which it does again in no time
	maxProbes    = 128              // addresses that are looked at for unknown machines at once
	fullRest     = 200 * time.Millisecond
	leasePrefix  = "lease/"

	// Writes to the disk that unknown machines may cause: so many at once, as when a lab is switched on, and then so
	// many a second.
	writesAtOnce = 1000
	writesASec   = 50
)

// Pool gives addresses by hardware address. A machine gets the address it had before, whenever that is possible.
//
// An address is given in three steps, so that nothing waits while the LAN is asked who uses it: Propose or Reserve
// chooses one, Confirm makes it an offer (or InUse sets it aside), and Commit makes the offer a lease.
type Pool struct {
	cfg   PoolConfig
	avoid map[netip.Addr]bool // the server's own address and the LAN's two ends

	mu       sync.Mutex
	byMAC    map[string]lease // leases and, not stored, offers
	byAddr   map[netip.Addr]string
	stored   map[netip.Addr]string // the MAC whose stored lease is of the address
	storedAt map[string]netip.Addr // the same, by MAC
	pending  map[netip.Addr]string // chosen for a MAC; somebody asks the LAN
	conflict map[netip.Addr]conflict
	alive    map[netip.Addr]time.Time // answered when it was to be reclaimed: until when it is left alone
	fullAt   time.Time                // an unknown machine got nothing
	short    time.Time                // an address had to be reclaimed, or there was none
	warned   time.Time
	giving   map[string]*group     // leases that are being stored, by MAC
	given    map[netip.Addr]string // the same, by address
	next     *group                // that is stored next; nil: nothing is to be
	storing  bool                  // storeAll runs
	writes   float64               // that unknown machines may still cause, at wroteAt
	wroteAt  time.Time
}

// conflict is an address that is used by a machine that it was not given to.
type conflict struct {
	until    time.Time
	by       string // the MAC that answered; of a decline, the one that found it
	declined bool
}

// PoolConfig is what a Pool is made from.
type PoolConfig struct {
	Store  store.Store
	Range  Range
	Server netip.Prefix  // never given
	Term   time.Duration // of the lease of a known machine
	// Known reports whether the machine has done more than ask for addresses: it booted from this server. May be nil:
	// none has.
	Known func(mac string) bool
	Log   *slog.Logger     // may be nil
	Now   func() time.Time // may be nil
}

// NewPool reads the leases that the store holds.
func NewPool(ctx context.Context, cfg PoolConfig) (*Pool, error) {
	if cfg.Term < minLease {
		return nil, fmt.Errorf("DHCP lease time %v is shorter than %v", cfg.Term, minLease)
	}
	if cfg.Known == nil {
		cfg.Known = func(string) bool { return false }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Pool{cfg: cfg, avoid: map[netip.Addr]bool{cfg.Server.Addr(): true}, byMAC: map[string]lease{},
		byAddr: map[netip.Addr]string{},
		stored: map[netip.Addr]string{}, storedAt: map[string]netip.Addr{}, pending: map[netip.Addr]string{},
		conflict: map[netip.Addr]conflict{},
		alive:    map[netip.Addr]time.Time{}, giving: map[string]*group{}, given: map[netip.Addr]string{},
		writes: writesAtOnce, wroteAt: cfg.Now()}
	for _, a := range noHosts(cfg.Server) {
		p.avoid[a] = true
	}
	if err := p.distrust(ctx); err != nil {
		return nil, err
	}
	err := cfg.Store.View(ctx, func(tx store.Tx) error {
		return tx.Walk(leasePrefix, func(key string, _ []byte) error {
			var l lease
			if err := store.GetJSON(tx, key, &l); err != nil {
				return err
			}
			p.load(strings.TrimPrefix(key, leasePrefix), l)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read DHCP leases: %w", err)
	}
	return p, nil
}

func (p *Pool) load(mac string, l lease) {
	if !p.cfg.Range.Contains(l.Addr) || p.avoid[l.Addr] {
		return
	}
	if l.Term <= 0 || l.From.IsZero() { // written before leases had terms
		l.Term, l.From = p.cfg.Term, l.Until.Add(-p.cfg.Term)
	}
	if other, ok := p.byAddr[l.Addr]; ok && p.byMAC[other].Until.After(l.Until) {
		return
	}
	p.set(mac, l)
	p.isStored(mac, l.Addr)
}

// isStored notes of which address the machine's stored lease is; of an invalid one, that it has none.
func (p *Pool) isStored(mac string, a netip.Addr) {
	if old, had := p.storedAt[mac]; had && p.stored[old] == mac {
		delete(p.stored, old)
	}
	delete(p.storedAt, mac)
	if a.IsValid() {
		p.stored[a], p.storedAt[mac] = mac, a
	}
}

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
	if !p.cfg.Range.Contains(a) || p.avoid[a] {
		return false
	}
	now := p.cfg.Now()
	if m, going := p.given[a]; going && m != mac || p.conflict[a].until.After(now) {
		return false
	}
	owner, taken := p.byAddr[a]
	taken = taken && p.byMAC[owner].Until.After(now)
	if taken {
		return owner == mac // also while it is about to be reclaimed
	}
	m, chosen := p.pending[a]
	return !chosen || m == mac
}

// has reports whether the address is the machine's now, offered or leased.
func (p *Pool) has(mac string, a netip.Addr) bool {
	l, ok := p.byMAC[mac]
	return ok && l.Addr == a && l.Until.After(p.cfg.Now()) && p.free(a, mac)
}

// Why a machine is not given an address.
var (
	errBusy = errors.New("too many unknown machines ask for addresses at once; this one may ask again")
	errFull = errors.New("no address is free")
	errUsed = errors.New("all in use by other machines")
)

// Propose chooses an address for a machine. With ask, nobody has looked yet whether somebody uses it: Confirm or InUse
// must follow. Without, it is the machine's already.
func (p *Pool) Propose(mac string, wanted netip.Addr) (a netip.Addr, ask bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.cfg.Now()
	l, had := p.byMAC[mac]
	if had && p.has(mac, l.Addr) {
		delete(p.pending, l.Addr) // whoever was to have it looks elsewhere
		if hold := now.Add(offerHold); l.Until.Before(hold) {
			l.Until = hold
			p.set(mac, l)
		}
		return l.Addr, false, nil
	}
	known := p.cfg.Known(mac)
	switch {
	case known:
	case len(p.pending) >= maxProbes:
		return netip.Addr{}, false, errBusy
	case now.Sub(p.fullAt) < fullRest:
		return netip.Addr{}, false, p.full(mac) // the range need not be searched for each packet of a flood
	}
	ok := had && p.free(l.Addr, mac)
	if a = l.Addr; !ok {
		a, ok = p.choose(mac, wanted)
	}
	if !ok {
		a, ok = p.reclaim(known)
		p.isShort()
	}
	if !ok {
		if !known {
			p.fullAt = now
		}
		return netip.Addr{}, false, p.full(mac)
	}
	p.pending[a] = mac
	return a, true, nil
}

func (p *Pool) full(mac string) error {
	return fmt.Errorf("%w in DHCP range %v for %s: widen --dhcp-range, or see `diskcast lease list` for who holds them",
		errFull, p.cfg.Range, mac)
}

// Reserve is Propose for one address only, which the machine says it has or had.
func (p *Pool) Reserve(mac string, a netip.Addr) (ask bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.free(a, mac):
		return false, notYours(a)
	case p.has(mac, a):
		return false, nil
	case len(p.pending) >= maxProbes && !p.cfg.Known(mac):
		return false, errBusy
	}
	p.pending[a] = mac
	return true, nil
}

func notYours(a netip.Addr) error { return fmt.Errorf("address %v is not yours to use", a) }

// choose prefers the wanted address, then one that nobody ever had, from a place in the range that is the machine's
// own, then one whose lease is over.
func (p *Pool) choose(mac string, wanted netip.Addr) (netip.Addr, bool) {
	if wanted.IsValid() && p.free(wanted, mac) {
		return wanted, true
	}
	n := p.cfg.Range.size()
	first, start := addrToUint(p.cfg.Range.First), hash(mac)%n
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

// Confirm offers a chosen address, that nobody uses, to the machine it was chosen for. It fails if the address was
// taken meanwhile.
func (p *Pool) Confirm(mac string, a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending[a] == mac {
		delete(p.pending, a)
	} else if !p.has(mac, a) { // the same machine asked twice, and the first was quicker
		return notYours(a)
	}
	now := p.cfg.Now()
	if p.has(mac, a) {
		return nil
	}
	if owner, ok := p.byAddr[a]; ok && owner != mac && p.byMAC[owner].Until.After(now) &&
		p.rank(owner, p.byMAC[owner], true) < 0 {
		return notYours(a)
	}
	delete(p.conflict, a)
	p.set(mac, lease{Addr: a, Until: now.Add(offerHold), From: now, offer: true})
	return nil
}

// InUse sets a chosen address aside: another machine answers for it.
func (p *Pool) InUse(mac string, a netip.Addr, by string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending[a] == mac {
		delete(p.pending, a)
	}
	now := p.cfg.Now()
	if owner, ok := p.byAddr[a]; ok && owner != mac && p.byMAC[owner].Until.After(now) {
		p.alive[a] = now.Add(conflictHold) // it was to be reclaimed, and is in use as it should be
		return
	}
	p.cfg.Log.Warn("an address of the DHCP range is in use by a machine that it was not given to; it is set aside",
		"addr", a, "by", by, "for", conflictHold)
	p.aside(a, conflict{until: now.Add(conflictHold), by: by})
}

// Cancel gives a chosen address up about which the LAN could not be asked.
func (p *Pool) Cancel(mac string, a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending[a] == mac {
		delete(p.pending, a)
	}
}

func (p *Pool) aside(a netip.Addr, c conflict) {
	if owner, ok := p.byAddr[a]; ok {
		p.unset(owner)
	}
	p.conflict[a] = c
}

// Commit makes the address the machine's, and returns for how long; durable when it returns. An address that may not be
// the machine's is an error whose text is fit for the client.
func (p *Pool) Commit(ctx context.Context, mac string, a netip.Addr) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled(mac)
	if !p.free(a, mac) {
		return 0, notYours(a)
	}
	now := p.cfg.Now()
	old, had := p.byMAC[mac]
	l := lease{Addr: a, From: now, Term: p.term(mac, old, had && old.Addr == a)}
	l.Until = now.Add(l.Term)
	// One boot makes three exchanges within a minute: only the first needs the disk.
	if had && !old.offer && old.Addr == a && old.Term == l.Term && l.Until.Sub(old.Until) < l.Term/8 &&
		old.Until.After(now) {
		delete(p.pending, a)
		return old.Until.Sub(now), nil
	}
	if !p.mayWrite(mac) {
		return 0, errBusy
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if err := p.store(mac, l); err != nil {
		return 0, fmt.Errorf("lease could not be stored: %w", err)
	}
	return l.Term, nil
}

// mayWrite reports whether the store may be written for a machine now, for each write holds all others up.
func (p *Pool) mayWrite(mac string) bool {
	if p.cfg.Known(mac) {
		return true
	}
	now := p.cfg.Now()
	p.writes = min(writesAtOnce, p.writes+now.Sub(p.wroteAt).Seconds()*writesASec)
	p.wroteAt = now
	if p.writes < 1 {
		return false
	}
	p.writes--
	return true
}

// keep takes note that the lease is the one stored for the machine.
func (p *Pool) keep(mac string, l lease) {
	p.set(mac, l)
	p.isStored(mac, l.Addr)
}

// first is the term of a first lease.
func (p *Pool) first() time.Duration { return min(firstTerm, p.cfg.Term/2) }

// term is how long a lease is given for: to a known machine the whole time, to another a short one, which grows as it
// is used.
func (p *Pool) term(mac string, old lease, same bool) time.Duration {
	switch {
	case p.cfg.Known(mac):
		return p.cfg.Term
	case !same || old.offer || !old.Until.After(p.cfg.Now()):
		return p.first()
	case p.cfg.Now().Sub(old.From) >= old.Term*3/8: // renewals come at the half, some a little early
		return min(2*old.Term, p.cfg.Term)
	}
	return min(old.Term, p.cfg.Term)
}

// Term is how long a lease the machine would get now.
func (p *Pool) Term(mac string) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, had := p.byMAC[mac]
	return p.term(mac, l, had)
}

// Forget drops an offer that the machine did not take up.
func (p *Pool) Forget(mac string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byMAC[mac].offer {
		p.unset(mac)
	}
}

// Release ends the lease; the address stays the machine's favourite as long as nobody else needs it.
func (p *Pool) Release(ctx context.Context, mac string, a netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled(mac)
	l, ok := p.byMAC[mac]
	if !ok || l.Addr != a {
		return nil
	}
	if l.offer {
		p.unset(mac)
		return nil
	}
	if !p.mayWrite(mac) {
		return errBusy
	}
	l.Until = p.cfg.Now()
	if err := p.cfg.Store.Update(ctx,
		func(tx store.WriteTx) error { return store.PutJSON(tx, leasePrefix+mac, l) }); err != nil {
		return fmt.Errorf("release of %v by %s: %w", a, mac, err)
	}
	p.keep(mac, l)
	return nil
}

// Decline sets an address aside that the machine found in use by another, and reports whether it was the machine's at
// all.
func (p *Pool) Decline(ctx context.Context, mac string, a netip.Addr) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settled(mac)
	l, ok := p.byMAC[mac]
	if !ok || l.Addr != a {
		return false, nil
	}
	if !l.offer && !p.mayWrite(mac) {
		return false, errBusy
	}
	// Not stored, for after a restart the server or the machine will find out again.
	p.aside(a, conflict{until: p.cfg.Now().Add(declineHold), by: mac, declined: true})
	if err := p.drop(ctx, mac); err != nil {
		return true, fmt.Errorf("decline of %v by %s: %w", a, mac, err)
	}
	return true, nil
}

// drop removes a machine's stored lease, if it has one.
func (p *Pool) drop(ctx context.Context, mac string) error {
	err := p.cfg.Store.Update(ctx, func(tx store.WriteTx) error { return tx.Delete(leasePrefix + mac) })
	if err != nil {
		return err
	}
	p.isStored(mac, netip.Addr{})
	return nil
}

// MAC returns whose address it is.
func (p *Pool) MAC(a netip.Addr) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mac, ok := p.byAddr[a]
	return mac, ok
}
