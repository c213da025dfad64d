package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/cast/core"
	"github.com/diskcast/diskcast/internal/cast/wire"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/netboot/dhcp6"
	"github.com/diskcast/diskcast/server/netboot/udpport"
)

func lookInterface(_ context.Context, s *Subject, l *Look) {
	if s.Broken != nil {
		l.find(InterfaceUnusable, s.Broken.Error(),
			"nodes reach the server through this interface, and at this address",
			"ip -br address")
		return
	}
	ifi, err := net.InterfaceByName(s.Interface)
	if err != nil {
		l.not("interface %s: %v", s.Interface, err)
		return
	}
	switch {
	case ifi.Flags&net.FlagUp == 0:
		l.find(InterfaceNoLink, fmt.Sprintf("the interface %s is switched off", s.Interface),
			"nobody is reached through it",
			"ip link set "+s.Interface+" up")
	case ifi.Flags&net.FlagRunning == 0:
		l.find(InterfaceNoLink, fmt.Sprintf("the interface %s has no link", s.Interface),
			"the cable is out, or the switch port is off", "ip link show "+s.Interface)
	default:
		l.well("%s is up, with %v", s.Interface, s.LAN)
	}
}

// lookServer says whether the server answers, and, where it does not, who has its ports.
func lookServer(_ context.Context, s *Subject, l *Look) {
	if s.Server != nil {
		l.well("it answers at https://%v", s.API)
		return
	}
	l.not("the server does not answer, so what only it knows was not looked at: %s", s.Away)
	if s.Broken != nil {
		return
	}
	type port struct {
		n    int
		what string
	}
	var udp []port
	if s.DHCP != dhcp.Off && s.LAN.Addr().Is4() {
		udp = append(udp, port{dhcp.ServerPort, "DHCP"}, port{dhcp.ProxyPort, "PXE"})
	}
	if s.TFTP {
		udp = append(udp, port{tftpPort, "TFTP"})
	}
	listen := udpport.Listen
	if s.LAN.Addr().Is6() {
		listen = udpport.Listen6
		if s.DHCP != dhcp.Off {
			udp = append(udp, port{dhcp6.ServerPort, "DHCPv6"})
		}
	}
	const cause = "the server needs the port, and does not start without it"
	for _, p := range udp {
		c, err := listen(s.Interface, p.n)
		var used *udpport.InUseError
		switch {
		case err == nil:
			c.Close()
		case errors.As(err, &used):
			l.find(PortTaken, fmt.Sprintf("%v (%s)", err, p.what), cause, fmt.Sprintf("ss -lunp 'sport = %d'", p.n))
		default:
			l.not("UDP port %d (%s): %v", p.n, p.what, err)
		}
	}
	tcp := []string{s.HTTP.String(), s.API.String()}
	if s.HTTPS.IsValid() {
		tcp = append(tcp, s.HTTPS.String())
	}
	for _, a := range tcp {
		c, err := net.Listen("tcp", a)
		if err == nil {
			c.Close()
			continue
		}
		if errors.Is(err, unix.EADDRINUSE) {
			_, n, _ := net.SplitHostPort(a)
			l.find(PortTaken, fmt.Sprintf("TCP %s is in use by another program", a), cause, "ss -ltnp 'sport = "+n+"'")
			continue
		}
		l.not("TCP %s: %v", a, err)
	}
}

// lookDHCP asks the LAN for DHCP servers. This machine's own server is not among those that answer.
func lookDHCP(ctx context.Context, s *Subject, l *Look) {
	heard, err := dhcp.LookAll(ctx, s.Interface, s.Log)
	if err != nil {
		l.not("which DHCP servers are on the LAN: %v", err)
		return
	}
	judgeDHCP(withLate(ctx, heard, s, l), s, l)
}

// withLate are servers that answered, and those that the server itself heard of late.
func withLate(ctx context.Context, heard []doc.DHCPServer, s *Subject, l *Look) []doc.DHCPServer {
	if s.Server == nil {
		return heard
	}
	v, err := s.Server.DHCP(ctx)
	if err != nil {
		l.not("which DHCP servers the server itself heard of late: %v", err)
		return heard
	}
	known := map[string]bool{}
	for _, o := range heard {
		known[o.Server] = true
	}
	for _, o := range v.Others {
		if !known[o.Server] && s.Host.Now().Sub(o.Last) < dhcp.OtherFor {
			heard = append(heard, o)
		}
	}
	return heard
}

func judgeDHCP(heard []doc.DHCPServer, s *Subject, l *Look) {
	var giving, booting []string
	for _, o := range heard {
		switch {
		case o.Server == s.LAN.Addr().String(): // its own, through another interface on the same LAN
		case dhcp.GivesAddresses(o):
			giving = append(giving, serverWords(o))
		default:
			booting = append(booting, serverWords(o))
		}
	}
	addresses := len(giving)
	if s.DHCP == dhcp.Full {
		addresses++
	}
	others := strings.Join(giving, ", ")
	switch {
	case addresses > 1 && s.DHCP == dhcp.Full:
		l.find(DHCPSecond, "beside this server, another DHCP server gives addresses on the LAN: "+others,
			"two servers give one address to two machines, and machines boot from whichever is quicker",
			"stop the other one; or `diskcast serve --dhcp proxy` (dhcp = \"proxy\" in the settings file)")
	case addresses > 1:
		l.find(DHCPSecond, fmt.Sprintf("%d DHCP servers give addresses on the LAN: %s", addresses, others),
			"unless they share their leases, they give one address to two machines",
			"stop all but one of them; the MAC address tells which machine it is: ip neigh show dev "+s.Interface)
	case addresses == 0:
		l.find(DHCPNone, fmt.Sprintf("no DHCP server answered within %v, and this one gives no addresses (dhcp = %q)",
			dhcp.LookFor, s.DHCP), "a machine without an address cannot boot from the network",
			"switch the LAN's DHCP server on; or, on a LAN of your own, `diskcast serve --dhcp full --dhcp-range A-B`")
	case s.DHCP == dhcp.Full:
		l.well("no other DHCP server gives addresses")
	default:
		l.well("one DHCP server gives addresses: %s", others)
	}
	for _, o := range heard {
		if s.DHCP == dhcp.Proxy && o.BootFile != "" && o.NextServer != s.LAN.Addr().String() {
			l.find(DHCPBoot, fmt.Sprintf("the DHCP server %s names a boot file with its addresses: %s on %s",
				serverWords(o), o.BootFile, cmp.Or(o.NextServer, o.Server)),
				"machines take that in place of this server's",
				"take it out of that server's configuration: dhcp-boot, filename and next-server, options 66 and 67")
		}
	}
	if len(booting) > 0 {
		l.find(DHCPBoot, "another server offers boot files on the LAN: "+strings.Join(booting, ", "),
			"machines boot from it where it is quicker", "stop PXE there, or keep its LAN apart from this one")
	}
}

func serverWords(o doc.DHCPServer) string {
	if o.MAC == "" {
		return o.Server
	}
	return o.Server + " (MAC address " + o.MAC + ")"
}

// packet is what a cast's packet takes with all headers of IPv4, in bytes.
const packet = core.DefaultPayload + wire.Overhead + 20 + 8

func lookPackets(_ context.Context, s *Subject, l *Look) {
	ifi, err := net.InterfaceByName(s.Interface)
	if err != nil {
		l.not("the MTU of %s: %v", s.Interface, err)
		return
	}
	if ifi.MTU < packet {
		l.find(MTUSmall, fmt.Sprintf("the MTU of %s is %d, and a cast's packets have %d bytes", s.Interface, ifi.MTU,
			packet),
			"each packet goes out in fragments, or not at all: casts are slow, and lost where a firewall drops "+
				"fragments",
			fmt.Sprintf("ip link set %s mtu 1500", s.Interface))
		return
	}
	l.well("the MTU of %s is %d; a cast's packets have %d bytes", s.Interface, ifi.MTU, packet)
}
