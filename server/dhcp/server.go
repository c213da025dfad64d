package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"golang.org/x/sync/errgroup"
)

// Server puts a Responder on the ports of one interface. It is a task.
type Server struct {
	iface string
	r     *Responder
	log   *slog.Logger
	ready chan struct{}
}

// NewServer returns a server for the named interface; it hears and answers on no other.
func NewServer(iface string, r *Responder) *Server {
	return &Server{iface: iface, r: r, log: r.cfg.Log, ready: make(chan struct{})}
}

// Name implements task.Task.
func (s *Server) Name() string { return "dhcp" }

// Ready implements task.Task.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Run implements task.Task.
func (s *Server) Run(ctx context.Context) error {
	ports := []int{ServerPort}
	if s.r.cfg.Mode == Proxy {
		ports = append(ports, ProxyPort)
	}
	var conns []*net.UDPConn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for _, port := range ports {
		// SO_BINDTODEVICE inside: another interface's packets never reach this socket, nor do its answers leave there.
		c, err := server4.NewIPv4UDPConn(s.iface, &net.UDPAddr{IP: net.IPv4zero, Port: port})
		if err != nil {
			return fmt.Errorf("listen on UDP port %d of %s: %w (it needs root or CAP_NET_BIND_SERVICE and CAP_NET_RAW)", port, s.iface, err)
		}
		conns = append(conns, c)
	}
	close(s.ready)
	group, ctx := errgroup.WithContext(ctx)
	for i, c := range conns {
		group.Go(func() error { return s.serve(ctx, c, ports[i]) })
		stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	return group.Wait()
}

// serve ends with ctx, whose end makes reads fail.
func (s *Server) serve(ctx context.Context, c *net.UDPConn, port int) error {
	buf := make([]byte, 4096) // a DHCP message larger than an Ethernet frame does not come from a booting machine
	for {
		n, from, err := c.ReadFromUDP(buf)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("port %d: %w", port, err)
			}
			// Errors such as ENETDOWN come and go with the interface.
			s.log.Warn("DHCP read failed", "port", port, "err", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
			}
			continue
		}
		s.handle(ctx, c, port, from, buf[:n])
	}
}

func (s *Server) handle(ctx context.Context, c *net.UDPConn, port int, from *net.UDPAddr, packet []byte) {
	defer func() {
		// The packet's parser is not ours; a packet that breaks it must not end the server.
		if v := recover(); v != nil {
			s.log.Error("DHCP packet broke its handler", "from", from, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	m, err := dhcpv4.FromBytes(packet)
	if err != nil {
		s.log.Debug("not a DHCP packet", "from", from, "err", err)
		return
	}
	reply, err := s.r.Answer(ctx, m, port)
	if err != nil {
		s.log.Warn("DHCP request not answered", "mac", m.ClientHWAddr, "err", err)
	}
	if reply == nil {
		return
	}
	to := destination(m, reply, port, from)
	s.log.Debug("DHCP", "mac", m.ClientHWAddr, "request", m.MessageType(), "answer", reply.MessageType(), "addr", reply.YourIPAddr, "file", reply.BootFileName, "to", to)
	if _, err := c.WriteToUDP(reply.ToBytes(), to); err != nil {
		s.log.Warn("DHCP answer not sent", "mac", m.ClientHWAddr, "to", to, "err", err)
	}
}

// destination follows RFC 2131, 4.1, but where the RFC wants a frame to a hardware address that does not answer ARP yet,
// it broadcasts: every client takes that, and it needs no raw socket.
func destination(m, reply *dhcpv4.DHCPv4, port int, from *net.UDPAddr) *net.UDPAddr {
	if relay := m.GatewayIPAddr; relay != nil && !relay.IsUnspecified() {
		return &net.UDPAddr{IP: relay, Port: ServerPort}
	}
	if port == ProxyPort && !from.IP.IsUnspecified() {
		return from // PXE clients ask port 4011 from their own port, often 4011 too, and listen there
	}
	if ip := m.ClientIPAddr; ip != nil && !ip.IsUnspecified() && reply.MessageType() != dhcpv4.MessageTypeNak {
		return &net.UDPAddr{IP: ip, Port: ClientPort}
	}
	return &net.UDPAddr{IP: net.IPv4bcast, Port: ClientPort}
}
