// Package querier asks the hosts of a LAN which multicast groups they are members of, as a router would: IGMP (RFC
// 3376, RFC 2236) and MLD (RFC 3810).
//
// A switch with IGMP snooping forwards a group only to ports where it has heard a member, and forgets members that it
// does not hear again. Hosts report when they are asked. On a LAN without a multicast router nobody asks, so a group
// works for some minutes and then goes dead, or never works at all. A server that runs a Querier cures that. It keeps
// quiet while it hears another querier with a lower address, as RFC 3376 section 6.6.2 rules.
package querier

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sync/errgroup"
)

// Options are the settings of a querier. The zero value is good.
type Options struct {
	Version int // of IGMP: 3, or 2 for switches that know no other; 0 means 3
	// between queries; 0 means 60 s: half of RFC 3376's 125 s, since a node that boots should not wait
	Interval time.Duration
	NoMLD    bool // ask over IPv4 only
	NoIGMP   bool // ask over IPv6 only
	Log      *slog.Logger
}

// responseTime is how long hosts may take to answer: RFC 3376 section 8.3.
const responseTime = 10 * time.Second

// Querier asks on one interface.
type Querier struct {
	o   Options
	ifi *net.Interface
	log *slog.Logger

	mu    sync.Mutex
	other map[int]seen // by IP version: the querier that was heard
	sent  int
	after time.Time // when it was last asked who stays in a group
}

type seen struct {
	addr netip.Addr
	at   time.Time
}

// New makes a querier for the named interface.
func New(name string, o Options) (*Querier, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("querier on %s: %w", name, err)
	}
	if o.Version == 0 {
		o.Version = 3
	}
	if o.Version != 2 && o.Version != 3 {
		return nil, fmt.Errorf("querier on %s: IGMP version %d is not 2 or 3", name, o.Version)
	}
	if o.Interval == 0 {
		o.Interval = 60 * time.Second
	}
	q := &Querier{o: o, ifi: ifi, log: o.Log, other: map[int]seen{}}
	if q.log == nil {
		q.log = slog.New(slog.DiscardHandler)
	}
	return q, nil
}

// Other returns the address of another querier that was heard lately on the LAN and that this one leaves the work to;
// invalid if there is none.
func (q *Querier) Other() netip.Addr {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.alive(4)
}

// Sent is how many queries went out.
func (q *Querier) Sent() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.sent
}

// alive is the other querier of an IP version, if it was heard lately: RFC 3376 section 8.5.
func (q *Querier) alive(version int) netip.Addr {
	s := q.other[version]
	if s.addr.IsValid() && time.Since(s.at) < 2*max(q.o.Interval, 125*time.Second)+responseTime/2 {
		return s.addr
	}
	return netip.Addr{}
}

// Run asks until ctx ends. It needs CAP_NET_RAW.
func (q *Querier) Run(ctx context.Context) error {
	if q.o.NoIGMP {
		return q.runMLD(ctx)
	}
	local, err := address(q.ifi)
	if err != nil {
		return err
	}
	c, err := net.ListenPacket("ip4:igmp", "0.0.0.0")
	if err != nil {
		return fmt.Errorf("querier on %s: %w", q.ifi.Name, err)
	}
	raw, err := ipv4.NewRawConn(c)
	if err != nil {
		c.Close()
		return fmt.Errorf("querier on %s: %w", q.ifi.Name, err)
	}
	if err := q.join(raw); err != nil {
		raw.Close()
		return fmt.Errorf("querier on %s: %w", q.ifi.Name, err)
	}
	var mld *mldConn
	if !q.o.NoMLD {
		if mld, err = openMLD(q.ifi); err != nil {
			q.log.Info("no MLD querier", "interface", q.ifi.Name, "err", err)
		}
	}
	var eg errgroup.Group
	stop := context.AfterFunc(ctx, func() {
		raw.Close()
		if mld != nil {
			mld.close()
		}
	})
	defer stop()
	eg.Go(func() error { return q.listen(ctx, raw, local) })
	if mld != nil {
		eg.Go(func() error { return q.listenMLD(ctx, mld) })
	}
	eg.Go(func() error { return q.ask(ctx, raw, mld, local) })
	return eg.Wait()
}

// runMLD is Run over IPv6 alone.
func (q *Querier) runMLD(ctx context.Context) error {
	mld, err := openMLD(q.ifi)
	if err != nil {
		return fmt.Errorf("querier on %s: %w", q.ifi.Name, err)
	}
	stop := context.AfterFunc(ctx, mld.close)
	defer stop()
	var eg errgroup.Group
	eg.Go(func() error { return q.listenMLD(ctx, mld) })
	eg.Go(func() error { return q.ask(ctx, nil, mld, netip.Addr{}) })
	return eg.Wait()
}

func (q *Querier) join(raw *ipv4.RawConn) error {
	for _, group := range []net.IP{net.IPv4allsys, net.IPv4allrouter} { // queries, and those who leave
		if err := raw.JoinGroup(q.ifi, &net.IPAddr{IP: group}); err != nil {
			return err
		}
	}
	if err := raw.SetMulticastInterface(q.ifi); err != nil {
		return err
	}
	if err := raw.SetMulticastLoopback(false); err != nil {
		return err
	}
	return raw.SetControlMessage(ipv4.FlagInterface, true)
}

// ask sends general queries: three soon after the start (RFC 3376 section 8.6 and 8.7), then at the interval.
func (q *Querier) ask(ctx context.Context, raw *ipv4.RawConn, mld *mldConn, local netip.Addr) error {
	for i := 0; ; i++ {
		q.mu.Lock()
		four, six := !q.alive(4).IsValid(), !q.alive(6).IsValid()
		q.mu.Unlock()
		if four && raw != nil {
			if err := q.send(raw, local); err != nil && ctx.Err() == nil {
				q.log.Warn("IGMP query", "interface", q.ifi.Name, "err", err)
			}
		}
		if mld != nil && six {
			if err := mld.send(q.o.Interval); err != nil && ctx.Err() == nil {
				q.log.Warn("MLD query", "interface", q.ifi.Name, "err", err)
			}
		}
		wait := q.o.Interval
		if i < 2 {
			wait = min(wait/4, 5*time.Second)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (q *Querier) send(raw *ipv4.RawConn, local netip.Addr) error {
	return q.sendTo(raw, local, net.IPv4allsys, Query(q.o.Version, q.o.Interval))
}

func (q *Querier) sendTo(raw *ipv4.RawConn, local netip.Addr, to net.IP, body []byte) error {
	h := &ipv4.Header{
		Version: 4, Len: 24, TOS: 0xc0, TotalLen: 24 + len(body), TTL: 1, Protocol: 2,
		Src: local.AsSlice(), Dst: to,
		Options: []byte{0x94, 4, 0, 0}, // Router Alert, RFC 2113: snooping switches ignore messages without it
	}
	if err := raw.WriteTo(h, body, &ipv4.ControlMessage{IfIndex: q.ifi.Index}); err != nil {
		return err
	}
	q.mu.Lock()
	q.sent++
	q.mu.Unlock()
	return nil
}

// Query is the body of an IGMP general query.
func Query(version int, interval time.Duration) []byte {
	b := make([]byte, 8, 12)
	b[0] = 0x11
	b[1] = byte(responseTime / (100 * time.Millisecond))
	if version == 3 {
		b = append(b, 2, queryCode(interval), 0, 0) // robustness 2, no sources
	}
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

// queryCode is the interval in seconds as RFC 3376 section 4.1.7 codes it.
func queryCode(d time.Duration) byte {
	s := uint(d / time.Second)
	if s < 128 {
		return byte(s)
	}
	exp := uint(0)
	for s>>(exp+3) >= 32 && exp < 7 {
		exp++
	}
	return byte(0x80 | exp<<4 | min(s>>(exp+3), 31)&15)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// listen notes other queriers with a lower address.
func (q *Querier) listen(ctx context.Context, raw *ipv4.RawConn, local netip.Addr) error {
	buf := make([]byte, 1<<16)
	for {
		h, body, cm, err := raw.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("querier on %s: %w", q.ifi.Name, err)
		}
		if cm != nil && cm.IfIndex != q.ifi.Index {
			continue
		}
		src, ok := netip.AddrFromSlice(h.Src)
		src = src.Unmap()
		if group, leaves := leftGroup(body); leaves && ok && src != local {
			q.askAfter(raw, local, group)
			continue
		}
		if !ok || !IsGeneralQuery(body) || src == local {
			continue
		}
		// 0.0.0.0 is a switch's own proxy query: it takes no part in the election (RFC 4541 section 2.1.1).
		if src.IsUnspecified() || !src.Less(local) {
			continue
		}
		q.heard(4, src)
	}
}

func (q *Querier) heard(version int, src netip.Addr) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.alive(version).IsValid() {
		q.log.Info("another querier asks on this LAN", "interface", q.ifi.Name, "querier", src)
	}
	q.other[version] = seen{src, time.Now()}
}

// IsGeneralQuery says whether an IGMP message asks for all groups.
func IsGeneralQuery(b []byte) bool {
	return isQuery(b) && binary.BigEndian.Uint32(b[4:]) == 0
}

func address(ifi *net.Interface) (netip.Addr, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("querier on %s: %w", ifi.Name, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("querier on %s: the interface has no IPv4 address to ask from", ifi.Name)
}
