package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Anybody on the LAN can say hello in as many names as he likes. A stranger is a node of which the server knows no more
// than that: it did not fetch a kernel here, it never worked for a session, and none names it. There are few of them at
// once, they come slowly, and they go.
const (
	maxStrangers    = 2048           // the one that was not heard for longest goes first
	strangerLife    = 24 * time.Hour // without a word
	strangerRing    = 64             // events kept of one
	strangerMessage = 512            // bytes of an event's message
	maxStranger     = 16 << 10       // bytes of its inventory as JSON

	// New nodes from one address, and from one prefix of addresses: at once, and then a second.
	addrBurst, addrRate     = 16.0, 0.2
	prefixBurst, prefixRate = 1024.0, 4.0
	maxPlaces               = 65536 // addresses and prefixes that are remembered

	pushedEvery = time.Hour // how often it is said that who only asks for an address is forgotten
)

// ErrCrowd says that new nodes come faster than they can be real.
var ErrCrowd = errors.New("too many new machines come at once: ask again")

// Bounds of an inventory's lists.
const (
	maxDisks    = 256
	maxNICs     = 32
	maxNICAddrs = 8
	maxUndriven = 16
)

// trim cuts the lists of an inventory, and says which were too long; empty for none. The NIC that the node booted from
// stays.
func trim(inv *session.Inventory) string {
	slices.SortStableFunc(inv.NICs, func(a, b session.NIC) int {
		switch {
		case a.Boot == b.Boot:
			return 0
		case a.Boot:
			return -1
		}
		return 1
	})
	words := ""
	cut := func(what string, n, limit int) bool {
		if n > limit {
			words = also(words, fmt.Sprintf("its hello lists %d %s, and the first %d are kept", n, what, limit))
		}
		return n > limit
	}
	if cut("disks", len(inv.Disks), maxDisks) {
		inv.Disks = slices.Clone(inv.Disks[:maxDisks])
	}
	if cut("network cards", len(inv.NICs), maxNICs) {
		inv.NICs = slices.Clone(inv.NICs[:maxNICs])
	}
	if cut("controllers without a driver", len(inv.Undriven), maxUndriven) {
		inv.Undriven = slices.Clone(inv.Undriven[:maxUndriven])
	}
	for i := range inv.NICs {
		if a := &inv.NICs[i].Addrs; cut("addresses of a network card", len(*a), maxNICAddrs) {
			*a = slices.Clone((*a)[:maxNICAddrs])
		}
	}
	return words
}

// place is how many new nodes an address, or a prefix, may still bring.
type place struct {
	left float64
	at   time.Time
}

// crowd bounds how fast new nodes come.
type crowd struct {
	addrs, prefixes map[netip.Prefix]*place
	refused         int       // since it was said
	said            time.Time // that hellos are refused
	pushed          int       // who asked for an address only and were forgotten, since that was said
	pushedSaid      time.Time
}

func newCrowd() crowd {
	return crowd{addrs: map[netip.Prefix]*place{}, prefixes: map[netip.Prefix]*place{}}
}

// take reports whether the place may bring one more, and counts it.
func take(m map[netip.Prefix]*place, p netip.Prefix, burst, rate float64, now time.Time) bool {
	s := m[p]
	if s == nil {
		if len(m) >= maxPlaces {
			for k, v := range m {
				if v.left+rate*now.Sub(v.at).Seconds() >= burst {
					delete(m, k)
				}
			}
			if len(m) >= maxPlaces {
				return false
			}
		}
		s = &place{left: burst, at: now}
		m[p] = s
	}
	s.left = min(burst, s.left+rate*now.Sub(s.at).Seconds())
	s.at = now
	if s.left < 1 {
		return false
	}
	s.left--
	return true
}

// admit reports whether a new node may come from the address. One that fetched a kernel here is not held up by its
// neighbours.
func (c *crowd) admit(from netip.Addr, booted bool, now time.Time) bool {
	if !from.IsValid() || from.IsLoopback() {
		return true
	}
	bits := 24
	if from.Is6() {
		bits = 64
	}
	prefix, err := from.WithZone("").Prefix(bits)
	if err != nil || !take(c.addrs, netip.PrefixFrom(from.WithZone(""), from.BitLen()), addrBurst, addrRate, now) {
		return false
	}
	return booted || take(c.prefixes, prefix, prefixBurst, prefixRate, now)
}

// admit refuses a hello that would make one node too many. What it counts is said in the log at once, and then once a
// minute.
func (e *Engine) admit(macs []string, inv *session.Inventory, from netip.Addr) error {
	n := e.nodes[e.byMAC[macs[0]]]
	booted, wanted := n != nil && n.Booted, e.wantedByName(nameOf(macs[0]))
	if !booted && !wanted && (n == nil || e.stranger(n)) {
		if !within(inv, maxStranger) {
			return refuse("inventory is larger than %d bytes, which is taken only from a machine that boots from "+
				"this server or has a session", maxStranger)
		}
	}
	if n != nil && (n.Boot != "" && n.MACs[0] == macs[0] || n.dmi().same(dmiOf(inv))) {
		return nil // it is known
	}
	why := ""
	switch now := e.now(); {
	case !wanted && !e.crowd.admit(from, booted, now):
		why = "new machines come too fast from its address or its neighbours"
	case !booted && !wanted && !e.roomForStranger(now):
		why = fmt.Sprintf("%d machines that never did anything wait here", maxStrangers)
	case len(e.nodes) >= doc.MaxNodes && !e.pushOut(now):
		return refuse("this server knows %d nodes already; `diskcast node forget` removes one", len(e.nodes))
	default:
		return nil
	}
	c := &e.crowd
	c.refused++
	if now := e.now(); c.said.IsZero() || now.Sub(c.said) >= time.Minute {
		e.log.Warn("hellos of new machines are refused", "hellos", c.refused, "last", from, "why", why)
		c.refused, c.said = 0, now
	}
	return fmt.Errorf("%w (%s)", ErrCrowd, why)
}

// wantedByName reports whether a session that is not over has a part of that name.
func (e *Engine) wantedByName(id string) bool {
	for _, sid := range e.jobs.Order() {
		if s := e.jobs.Session(sid); !s.Over() && (s.Parts[id] != nil || slices.Contains(s.Spec.Nodes, id)) {
			return true
		}
	}
	return false
}

// stranger reports whether the server knows of the node only what its hello said.
func (e *Engine) stranger(n *node) bool {
	return n.Boot != "" && !n.Booted && !n.Worked && n.Session == "" && !e.entered(n) && !e.wantedByName(n.ID)
}

func (e *Engine) roomForStranger(now time.Time) bool {
	count := 0
	for _, n := range e.nodes {
		if n.Boot != "" && !n.Booted {
			count++ // at most: those with sessions are told apart only when it is close
		}
	}
	if count < maxStrangers {
		return true
	}
	count = 0
	for _, n := range e.nodes {
		if e.stranger(n) {
			count++
		}
	}
	return count < maxStrangers || e.pushOut(now)
}

// pushOut forgets the stranger that was not heard for longest, and reports whether there is one. One that is there
// stays.
func (e *Engine) pushOut(now time.Time) bool {
	var oldest *node
	for _, n := range e.nodes {
		if now.Sub(n.LastSeen) >= presence && (oldest == nil || n.LastSeen.Before(oldest.LastSeen)) && e.stranger(n) {
			oldest = n
		}
	}
	if oldest == nil {
		return false
	}
	e.removeNode(oldest)
	return true
}

// expire forgets strangers, and who only asked for an address, that were not heard for a day.
func (e *Engine) expire() {
	now := e.now()
	if now.Sub(e.expired) < time.Minute {
		return
	}
	e.expired = now
	for _, n := range e.nodes {
		if now.Sub(later(n.LastSeen, e.began)) >= strangerLife && (e.stranger(n) || e.stub(n)) {
			e.log.Info("a machine that never did anything was not heard for a day; it is forgotten", "node", n.ID,
				"addr", n.Addr)
			e.removeNode(n)
		}
	}
}
