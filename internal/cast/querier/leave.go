package querier

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"
)

const (
	leaveGroup = 0x17
	// lastMember is how long hosts may take to say that they stay: RFC 2236 section 8.8 and RFC 3376 section 8.8.
	lastMember = time.Second
	// leaveEvery bounds how often who leaves is answered: anybody can say it.
	leaveEvery = 200 * time.Millisecond
)

// leftGroup is the group that a host says it leaves.
func leftGroup(b []byte) (netip.Addr, bool) {
	if len(b) < 8 || b[0] != leaveGroup || checksum(b[:len(b)&^1]) != 0 {
		return netip.Addr{}, false
	}
	group := netip.AddrFrom4([4]byte(b[4:8]))
	return group, group.IsMulticast()
}

// askAfter asks who stays in a group that a host left, as RFC 2236 section 3 has a querier do, unless another one asks.
func (q *Querier) askAfter(raw *ipv4.RawConn, local, group netip.Addr) {
	q.mu.Lock()
	now := time.Now()
	quiet := q.alive(4).IsValid() || now.Sub(q.after) < leaveEvery
	if !quiet {
		q.after = now
	}
	q.mu.Unlock()
	if quiet {
		return
	}
	if err := q.sendTo(raw, local, group.AsSlice(), QueryOf(q.o.Version, q.o.Interval, group)); err != nil {
		q.log.Debug("IGMP query of one group", "interface", q.ifi.Name, "group", group, "err", err)
	}
}

// QueryOf is the body of an IGMP query of one group.
func QueryOf(version int, interval time.Duration, group netip.Addr) []byte {
	b := Query(version, interval)
	b[1] = byte(lastMember / (100 * time.Millisecond))
	copy(b[4:8], group.AsSlice())
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}
