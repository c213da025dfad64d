package dhcp6

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/net/ipv6"

	"github.com/diskcast/diskcast/server/netboot/udpport"
)

// servers is the group of all servers and relays of a link (RFC 8415, 7.1).
var servers = net.ParseIP("ff02::1:2")

// maxPacket is more than a client may send: it does not fragment.
const maxPacket = 1500

// Server answers on one interface. It is a task.
type Server struct {
	iface string
	r     *Responder
	ready chan struct{}
}

// NewServer returns a server for the named interface.
func NewServer(iface string, r *Responder) *Server {
	return &Server{iface: iface, r: r, ready: make(chan struct{})}
}

// Name implements task.Task.
func (s *Server) Name() string { return "dhcpv6" }

// Ready implements task.Task.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run implements task.Task.
func (s *Server) Run(ctx context.Context) error {
	ifi, err := net.InterfaceByName(s.iface)
	if err != nil {
		return fmt.Errorf("DHCPv6: %w", err)
	}
	conn, err := udpport.Listen6(s.iface, ServerPort)
	if inUse := (*udpport.InUseError)(nil); errors.As(err, &inUse) {
		return fmt.Errorf("%w: stop that DHCPv6 server, or leave DHCPv6 to it with --dhcp off", err)
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ipv6.NewPacketConn(conn).JoinGroup(ifi, &net.UDPAddr{IP: servers}); err != nil {
		return fmt.Errorf("DHCPv6 on %s: joining %v: %w", s.iface, servers, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	close(s.ready)
	log := s.r.cfg.Boot.Log
	buf := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			log.Debug("DHCPv6 message not read", "err", err)
			continue
		}
		reply, err := s.answer(buf[:n], from.Addr())
		if err != nil {
			log.Debug("DHCPv6 message not answered", "from", from, "err", err)
		}
		if reply == nil {
			continue
		}
		if _, err := conn.WriteToUDPAddrPort(reply, from); err != nil {
			log.Warn("DHCPv6 answer not sent", "to", from, "err", err)
		}
	}
}

// answer is the way of one packet. What comes from another link than this has no answer: an address of another LAN
// would not do there.
func (s *Server) answer(packet []byte, from netip.Addr) ([]byte, error) {
	if !from.IsLinkLocalUnicast() {
		return nil, fmt.Errorf("it comes from %v, and only machines of the LAN itself are answered", from)
	}
	m, err := dhcpv6.MessageFromBytes(packet)
	if err != nil {
		return nil, err
	}
	reply, err := s.r.Answer(m, from.WithZone(""))
	if reply == nil || err != nil {
		return nil, err
	}
	return reply.ToBytes(), nil
}
