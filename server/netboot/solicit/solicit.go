// Package solicit answers the router solicitations of machines that boot: "there is a router here, and it has nothing
// for you".
//
// iPXE with IPv6, as in Debian's packages and QEMU's ROM, has its IPv4 lease after a tenth of a second and then waits
// 18 seconds for a router to answer before it boots, on every LAN that has no IPv6 router. An advertisement with a
// router lifetime of 0 and without any option ends the wait. It is sent to the one machine that asked, and only if that
// machine has just asked for boot files: other hosts must not take flags from it.
//
// On a LAN with IPv6 alone and without a router, it tells all hosts what is on the link, when the operator wants it to
// (Advertise).
package solicit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/ipv6"
)

// How long a machine counts as booting, and a question is kept for a machine that is not yet known to boot.
const (
	bootTime    = 3 * time.Minute
	pendingTime = 10 * time.Second
	maxMachines = 4096
)

// Server answers on one interface. It is a task. Where there is no IPv6, it does nothing.
type Server struct {
	iface string
	log   *slog.Logger
	ready chan struct{}
	now   func() time.Time
	all   []byte // what all hosts are told; nil: machines that boot are told that there is nothing for them

	mu      sync.Mutex
	conn    *ipv6.PacketConn     // nil while not running
	booting map[string]time.Time // MAC: until when
	pending map[string]question  // MAC
	// askedAll is set when a host without an address asked, which can only be answered by telling all.
	askedAll bool
}

type question struct {
	from netip.Addr
	at   time.Time
}

// New returns a server for the named interface.
func New(iface string, log *slog.Logger) *Server {
	return &Server{iface: iface, log: log, ready: make(chan struct{}), now: time.Now, booting: map[string]time.Time{},
		pending: map[string]question{}}
}

// Name implements task.Task.
func (s *Server) Name() string { return "router solicitations" }

// Ready implements task.Task.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run implements task.Task.
func (s *Server) Run(ctx context.Context) error {
	ifi, raw, conn, err := open(s.iface)
	if err != nil && s.all != nil {
		return err
	}
	if err != nil {
		s.log.Info("router solicitations are not answered: iPXE may wait 18 s for an IPv6 router", "interface", s.iface,
			"err", err)
		close(s.ready)
		<-ctx.Done()
		return nil
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	s.mu.Lock()
	s.conn = conn
	s.mu.Unlock()
	close(s.ready)
	if s.all != nil {
		go s.advertise(ctx) // ends with ctx
	}
	buf := make([]byte, 1500)
	for {
		n, cm, from, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			s.log.Debug("router solicitation not read", "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
			continue
		}
		// RFC 4861, 6.1.1: a hop limit below 255 came from another link.
		if cm == nil || cm.IfIndex != ifi.Index || cm.HopLimit != 255 {
			continue
		}
		ip, ok := from.(*net.IPAddr)
		if !ok {
			continue
		}
		addr, _ := netip.AddrFromSlice(ip.IP)
		s.asked(buf[:n], addr)
	}
}

func open(name string) (*net.Interface, net.PacketConn, *ipv6.PacketConn, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, nil, nil, err
	}
	raw, err := net.ListenPacket("ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, nil, nil, err
	}
	conn := ipv6.NewPacketConn(raw)
	var solicitations ipv6.ICMPFilter
	solicitations.SetAll(true)
	solicitations.Accept(ipv6.ICMPTypeRouterSolicitation)
	err = errors.Join(
		conn.SetICMPFilter(&solicitations),
		conn.SetControlMessage(ipv6.FlagInterface|ipv6.FlagHopLimit, true),
		conn.JoinGroup(ifi, &net.IPAddr{IP: net.IPv6linklocalallrouters}),
		conn.SetHopLimit(255),
		conn.SetMulticastHopLimit(255),
		conn.SetMulticastInterface(ifi),
	)
	if err != nil {
		raw.Close()
		return nil, nil, nil, fmt.Errorf("IPv6 on %s: %w", name, err)
	}
	return ifi, raw, conn, nil
}

// Booting says that the machine has just asked for boot files. A question that it asked before is answered now.
func (s *Server) Booting(mac string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if len(s.booting) >= maxMachines {
		for m, until := range s.booting {
			if now.After(until) {
				delete(s.booting, m)
			}
		}
	}
	if len(s.booting) < maxMachines {
		s.booting[mac] = now.Add(bootTime)
	}
	if q, ok := s.pending[mac]; ok {
		delete(s.pending, mac)
		if now.Sub(q.at) < pendingTime {
			s.answer(mac, q.from)
		}
	}
}

// asked takes in a solicitation.
func (s *Server) asked(packet []byte, from netip.Addr) {
	if s.all != nil && len(packet) >= 8 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if from.IsLinkLocalUnicast() {
			s.answer(from.String(), from)
			return
		}
		s.askedAll = true
		return
	}
	mac := sender(packet, from)
	if mac == "" || !from.IsLinkLocalUnicast() {
		return // without an address of its own, a machine can only be answered by multicast, to all hosts
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if until, ok := s.booting[mac]; ok && now.Before(until) {
		s.answer(mac, from)
		return
	}
	if len(s.pending) >= maxMachines {
		clear(s.pending)
	}
	s.pending[mac] = question{from, now}
}

// advertisement: RFC 4861, 4.2. Type, code, checksum (the kernel's), current hop limit unspecified, no flags, router
// lifetime 0 (not a default router), reachable time and retransmission timer unspecified; no options, so no prefix.
var advertisement = append([]byte{byte(ipv6.ICMPTypeRouterAdvertisement)}, make([]byte, 15)...)

func (s *Server) answer(mac string, to netip.Addr) {
	if s.conn == nil {
		return
	}
	words := advertisement
	if s.all != nil {
		words = s.all
	}
	_, err := s.conn.WriteTo(words, nil, &net.IPAddr{IP: to.AsSlice(), Zone: s.iface})
	s.log.Debug("router solicitation answered", "mac", mac, "to", to, "err", err)
}

// sender finds the MAC address in a solicitation's source link-layer option (RFC 4861, 4.1), or else in the sender's
// link-local address (RFC 4291, appendix A); empty when neither has one.
func sender(packet []byte, from netip.Addr) string {
	if len(packet) < 8 || packet[0] != byte(ipv6.ICMPTypeRouterSolicitation) {
		return ""
	}
	for opts := packet[8:]; len(opts) >= 8; {
		n := 8 * int(opts[1])
		if n == 0 || n > len(opts) {
			return ""
		}
		if opts[0] == 1 && n == 8 {
			return net.HardwareAddr(opts[2:8]).String()
		}
		opts = opts[n:]
	}
	if !from.Is6() {
		return ""
	}
	ip := from.As16()
	if !bytes.Equal(ip[11:13], []byte{0xff, 0xfe}) {
		return ""
	}
	return net.HardwareAddr{ip[8] ^ 2, ip[9], ip[10], ip[13], ip[14], ip[15]}.String()
}
