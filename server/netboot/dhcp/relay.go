package dhcp

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Relay is what stood between a machine and this server, by its own word in the request: a relay agent of another LAN,
// or a switch that adds the port at which it heard the machine (RFC 3046, option 82).
type Relay struct {
	Addr    netip.Addr // giaddr; invalid where a switch of this LAN speaks, which has none
	Circuit string     // Agent Circuit ID, suboption 1: the port
	Remote  string     // Agent Remote ID, suboption 2: the switch
}

// String is ADDR/REMOTE/CIRCUIT, with a dash for what is not there; empty where nothing is.
func (r Relay) String() string {
	if r == (Relay{}) {
		return ""
	}
	addr := ""
	if r.Addr.IsValid() {
		addr = r.Addr.String()
	}
	words := []string{addr, r.Remote, r.Circuit}
	for i, w := range words {
		if w == "" {
			words[i] = "-"
		}
	}
	return strings.Join(words, "/")
}

// Suboptions of option 82 (RFC 3046, 2.0).
const (
	circuitID = 1
	remoteID  = 2
)

// maxID bounds, in bytes, what is kept of a suboption. It is a limit of ours: the field's own is 255.
const maxID = 64

// relayOf reads who passed a request on.
func relayOf(m *dhcpv4.DHCPv4) Relay {
	r := parseAgent(m.Options.Get(dhcpv4.OptionRelayAgentInformation))
	r.Addr = addrOf(m.GatewayIPAddr)
	return r
}

// parseAgent reads option 82: suboptions of code, length and bytes. One whose suboptions do not fill it to its end says
// nothing, as does one that names a thing twice.
func parseAgent(b []byte) (r Relay) {
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return Relay{}
		}
		code, v := b[0], b[2:2+int(b[1])]
		b = b[2+int(b[1]):]
		id := map[byte]*string{circuitID: &r.Circuit, remoteID: &r.Remote}[code]
		if id == nil || len(v) == 0 {
			continue
		}
		if *id != "" {
			return Relay{}
		}
		*id = IDWords(v, code == remoteID)
	}
	return r
}

// IDWords is an id as people know it: as text where it is text, as an address where it may be the MAC address of a
// switch (alone, or behind the type 0 and the length 6 that switches of several makers write), and else its hex digits.
func IDWords(v []byte, mac bool) string {
	text := true
	for _, c := range v {
		text = text && c > ' ' && c < 0x7f
	}
	switch {
	case text && len(v) <= maxID:
		return string(v)
	case mac && len(v) == 8 && v[0] == 0 && v[1] == 6:
		return net.HardwareAddr(v[2:]).String()
	case mac && len(v) == 6:
		return net.HardwareAddr(v).String()
	case len(v) > maxID/2:
		v = v[:maxID/2]
	}
	return hex.EncodeToString(v)
}
