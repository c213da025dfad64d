package dhcp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// When the LAN is searched for other servers. A server that pings an address before it offers it answers after 1 to 3 s
// (ISC's, dnsmasq), and pings for one client after the other: the second of two hears it after 6 s. A switch port with
// spanning tree forwards nothing for 30 s after the link is up.
const (
	lookFor   = 4 * time.Second // at the start, for the first answer
	lookLong  = 8 * time.Second // where somebody waits for what is found
	lookAgain = 1500 * time.Millisecond
	lookSoon  = 45 * time.Second
	lookEvery = 3 * time.Minute
)

// scout hears what other DHCP servers say, and makes them speak.
type scout struct {
	conn   net.PacketConn // of UDP packets to port 68
	frames *senders
	macs   []net.HardwareAddr // to ask as
	self   net.HardwareAddr
	others *others
	log    *slog.Logger
}

// senders remembers who sent the last frame.
type senders struct {
	net.PacketConn
	last net.HardwareAddr
}

func (s *senders) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(b)
	s.last = nil
	if a, ok := from.(*packet.Addr); ok && err == nil {
		s.last = a.HardwareAddr
	}
	return n, from, err
}

// toClients passes UDP over IPv4 to port 68, the first fragment only; everything else on the interface costs these few
// instructions of the kernel's. Offsets are from the IPv4 header (a packet socket of datagrams).
var toClients = append(ofThisLAN(8),
	bpf.LoadAbsolute{Off: 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_UDP, SkipFalse: 6},
	bpf.LoadAbsolute{Off: 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
	bpf.LoadMemShift{Off: 0},
	bpf.LoadIndirect{Off: 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: ClientPort, SkipFalse: 1},
	bpf.RetConstant{Val: 1 << 16},
	bpf.RetConstant{Val: 0},
)

func newScout(ifi *net.Interface, o *others, log *slog.Logger) (*scout, error) {
	filter, err := bpf.Assemble(toClients)
	if err != nil {
		return nil, err
	}
	raw, err := packet.Listen(ifi, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("listen for other DHCP servers on %s: %w (it needs root or CAP_NET_RAW)", ifi.Name, err)
	}
	// A stranger's address, for a server may know this machine's and keep quiet; and this machine's own, for a switch
	// may drop what does not bear it.
	stranger := make(net.HardwareAddr, 6)
	rand.Read(stranger)
	stranger[0] = stranger[0]&^1 | 2 // unicast, locally administered
	s := &scout{frames: &senders{PacketConn: raw}, macs: []net.HardwareAddr{stranger, ifi.HardwareAddr},
		self: ifi.HardwareAddr, others: o, log: log}
	s.conn = nclient4.NewBroadcastUDPConn(s.frames, &net.UDPAddr{Port: ClientPort})
	return s, nil
}

// run hears until the connection is closed or ctx ends.
func (s *scout) run(ctx context.Context) error {
	buf := make([]byte, 4096)
	for {
		n, from, err := s.conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("other DHCP servers: %w", err)
		case err != nil:
			if !pause(ctx, time.Second) {
				return nil
			}
			continue
		}
		s.heard(buf[:n], from)
	}
}

func (s *scout) heard(b []byte, from net.Addr) {
	defer func() {
		if v := recover(); v != nil { // the packet's parser is not ours
			s.log.Error("DHCP packet broke its handler", "from", from, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	if s.frames.last.String() == s.self.String() {
		return // our own, which the network gave back
	}
	var source netip.Addr
	if u, ok := from.(*net.UDPAddr); ok {
		source = addrOf(u.IP)
	}
	s.others.heard(b, append(net.HardwareAddr(nil), s.frames.last...), source)
}

// firmwares are clients that boot from the network, as they ask: some servers name a boot file to no other, or to some
// of them only.
var firmwares = [][]dhcpv4.Modifier{
	pxe("PXEClient:Arch:00007:UNDI:003016", iana.EFI_X86_64, 3),
	pxe("PXEClient:Arch:00000:UNDI:002001", iana.INTEL_X86PC, 2),
	pxe("HTTPClient:Arch:00016:UNDI:003001", iana.EFI_X86_64_HTTP, 3),
	append(pxe("PXEClient:Arch:00007:UNDI:003010", iana.EFI_X86_64, 3), ofIPXE...),
	append(pxe("PXEClient:Arch:00000:UNDI:002001", iana.INTEL_X86PC, 2), ofIPXE...),
}

// ofIPXE is what iPXE adds: its user class, as it writes it, and its encapsulated options.
var ofIPXE = []dhcpv4.Modifier{
	dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionUserClassInformation, []byte("iPXE"))),
	dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.GenericOptionCode(175), []byte{0xb1, 0})),
}

func pxe(class string, arch iana.Arch, undi byte) []dhcpv4.Modifier {
	return []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptClassIdentifier(class)),
		dhcpv4.WithOption(dhcpv4.OptClientArch(arch)),
		dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionClientNetworkInterfaceIdentifier, []byte{1, undi, 16})),
		dhcpv4.WithRequestedOptions(dhcpv4.OptionTFTPServerName, dhcpv4.OptionBootfileName)}
}

// ask makes other servers speak: as a client that just arrived, which takes no offer.
func (s *scout) ask(as ...dhcpv4.Modifier) error {
	for _, mac := range s.macs {
		m, err := dhcpv4.NewDiscovery(mac, append([]dhcpv4.Modifier{dhcpv4.WithBroadcast(true)}, as...)...)
		if err != nil {
			return err
		}
		if _, err := s.conn.WriteTo(m.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: ServerPort}); err != nil {
			return fmt.Errorf("ask for other DHCP servers: %w", err)
		}
	}
	return nil
}

// look asks for d, and unless all are wanted returns as soon as a server that gives addresses was heard. Where all are,
// it asks as firmware and as iPXE do too. A LAN that cannot be asked is in the log.
func (s *scout) look(ctx context.Context, d time.Duration, all bool) {
	found, as := s.others.found, [][]dhcpv4.Modifier{nil}
	if all {
		found, as = nil, append(as, firmwares...)
	}
	end, again := time.NewTimer(d), time.NewTicker(lookAgain)
	defer end.Stop()
	defer again.Stop()
	for {
		for _, a := range as {
			s.tryAsk(a...)
		}
		select {
		case <-found:
			return
		case <-again.C:
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (s *scout) tryAsk(as ...dhcpv4.Modifier) {
	if err := s.ask(as...); err != nil {
		s.log.Warn("other DHCP servers cannot be looked for now", "err", err)
	}
}

// watch asks again and again until ctx ends.
func (s *scout) watch(ctx context.Context, soon, every time.Duration) error {
	for next := soon; pause(ctx, next); next = every {
		s.tryAsk()
	}
	return nil
}
