package dhcp

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Option 82 as it is sent: by ISC's dhcrelay -a (the interface's name), by switches of Cisco (VLAN 100, module 1, port
// 7; the switch's MAC address), and by dnsmasq's and Juniper's text forms.
var agents = map[string]struct{ bytes, want string }{
	"nothing":  {"", ""},
	"dhcrelay": {"\x01\x04eth1", "-/-/eth1"},
	"Cisco": {"\x01\x06\x00\x04\x00\x64\x01\x07\x02\x08\x00\x06\x00\x1b\x0d\x01\x02\x03",
		"-/00:1b:0d:01:02:03/000400640107"},
	"text":          {"\x01\x0age-0/0/1.0\x02\x03sw1", "-/sw1/ge-0/0/1.0"},
	"others beside": {"\x05\x04\x0a\x00\x00\x00\x01\x02p1\x97\x00", "-/-/p1"},
	"MAC alone":     {"\x02\x06\x00\x1b\x0d\x01\x02\x03", "-/00:1b:0d:01:02:03/-"},
	"of no bytes":   {"\x01\x00\x02\x00", ""},
	"escape":        {"\x01\x03\x1b[m", "-/-/1b5b6d"},
	"blank":         {"\x01\x03a b", "-/-/612062"},
	"long":          {"\x01\x46" + strings.Repeat("x", 70), "-/-/" + strings.Repeat("78", 32)},
	"cut":           {"\x01\x05eth1", ""},
	"cut head":      {"\x01\x04eth1\x02", ""},
	"twice":         {"\x01\x01a\x01\x01b", ""},
}

func TestAgent(t *testing.T) {
	for name, c := range agents {
		if got := parseAgent([]byte(c.bytes)).String(); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzAgent(f *testing.F) {
	for _, c := range agents {
		f.Add([]byte(c.bytes))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := parseAgent(b)
		for _, id := range []string{r.Circuit, r.Remote} {
			if len(id) > maxID || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
				t.Errorf("%q", id)
			}
		}
	})
}

// TestRelayed: what a relay or switch added comes back as it was, last of all options, in every answer; the answer goes
// to the relay; who passed the request on is seen. A relay of another LAN is told of, and not answered in full mode.
func TestRelayed(t *testing.T) {
	agent := []byte(agents["Cisco"].bytes)
	gateway := net.IPv4(10, 0, 0, 2)
	by := func(m *dhcpv4.DHCPv4) {
		m.GatewayIPAddr = gateway
		m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionRelayAgentInformation, agent))
	}
	other := func(m *dhcpv4.DHCPv4) { by(m); m.GatewayIPAddr = net.IPv4(10, 7, 0, 1) }
	for _, c := range []struct {
		name   string
		mode   Mode
		mods   []dhcpv4.Modifier
		answer dhcpv4.MessageType // none: 0
	}{
		{"offer", Full, []dhcpv4.Modifier{by}, dhcpv4.MessageTypeOffer},
		{"offer of the proxy", Proxy, []dhcpv4.Modifier{by}, dhcpv4.MessageTypeOffer},
		{"proxy and another LAN", Proxy, []dhcpv4.Modifier{other}, dhcpv4.MessageTypeOffer},
		{"another LAN", Full, []dhcpv4.Modifier{other}, 0},
		{"refusal", Full, []dhcpv4.Modifier{by, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
			dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IPv4(10, 9, 9, 9)))}, dhcpv4.MessageTypeNak},
	} {
		var seen []Seen
		cfg := testConfig(t, c.mode)
		cfg.Observe = func(s Seen) { seen = append(seen, s) }
		m := request(t, "52:54:00:12:34:56", append([]dhcpv4.Modifier{clients[1].mod}, c.mods...)...)
		reply, err := testResponder(t, cfg).Answer(t.Context(), m, ServerPort)
		if err != nil {
			t.Fatal(err)
		}
		want := Relay{Addr: netip.MustParseAddr(m.GatewayIPAddr.String()), Remote: "00:1b:0d:01:02:03",
			Circuit: "000400640107"}
		if c.answer != dhcpv4.MessageTypeNak && (len(seen) != 1 || seen[0].Client.Relay != want) {
			t.Errorf("%s: seen %+v", c.name, seen)
		}
		if c.answer == 0 {
			if reply != nil || !strings.Contains(seen[0].Problem, "10.7.0.1") {
				t.Errorf("%s: %v, %q", c.name, reply, seen[0].Problem)
			}
			continue
		}
		if reply == nil || reply.MessageType() != c.answer {
			t.Errorf("%s: %v", c.name, reply)
			continue
		}
		whole := append([]byte{82, byte(len(agent))}, agent...)
		wire := bytes.TrimRight(reply.ToBytes(), "\x00")
		if !bytes.HasSuffix(wire, append(whole, 255)) {
			t.Errorf("%s: option 82 is not the last, or not as it came: %x", c.name, wire)
		}
		if to := destination(m, reply, ServerPort, &net.UDPAddr{}); !to.IP.Equal(m.GatewayIPAddr) ||
			to.Port != ServerPort || !reply.GatewayIPAddr.Equal(m.GatewayIPAddr) {
			t.Errorf("%s: sent to %v, giaddr %v", c.name, to, reply.GatewayIPAddr)
		}
		if c.answer == dhcpv4.MessageTypeNak && !reply.IsBroadcast() { // RFC 2131, 4.3.2
			t.Errorf("%s: a relay may send it to an address that the machine does not have", c.name)
		}
	}
}
