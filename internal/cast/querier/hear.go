package querier

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
)

// Hear returns the address that the first IGMP query heard on the interface comes from, of another host than this one;
// it is 0.0.0.0 of a switch that asks as a proxy. It ends with ctx, whose error it returns then.
//
// It joins the group, which nobody else uses, and says that it leaves: a querier asks at once whether somebody stays
// (RFC 2236, 3), and need not be waited for. It needs CAP_NET_RAW.
func Hear(ctx context.Context, name string, group netip.Addr) (netip.Addr, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("listening for a querier on %s: %w", name, err)
	}
	from, err := hear(ctx, ifi, group)
	if ctx.Err() != nil {
		return netip.Addr{}, ctx.Err()
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("listening for a querier on %s: %w", name, err)
	}
	return from, nil
}

func hear(ctx context.Context, ifi *net.Interface, group netip.Addr) (netip.Addr, error) {
	local, err := address(ifi)
	if err != nil {
		return netip.Addr{}, err
	}
	c, err := net.ListenPacket("ip4:igmp", "0.0.0.0")
	if err != nil {
		return netip.Addr{}, err
	}
	raw, err := ipv4.NewRawConn(c)
	if err != nil {
		c.Close()
		return netip.Addr{}, err
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	q := &Querier{ifi: ifi}
	if err := q.join(raw); err != nil {
		return netip.Addr{}, err
	}
	if err := raw.JoinGroup(ifi, &net.IPAddr{IP: group.AsSlice()}); err != nil {
		return netip.Addr{}, err
	}
	if err := q.sendTo(raw, local, net.IPv4allrouter, leaving(group)); err != nil {
		return netip.Addr{}, err
	}
	buf := make([]byte, 1<<16)
	for {
		h, body, cm, err := raw.ReadFrom(buf)
		if err != nil {
			return netip.Addr{}, err
		}
		src, ok := netip.AddrFromSlice(h.Src)
		if src = src.Unmap(); ok && src != local && isQuery(body) && (cm == nil || cm.IfIndex == ifi.Index) {
			return src, nil
		}
	}
}

// leaving is the body of an IGMP message of a member that leaves the group: RFC 2236 section 2.
func leaving(group netip.Addr) []byte {
	b := make([]byte, 8)
	b[0] = leaveGroup
	copy(b[4:], group.AsSlice())
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

// isQuery says whether an IGMP message asks, for all groups or for one.
func isQuery(b []byte) bool {
	return len(b) >= 8 && b[0] == 0x11 && checksum(b[:len(b)&^1]) == 0
}
