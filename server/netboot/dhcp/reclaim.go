package dhcp

import (
	"fmt"
	"net/netip"
	"time"
)

// How long an offer and a first lease are left to an unknown machine when another unknown one finds the range full. A
// known machine does not wait.
const (
	offerPatience = 10 * time.Second
	leasePatience = time.Minute
)

// warnEvery is how often the log says that the range runs out; shortFor is how long the operator's view does.
const (
	warnEvery = 5 * time.Minute
	shortFor  = 15 * time.Minute
)

// reclaim finds the address that can best be taken from whom it was given to, provided that nobody answers for it: of
// an offer before a first lease, before an address that was declined and, for a known machine only, before a lease that
// was renewed; the oldest first. What a known machine holds is never taken.
func (p *Pool) reclaim(known bool) (netip.Addr, bool) {
	now := p.cfg.Now()
	var best netip.Addr
	var bestAt time.Time
	bestRank := -1
	consider := func(a netip.Addr, rank int, at time.Time) {
		_, going := p.given[a]
		if _, busy := p.pending[a]; busy || going || rank < 0 || p.alive[a].After(now) {
			return
		}
		if bestRank < 0 || rank < bestRank || rank == bestRank &&
			(at.Before(bestAt) || at.Equal(bestAt) && a.Less(best)) {
			best, bestAt, bestRank = a, at, rank
		}
	}
	for mac, l := range p.byMAC {
		consider(l.Addr, p.rank(mac, l, known), l.From)
	}
	for a, c := range p.conflict {
		if c.declined {
			consider(a, rankDeclined, c.until)
		}
	}
	return best, bestRank >= 0
}

// Ranks of what may be reclaimed, the first first.
const (
	rankOffer = iota
	rankFirst
	rankDeclined
	rankRenewed
)

// rank says how soon a lease is reclaimed; negative is never.
func (p *Pool) rank(mac string, l lease, known bool) int {
	age := p.cfg.Now().Sub(l.From)
	switch {
	case p.cfg.Known(mac):
	case l.offer && (known || age >= offerPatience):
		return rankOffer
	case !l.offer && l.Term <= p.first() && (known || age >= leasePatience):
		return rankFirst
	case !l.offer && l.Term > p.first() && known:
		return rankRenewed
	}
	return -1
}

// isShort takes note that no address was free, and says so once in a while.
func (p *Pool) isShort() {
	now := p.cfg.Now()
	p.short = now
	if now.Sub(p.warned) >= warnEvery {
		p.warned = now
		p.cfg.Log.Warn("the DHCP range runs out", "range", p.cfg.Range.String(), "why", p.shortage())
	}
}

// shortage counts who holds the addresses.
func (p *Pool) shortage() string {
	now := p.cfg.Now()
	known, unknown, aside := 0, 0, 0
	for mac, l := range p.byMAC {
		switch {
		case !l.Until.After(now):
		case p.cfg.Known(mac):
			known++
		default:
			unknown++
		}
	}
	for _, c := range p.conflict {
		if c.until.After(now) {
			aside++
		}
	}
	return fmt.Sprintf("DHCP range %v is used up: of its %d addresses %d are held by machines that never booted from "+
		"this server, %d by known ones, "+
		"and %d are set aside because another machine uses them. Widen --dhcp-range if all these machines are yours; "+
		"else look for the switch port that they ask from (`diskcast lease list` has their MAC addresses)",
		p.cfg.Range, p.usable(), unknown, known, aside)
}

// usable is how many addresses the range has to give.
func (p *Pool) usable() int {
	n := int(p.cfg.Range.size())
	for a := range p.avoid {
		if p.cfg.Range.Contains(a) {
			n--
		}
	}
	return n
}
