package dhcp6

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// origin is where a message came from.
type origin struct {
	client netip.Addr       // the machine's address, a link-local one as a rule
	link   netip.Prefix     // the LAN that it is on
	mac    net.HardwareAddr // its own, where a relay says it; else nil
	relay  dhcp.Relay       // who passed the message on
}

// maxRelays bounds how many relays may stand between a machine and the server (HOP_COUNT_LIMIT of RFC 8415, 7.6).
const maxRelays = 8

// Relayed returns the answer to what a relay passed on, packed as it goes back by the same relays, or nil when there is
// none to give. A machine of another LAN gets an address of that LAN: a relay says which it is, and an address is
// worked out for any.
func (r *Responder) Relayed(m *dhcpv6.RelayMessage) (*dhcpv6.RelayMessage, error) {
	var chain []*dhcpv6.RelayMessage // the one next to the server first
	for {
		if m.MessageType != dhcpv6.MessageTypeRelayForward { // two servers would talk for ever
			return nil, fmt.Errorf("a relay passed on a %v, which is none of a machine's", m.MessageType)
		}
		if chain = append(chain, m); len(chain) > maxRelays {
			return nil, fmt.Errorf("more than %d relays passed it on", maxRelays)
		}
		inner, ok := m.Options.RelayMessage().(*dhcpv6.RelayMessage)
		if !ok {
			break
		}
		m = inner
	}
	asked, ok := m.Options.RelayMessage().(*dhcpv6.Message)
	if !ok || asked == nil {
		return nil, errors.New("a relay passed nothing on")
	}
	o, err := r.originOf(chain)
	if err != nil {
		return nil, err
	}
	answer, err := r.answer(asked, o)
	if answer == nil || err != nil {
		return nil, err
	}
	var reply dhcpv6.DHCPv6 = answer
	for i := len(chain) - 1; i >= 0; i-- {
		reply = wrap(chain[i], reply)
	}
	return reply.(*dhcpv6.RelayMessage), nil
}

// wrap is the answer to one relay: what it needs to pass it on is its own word, given back (RFC 8415, 19.3, 21.18).
func wrap(asked *dhcpv6.RelayMessage, inner dhcpv6.DHCPv6) *dhcpv6.RelayMessage {
	reply := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayReply, HopCount: asked.HopCount,
		LinkAddr: asked.LinkAddr, PeerAddr: asked.PeerAddr}
	for _, code := range []dhcpv6.OptionCode{dhcpv6.OptionInterfaceID, dhcpv6.OptionRelayPort} {
		if o := asked.GetOneOption(code); o != nil {
			reply.AddOption(o)
		}
	}
	reply.AddOption(dhcpv6.OptRelayMessage(inner))
	return reply
}

// originOf reads who passed a message on. The relay next to the machine knows its port and address; a switch that adds
// its word within a LAN has no address of its own there, and the next relay says which LAN it is (RFC 6221, RFC 8415,
// 13.1).
func (r *Responder) originOf(chain []*dhcpv6.RelayMessage) (*origin, error) {
	first := chain[len(chain)-1]
	o := &origin{link: r.cfg.Boot.Server.Masked()}
	client, ok := netip.AddrFromSlice(first.PeerAddr)
	if !ok || !client.Is6() || client.Is4In6() || client.IsMulticast() || client.IsUnspecified() {
		return nil, fmt.Errorf("a relay passed on what came from %v, which is no machine's address", first.PeerAddr)
	}
	o.client = client
	if kind, mac := first.Options.ClientLinkLayerAddress(); kind == iana.HWTypeEthernet && len(mac) == 6 &&
		mac[0]&1 == 0 {
		o.mac = mac
	}
	o.relay.Circuit = words(first.Options.InterfaceID(), false)
	if id := first.Options.RemoteID(); id != nil {
		o.relay.Remote = words(id.RemoteID, true)
	}
	for i := len(chain) - 1; i >= 0; i-- {
		a, ok := netip.AddrFromSlice(chain[i].LinkAddr)
		if !ok || a.IsUnspecified() {
			continue
		}
		// A link-local address names no LAN, but the relay for who reads its word.
		o.relay.Addr = a
		if a.IsLinkLocalUnicast() {
			continue
		}
		if !a.Is6() || a.Is4In6() || a.IsMulticast() || a.IsLoopback() {
			return nil, fmt.Errorf("a relay says that the machine is on the LAN of %v, which is no LAN's address", a)
		}
		o.link = netip.PrefixFrom(a, prefixBits).Masked()
		break
	}
	return o, nil
}

func words(id []byte, mac bool) string {
	if len(id) == 0 {
		return ""
	}
	return dhcp.IDWords(id, mac)
}
