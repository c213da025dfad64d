// Package dhcp6 tells machines on a LAN with IPv6 alone who they are and what to load: DHCPv6 (RFC 8415) with boot file
// URLs (RFC 5970).
//
// There are no leases. An address is worked out from the machine's hardware address and the LAN's prefix, so that
// firmware, iPXE, the agent and the restored system have one and the same, a server that starts anew knows them all,
// and nobody can use the range up.
//
// Relays are answered too, those of other LANs with addresses of theirs.
//
// The core is Responder: one message in, at most one out, no sockets. Server puts it on UDP port 547 of one interface.
package dhcp6

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// Config is what a Responder answers with.
type Config struct {
	// Boot is what is booted: Server, HTTP, HTTPS, Files, UEFILoader, Decide, Starts, TFTP, Log and Observe are used.
	Boot dhcp.Config
	// MAC is the server's own, of which its identifier is made.
	MAC  net.HardwareAddr
	DNS  []netip.Addr // none is given when empty
	Term time.Duration
	// Neighbour is the hardware address that answers for an address; empty where nobody knows. May be nil.
	Neighbour func(netip.Addr) string
}

// Responder answers messages. Its methods may be called from several goroutines.
type Responder struct {
	cfg Config
	id  dhcpv6.DUID

	mu       sync.Mutex
	declined map[string]int // by who asked: how often its address was another's already
}

// minTerm is the least time that an address is given for.
const minTerm = 2 * time.Minute

// prefixBits is how long the prefix of a LAN must be: the rest is the interface identifier (RFC 4291, 2.5.1).
const prefixBits = 64

// NewResponder checks the configuration.
func NewResponder(cfg Config) (*Responder, error) {
	lan := cfg.Boot.Server
	switch {
	case !lan.Addr().Is6() || lan.Addr().Is4In6() || lan.Addr().IsLinkLocalUnicast():
		return nil, fmt.Errorf("DHCPv6 needs a global or unique local IPv6 address of the server, got %v", lan)
	case lan.Bits() != prefixBits:
		return nil, fmt.Errorf("DHCPv6 gives addresses of a /%d, and %v is none: give the interface such an address",
			prefixBits, lan)
	case len(cfg.MAC) != 6:
		return nil, fmt.Errorf("DHCPv6 needs an Ethernet interface; this one has the hardware address %q", cfg.MAC)
	}
	cfg.Term = max(cfg.Term, minTerm)
	if cfg.Boot.UEFILoader == "" {
		cfg.Boot.UEFILoader = dhcp.Auto
	}
	if cfg.Boot.Log == nil {
		cfg.Boot.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Boot.Observe == nil {
		cfg.Boot.Observe = func(dhcp.Seen) {}
	}
	if cfg.Neighbour == nil {
		cfg.Neighbour = func(netip.Addr) string { return "" }
	}
	return &Responder{cfg: cfg, declined: map[string]int{},
		id: &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: cfg.MAC}}, nil
}

// Ports of DHCPv6 (RFC 8415, 7.2).
const (
	ServerPort = 547
	ClientPort = 546
)

// Answer returns the answer to a message that a machine of the server's LAN sent from a link-local address, or nil when
// there is none to give.
func (r *Responder) Answer(m *dhcpv6.Message, from netip.Addr) (*dhcpv6.Message, error) {
	return r.answer(m, &origin{client: from, link: r.cfg.Boot.Server.Masked()})
}

func (r *Responder) answer(m *dhcpv6.Message, o *origin) (*dhcpv6.Message, error) {
	who := m.Options.ClientID()
	server := m.Options.ServerID()
	if who == nil && m.MessageType != dhcpv6.MessageTypeInformationRequest {
		return nil, nil
	}
	c := r.classify(m, o)
	if c.Kind != dhcp.Plain && r.cfg.Boot.Decide.Of(c.MAC.String()) == netboot.Nothing {
		r.cfg.Boot.Observe(dhcp.Seen{Client: c, Final: true, Silent: true})
		return nil, nil
	}
	ours := server != nil && server.Equal(r.id)
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit:
		if server != nil {
			return nil, nil
		}
		// A client that wants to may have it in one step (RFC 8415, 18.3.1).
		if m.GetOneOption(dhcpv6.OptionRapidCommit) != nil {
			return r.grant(m, c, o, dhcpv6.MessageTypeReply)
		}
		return r.grant(m, c, o, dhcpv6.MessageTypeAdvertise)
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew:
		if !ours {
			r.another(c, server)
			return nil, nil
		}
		return r.grant(m, c, o, dhcpv6.MessageTypeReply)
	case dhcpv6.MessageTypeRebind:
		return r.grant(m, c, o, dhcpv6.MessageTypeReply)
	case dhcpv6.MessageTypeInformationRequest:
		if server != nil && !ours {
			return nil, nil
		}
		return r.grant(m, c, o, dhcpv6.MessageTypeReply)
	case dhcpv6.MessageTypeConfirm:
		return r.confirm(m, o)
	case dhcpv6.MessageTypeDecline:
		if ours {
			r.decline(m, c, o)
			return r.status(m, iana.StatusSuccess, "")
		}
	case dhcpv6.MessageTypeRelease:
		if ours { // there is nothing to give back
			return r.status(m, iana.StatusSuccess, "")
		}
	}
	return nil, nil // among others what servers say: two of them would talk for ever
}

// another says that a machine that boots took the offer of another server.
func (r *Responder) another(c dhcp.Client, server dhcpv6.DUID) {
	if c.Kind == dhcp.Plain || server == nil {
		return
	}
	r.cfg.Boot.Observe(dhcp.Seen{Client: c, Problem: fmt.Sprintf("it took the offer of another DHCPv6 server (%v): "+
		"this "+
		"server does not boot it then; stop that server, or have it name this server's boot files and serve with "+
		"--dhcp off", server)})
}
