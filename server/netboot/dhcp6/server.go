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

	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/netboot/udpport"
)

// servers are the groups of all servers and relays of a link, where machines ask, and of all servers of a site, where
// relays do that were told of none (RFC 8415, 7.1).
var servers = []net.IP{net.ParseIP("ff02::1:2"), net.ParseIP("ff05::1:3")}

// maxPacket is more than a client may send, which does not fragment, with what relays put around it.
const maxPacket = 4096

// Server answers on one interface. It is a task.
type Server struct {
	iface     string
	r         *Responder
	ready     chan struct{}
	undecoded *dhcp.Seldom // what is said of messages that cannot be decoded
}

// NewServer returns a server for the named interface.
func NewServer(iface string, r *Responder) *Server {
	return &Server{iface: iface, r: r, ready: make(chan struct{}), undecoded: dhcp.NewSeldom()}
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
	for _, group := range servers {
		if err := ipv6.NewPacketConn(conn).JoinGroup(ifi, &net.UDPAddr{IP: group}); err != nil {
			return fmt.Errorf("DHCPv6 on %s: joining %v: %w", s.iface, group, err)
		}
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
		reply, port, err := s.answer(buf[:n], from)
		if err != nil {
			s.unanswered(from, err)
		}
		if reply == nil {
			continue
		}
		to := netip.AddrPortFrom(from.Addr(), port)
		if _, err := conn.WriteToUDPAddrPort(reply, to); err != nil {
			log.Warn("DHCPv6 answer not sent", "to", to, "err", err)
		}
	}
}

// errUndecoded says that a message is not whole, or otherwise none that can be read.
var errUndecoded = errors.New("it cannot be decoded")

// unanswered tells the operator of a machine, or relay, that gets no answer because its message cannot be decoded.
func (s *Server) unanswered(from netip.AddrPort, err error) {
	log := s.r.cfg.Boot.Log
	if !errors.Is(err, errUndecoded) || !s.undecoded.Due(from.Addr().String()) {
		log.Debug("DHCPv6 message not answered", "from", from, "err", err)
		return
	}
	log.Warn("DHCPv6 message not answered", "mac", s.r.neighbour(from.Addr()).String(), "from", from, "err", err)
}

// answer is the way of one packet, and the port that its answer goes to. What comes from another link than this without
// a relay has no answer: an address of this LAN would not do there.
func (s *Server) answer(packet []byte, from netip.AddrPort) ([]byte, uint16, error) {
	if len(packet) > 0 && dhcpv6.MessageType(packet[0]) == dhcpv6.MessageTypeRelayForward {
		m, err := dhcpv6.RelayMessageFromBytes(packet)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", errUndecoded, err)
		}
		reply, err := s.r.Relayed(m)
		if reply == nil || err != nil {
			return nil, 0, err
		}
		if m.Options.RelayPort() != nil { // RFC 8357, 5.3
			return reply.ToBytes(), from.Port(), nil
		}
		return reply.ToBytes(), ServerPort, nil
	}
	if !from.Addr().IsLinkLocalUnicast() {
		return nil, 0, fmt.Errorf("it comes from %v, and only machines of the LAN itself and relays are answered", from)
	}
	if len(packet) > 0 && dhcpv6.MessageType(packet[0]) == dhcpv6.MessageTypeRelayReply {
		return nil, 0, errors.New("it is a server's answer to a relay")
	}
	m, err := dhcpv6.MessageFromBytes(packet)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errUndecoded, err)
	}
	reply, err := s.r.Answer(m, from.Addr().WithZone(""))
	if reply == nil || err != nil {
		return nil, 0, err
	}
	return reply.ToBytes(), from.Port(), nil
}
