package solicit

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv6"
)

// Advertisement is what hosts of a LAN without a router are told of it (RFC 4861, 4.2). This server is no router of
// theirs: it only says what is on the link.
type Advertisement struct {
	Prefix  netip.Prefix // is on the link
	Managed bool         // addresses come by DHCPv6; else hosts make their own from the prefix
	DNS     []netip.Addr // RFC 8106
	MAC     net.HardwareAddr
}

// Times of an advertisement: how long what it says holds, how often it is said unasked, and how long is between two for
// all at least (MIN_DELAY_BETWEEN_RAS, RFC 4861, 10).
const (
	prefixValid     = 24 * time.Hour
	prefixPreferred = 4 * time.Hour
	advertiseEvery  = time.Minute
	advertisePause  = 3 * time.Second
)

// bytes is the message. The kernel fills the checksum in.
func (a *Advertisement) bytes() []byte {
	be := binary.BigEndian
	flags, prefixFlags := byte(0), byte(0x80|0x40) // on the link, and good for addresses of one's own
	if a.Managed {
		flags, prefixFlags = 0x80|0x40, 0x80 // addresses, and other things, by DHCPv6
	}
	b := append([]byte{byte(ipv6.ICMPTypeRouterAdvertisement), 0, 0, 0, 64, flags}, make([]byte, 10)...)
	if len(a.MAC) == 6 {
		b = append(append(b, 1, 1), a.MAC...)
	}
	b = append(b, 3, 4, byte(a.Prefix.Bits()), prefixFlags)
	b = be.AppendUint32(b, uint32(prefixValid/time.Second))
	b = be.AppendUint32(b, uint32(prefixPreferred/time.Second))
	b = append(b, 0, 0, 0, 0)
	prefix := a.Prefix.Masked().Addr().As16()
	b = append(b, prefix[:]...)
	if len(a.DNS) > 0 {
		b = append(b, 25, byte(1+2*len(a.DNS)), 0, 0)
		b = be.AppendUint32(b, uint32(prefixValid/time.Second))
		for _, d := range a.DNS {
			one := d.As16()
			b = append(b, one[:]...)
		}
	}
	return b
}

// Advertise has the server tell all hosts what is on the link, instead of nothing to machines that boot. It is called
// before Run.
func (s *Server) Advertise(a Advertisement) { s.all = a.bytes() }

// allNodes is the group of all hosts of a link.
var allNodes = net.ParseIP("ff02::1")

// advertise tells all hosts from time to time, and sooner when one asked that has no address yet, until ctx ends.
func (s *Server) advertise(ctx context.Context) {
	tick := time.NewTicker(advertisePause)
	defer tick.Stop()
	var last time.Time
	said := false
	for {
		s.mu.Lock()
		if asked := s.askedAll; asked || s.now().Sub(last) >= advertiseEvery {
			_, err := s.conn.WriteTo(s.all, nil, &net.IPAddr{IP: allNodes, Zone: s.iface})
			switch {
			case err == nil:
				s.askedAll, last, said = false, s.now(), false
			case !said && ctx.Err() == nil: // at the start the kernel may still look whether its address is another's
				said = true
				s.log.Warn("what is on the link cannot be told to all hosts; it is tried again", "interface", s.iface,
					"err", err)
			}
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
