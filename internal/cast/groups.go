package cast

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/sock"
)

// DefaultGroups is where groups are taken from unless a site says otherwise: the organisation-local scope of RFC 2365.
var DefaultGroups = netip.MustParsePrefix("239.192.0.0/16")

// DefaultGroups6 is the same for IPv6: groups of the site-local scope that nobody assigned (RFC 4291, 2.7).
var DefaultGroups6 = netip.MustParsePrefix("ff15::dc00:0:0/96")

// Groups hands out group addresses and ports so that no two casts of this process share one, and none is one that
// another server on the LAN is heard to use.
type Groups struct {
	prefix   netip.Prefix
	low, num int // ports
	listen   time.Duration

	mu   sync.Mutex
	used map[netip.Addr]bool
}

// NewGroups makes an allocator of groups within prefix and of ports low to high.
func NewGroups(prefix netip.Prefix, low, high uint16) (*Groups, error) {
	prefix = prefix.Masked()
	if !prefix.IsValid() || !prefix.Addr().IsMulticast() {
		return nil, fmt.Errorf("cast: %v is no range of multicast groups: name one such as %v", prefix, DefaultGroups)
	}
	if low == 0 || high < low {
		return nil, fmt.Errorf("cast: ports %d-%d are no range", low, high)
	}
	return &Groups{
		prefix: prefix, low: int(low), num: int(high) - int(low) + 1, used: map[netip.Addr]bool{},
		// A cast that waits announces itself every 400 ms: one of two may be lost or late.
		listen: 900 * time.Millisecond,
	}, nil
}

// LastGroup is the last group of a prefix: the one by which is looked whether multicast arrives.
func LastGroup(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// Take returns a group that is free. It joins it on the interface for a moment, to hear whether somebody uses it
// already.
func (g *Groups) Take(ctx context.Context, ifi *net.Interface) (netip.AddrPort, error) {
	busy := map[netip.Addr]bool{}
	for range 64 {
		group, ok := g.pick()
		if !ok {
			continue
		}
		if busy[group.Addr()] {
			g.Release(group)
			continue
		}
		heard, err := g.heard(ctx, group, ifi)
		if err == nil && !heard {
			return group, nil
		}
		busy[group.Addr()] = true
		g.Release(group)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("cast: trying group %v on %s: %w", group, ifi.Name, err)
		}
	}
	return netip.AddrPort{}, fmt.Errorf("cast: no free group in %v: 64 were tried; configure a larger range", g.prefix)
}

// Release gives a group back.
func (g *Groups) Release(group netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.used, group.Addr())
}

// pick chooses a group at random, which is what keeps servers that do not know of each other apart most of the time.
func (g *Groups) pick() (netip.AddrPort, bool) {
	b := g.prefix.Addr().As16()
	r := rand.Uint64()
	bits := g.prefix.Addr().BitLen() - g.prefix.Bits()
	low := binary.BigEndian.Uint64(b[8:])
	if bits < 64 {
		r &= 1<<bits - 1
	}
	if g.prefix.Addr().Is4() {
		r &= 1<<32 - 1
	}
	binary.BigEndian.PutUint64(b[8:], low|r)
	addr := netip.AddrFrom16(b)
	if g.prefix.Addr().Is4() {
		addr = addr.Unmap()
		// Groups whose low 23 bits are those of 224.0.0.0/24 and 224.0.1.0/24 share their Ethernet address, which
		// switches flood everywhere.
		if a := addr.As4(); a[1]&0x7f == 0 && a[2] < 2 {
			return netip.AddrPort{}, false
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.used[addr] {
		return netip.AddrPort{}, false
	}
	g.used[addr] = true
	return netip.AddrPortFrom(addr, uint16(g.low+rand.IntN(g.num))), true
}

// heard joins a group and says whether anything was sent to it, on that port, for a moment.
func (g *Groups) heard(ctx context.Context, group netip.AddrPort, ifi *net.Interface) (bool, error) {
	m, err := sock.Listen(group, ifi, false)
	if err != nil {
		return false, err
	}
	defer m.Close()
	if err := m.Join(true); err != nil {
		return false, err
	}
	stop := context.AfterFunc(ctx, func() { m.Close() })
	defer stop()
	for {
		end := time.Now().Add(g.listen)
		if err := m.SetDeadline(end); err != nil {
			return false, err
		}
		_, err = m.Receive(func([]byte, netip.Addr) {})
		// A machine that stood still meanwhile has not listened.
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(end) < g.listen/8 {
			break
		}
	}
	switch {
	case err == nil:
		return true, nil
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, nil
	}
	return false, err
}

// links are the NICs that casts of this process leave by.
var links struct {
	sync.Mutex
	m map[string]*core.LinkShare
}

// linkOf returns what the casts that leave by ifi share. NICs are told apart by their addresses, since namespaces
// repeat names and numbers.
func linkOf(ifi *net.Interface) *core.LinkShare {
	links.Lock()
	defer links.Unlock()
	if links.m == nil {
		links.m = map[string]*core.LinkShare{}
	}
	key := ifi.HardwareAddr.String() + ifi.Name
	l := links.m[key]
	if l == nil {
		l = &core.LinkShare{}
		links.m[key] = l
	}
	return l
}
