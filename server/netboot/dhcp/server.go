package dhcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot/udpport"
	"github.com/diskcast/diskcast/server/store"
)

// maxHandlers bounds the packets that are being answered: most take no time, one that needs a look at the LAN takes
// askFor.
const maxHandlers = 1024

// Server puts a Responder on the ports of one interface. It is a task. In full mode it is the only DHCP server of the
// interface, and looks for others on the LAN: one that is there at the start ends it.
type Server struct {
	iface             string
	r                 *Responder
	log               *slog.Logger
	ready             chan struct{}
	undecoded         *Seldom       // what is said of packets that cannot be decoded
	first, soon, each time.Duration // of the search for other servers
}

// NewServer returns a server for the named interface; it hears and answers on no other.
func NewServer(iface string, r *Responder) *Server {
	return &Server{iface: iface, r: r, log: r.cfg.Log, ready: make(chan struct{}), undecoded: NewSeldom(),
		first: lookFor, soon: lookSoon, each: lookEvery}
}

// Name implements task.Task.
func (s *Server) Name() string { return "dhcp" }

// Ready implements task.Task.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// View is what the operator sees.
func (s *Server) View() doc.DHCP {
	v := doc.DHCP{Mode: string(s.r.cfg.Mode), Leases: []doc.Lease{}}
	if s.r.cfg.Pool != nil {
		s.r.cfg.Pool.View(&v)
	}
	s.r.others.view(&v)
	return v
}

// FreeLease ends the lease of an address or of a MAC address.
func (s *Server) FreeLease(ctx context.Context, what string) error {
	if s.r.cfg.Pool == nil {
		return fmt.Errorf("lease of %.60q: %w: this server gives no addresses (--dhcp %s)", what, store.ErrNotFound,
			s.r.cfg.Mode)
	}
	if err := s.r.cfg.Pool.Free(ctx, what); err != nil {
		return err
	}
	s.log.Info("lease freed by the operator", "lease", what)
	return nil
}

// Run implements task.Task.
func (s *Server) Run(ctx context.Context) error {
	var open []net.PacketConn
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	conns, err := s.listen()
	for _, c := range conns {
		open = append(open, c)
	}
	if err != nil {
		return err
	}
	var lan *asker
	var scout *scout
	if s.r.cfg.Mode == Full {
		if lan, scout, err = s.lan(); err != nil {
			return err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	if lan != nil {
		open = append(open, lan.conn, scout.conn)
		if s.r.cfg.Ask == nil {
			s.r.cfg.Ask = lan.ask
		}
		group.Go(func() error { return lan.run(ctx) })
		group.Go(func() error { return scout.run(ctx) })
	}
	for _, c := range open {
		stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	group.Go(func() error {
		if scout != nil {
			scout.look(ctx, s.first, false)
			if list := s.r.others.giving(); len(list) > 0 && !s.r.cfg.AllowOther {
				return otherError(s.iface, list)
			}
			group.Go(func() error { return scout.watch(ctx, s.soon, s.each) })
		}
		close(s.ready)
		for port, c := range conns {
			group.Go(func() error { return s.serve(ctx, c, port) })
		}
		return nil
	})
	return group.Wait()
}

// listen opens the mode's ports, also those that it returns with an error.
func (s *Server) listen() (map[int]*net.UDPConn, error) {
	conns := map[int]*net.UDPConn{}
	only := func(port int) error {
		c, err := udpport.Listen(s.iface, port)
		if err != nil {
			return err
		}
		conns[port] = c
		return nil
	}
	var inUse *udpport.InUseError
	err := only(ServerPort)
	if s.r.cfg.Mode == Full {
		if errors.As(err, &inUse) {
			err = fmt.Errorf("%w: an interface has one DHCP server. Stop that program, keep it off %s, or let it "+
				"give the addresses and serve with --dhcp proxy", err, s.iface)
		}
		return conns, err
	}
	// Beside the site's server there may be one of the same machine, now or later; broadcasts reach both.
	switch {
	case errors.As(err, &inUse):
		s.log.Warn("the DHCP port is shared: renewals that are sent to this machine may reach the wrong program, and "+
			"then go by broadcast later",
			"port", ServerPort, "interface", s.iface, "with", inUse.Holders)
	case err != nil:
		return conns, err
	default:
		conns[ServerPort].Close()
		delete(conns, ServerPort)
	}
	c, err := udpport.ListenShared(s.iface, ServerPort)
	if errors.As(err, &inUse) {
		return conns, fmt.Errorf("%w, which does not share it: run diskcast on another machine, or have that program "+
			"name the boot files and serve with --dhcp off", err)
	}
	if err != nil {
		return conns, err
	}
	conns[ServerPort] = c
	if err = only(ProxyPort); errors.As(err, &inUse) {
		err = fmt.Errorf("%w: another PXE server has it. Stop that one, or serve with --dhcp off", err)
	}
	return conns, err
}

// lan opens what asks the LAN. An interface without Ethernet addresses, such as lo, has no LAN to ask.
func (s *Server) lan() (*asker, *scout, error) {
	ifi, err := net.InterfaceByName(s.iface)
	if err != nil {
		return nil, nil, fmt.Errorf("interface %q: %w", s.iface, err)
	}
	if len(ifi.HardwareAddr) != 6 {
		s.log.Warn("the interface is no Ethernet: neither other DHCP servers nor addresses in use can be seen",
			"interface", s.iface)
		return nil, nil, nil
	}
	lan, err := newAsker(ifi, s.log)
	if err != nil {
		return nil, nil, err
	}
	scout, err := newScout(ifi, s.r.others, s.log)
	if err != nil {
		lan.conn.Close()
		return nil, nil, err
	}
	return lan, scout, nil
}

// serve ends with ctx, whose end makes reads fail.
func (s *Server) serve(ctx context.Context, c *net.UDPConn, port int) error {
	var handlers errgroup.Group
	handlers.SetLimit(maxHandlers)
	defer func() { _ = handlers.Wait() }() // handlers log what goes wrong, and return nil
	// a DHCP message larger than an Ethernet frame does not come from a booting machine
	buf := make([]byte, 4096)
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
			if !pause(ctx, time.Second) {
				return nil
			}
			continue
		}
		// One client's look at the LAN must not hold the others up.
		packet := bytes.Clone(buf[:n])
		handlers.Go(func() error { s.handle(ctx, c, port, from, packet); return nil })
	}
}

func (s *Server) handle(ctx context.Context, c *net.UDPConn, port int, from *net.UDPAddr, packet []byte) {
	defer func() {
		// The packet's parser is not ours; a packet that breaks it must not end the server.
		if v := recover(); v != nil {
			s.log.Error("DHCP packet broke its handler", "from", from, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	m, err := decode(packet)
	if err != nil {
		s.sayUndecoded(packet, from, err)
		return
	}
	reply, err := s.r.Answer(ctx, m, port)
	if err != nil {
		s.log.Warn("DHCP request not answered", "mac", m.ClientHWAddr.String(), "err", err)
	}
	if reply == nil {
		return
	}
	to := destination(m, reply, port, from)
	s.log.Debug("DHCP", "mac", m.ClientHWAddr.String(), "request", m.MessageType(), "answer", reply.MessageType(),
		"addr", reply.YourIPAddr, "file", reply.BootFileName, "to", to)
	if _, err := c.WriteToUDP(reply.ToBytes(), to); err != nil {
		s.log.Warn("DHCP answer not sent", "mac", m.ClientHWAddr.String(), "to", to, "err", err)
	}
}

// sayUndecoded tells the operator of a machine that gets no answer because its request is not whole.
func (s *Server) sayUndecoded(packet []byte, from *net.UDPAddr, err error) {
	if mac, why := cut(packet); why != nil && s.undecoded.Due(mac.String()) {
		s.log.Warn("DHCP request not answered", "mac", mac.String(), "err", why)
		return
	}
	s.log.Debug("not a DHCP packet", "from", from, "err", err)
}

// destination follows RFC 2131, 4.1, but where the RFC wants a frame to a hardware address that does not answer ARP
// yet, it broadcasts: every client takes that, and it needs no raw socket.
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
