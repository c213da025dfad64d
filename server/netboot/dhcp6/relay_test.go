package dhcp6

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// passOn is what a relay makes of a message.
func passOn(inner dhcpv6.DHCPv6, link, peer string, mods ...dhcpv6.Option) *dhcpv6.RelayMessage {
	m := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward, LinkAddr: net.ParseIP(link),
		PeerAddr: net.ParseIP(peer)}
	for _, o := range mods {
		m.AddOption(o)
	}
	m.AddOption(dhcpv6.OptRelayMessage(inner))
	return m
}

// ethernet is the word of a relay for the machine's MAC address (RFC 6939).
func ethernet(mac net.HardwareAddr) dhcpv6.Option {
	return dhcpv6.OptClientLinkLayerAddress(iana.HWTypeEthernet, mac)
}

// TestRelayed: a relay's message is answered by the same relays, with an address of the machine's LAN, and who passed
// it on is known.
func TestRelayed(t *testing.T) {
	port := dhcpv6.OptInterfaceID([]byte("ge-0/0/7"))
	remote := &dhcpv6.OptRemoteID{EnterpriseNumber: 9, RemoteID: []byte{2, 0, 0, 0, 0, 9}}
	solicit := ask(dhcpv6.MessageTypeSolicit, as("HTTPClient", iana.EFI_X86_64_HTTP)...)
	const here, there, private = "fd00:5::", "fd00:6::", "fe80::77"
	for _, c := range []struct {
		name  string
		m     *dhcpv6.RelayMessage
		lan   string
		mac   net.HardwareAddr
		relay string
	}{
		{"a router's, of another LAN", passOn(solicit, "fd00:6::1", eui.String(), port), there, mac,
			"fd00:6::1/-/ge-0/0/7"},
		{"a machine whose address says nothing", passOn(solicit, "fd00:6::1", private, ethernet(mac)), there, mac,
			"fd00:6::1/-/-"},
		{"one that nobody knows", passOn(solicit, "fd00:6::1", private), there, nil, "fd00:6::1/-/-"},
		{"a switch's, of this LAN", passOn(solicit, "::", private, port, remote), here,
			net.HardwareAddr{2, 0, 0, 0, 0, 7}, "-/02:00:00:00:00:09/ge-0/0/7"},
		{"a switch's behind a router's", passOn(passOn(solicit, "::", eui.String(), port, remote), "fd00:6::1",
			eui.String(), dhcpv6.OptInterfaceID([]byte("vlan6"))), there, mac, "fd00:6::1/02:00:00:00:00:09/ge-0/0/7"},
		{"two routers", passOn(passOn(solicit, "fd00:6::1", eui.String()), "fd00:7::1", "fd00:6::1"), there, mac,
			"fd00:6::1/-/-"},
		{"one that names itself by a link-local address", passOn(solicit, "fe80::1", eui.String()), here, mac,
			"fe80::1/-/-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var seen dhcp.Seen
			cfg := config(&seen)
			// On this LAN the kernel knows whose the private address is; on another the same may be somebody else's.
			cfg.Neighbour = func(a netip.Addr) string {
				if a.String() == private {
					return "02:00:00:00:00:07"
				}
				return ""
			}
			reply, err := responder(t, cfg).Relayed(c.m)
			if err != nil || reply == nil {
				t.Fatalf("%v, %v", reply, err)
			}
			var got, want dhcpv6.DHCPv6 = reply, c.m
			for want.IsRelay() {
				g, w := got.(*dhcpv6.RelayMessage), want.(*dhcpv6.RelayMessage)
				if g.MessageType != dhcpv6.MessageTypeRelayReply || !g.LinkAddr.Equal(w.LinkAddr) ||
					!g.PeerAddr.Equal(w.PeerAddr) || g.HopCount != w.HopCount ||
					!slices.Equal(g.Options.InterfaceID(), w.Options.InterfaceID()) {
					t.Errorf("a relay is given %v, of its %v", g, w)
				}
				got, want = g.Options.RelayMessage(), w.Options.RelayMessage()
			}
			m := got.(*dhcpv6.Message)
			if a := addrs(m); m.MessageType != dhcpv6.MessageTypeAdvertise || len(a) != 1 ||
				!strings.HasPrefix(a[0], c.lan) {
				t.Errorf("the machine is given %v, want an address in %s", m, c.lan)
			}
			if m.Options.BootFileURL() != "http://[fd00:5::1]:8080/boot/snponly.efi" {
				t.Errorf("it is sent to %q", m.Options.BootFileURL())
			}
			if seen.Client.MAC.String() != c.mac.String() || seen.Client.Relay.String() != c.relay {
				t.Errorf("seen of %v by %v, want %v by %s", seen.Client.MAC, seen.Client.Relay, c.mac, c.relay)
			}
		})
	}
}

// TestOneAddressEach: a NIC has one address on each LAN, by a relay or not.
func TestOneAddressEach(t *testing.T) {
	r := responder(t, config(nil))
	of := func(link string) []string {
		t.Helper()
		reply, err := r.Relayed(passOn(ask(dhcpv6.MessageTypeSolicit), link, eui.String()))
		if err != nil {
			t.Fatal(err)
		}
		return addrs(reply.Options.RelayMessage().(*dhcpv6.Message))
	}
	direct := addrs(must(t)(r.Answer(ask(dhcpv6.MessageTypeSolicit), eui)))
	if got := of("fd00:5::9"); !slices.Equal(got, direct) {
		t.Errorf("%v by a relay, and %v without one", got, direct)
	}
	if got := of("fd00:6::1"); slices.Equal(got, direct) || !slices.Equal(got, of("fd00:6::2")) {
		t.Errorf("%v and %v on another LAN, and %v here", got, of("fd00:6::2"), direct)
	}
	// Whether an address is of its LAN is asked of the machine's.
	old := dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("fd00:6::99")})
	for link, want := range map[string]iana.StatusCode{"fd00:6::1": iana.StatusSuccess,
		"fd00:5::9": iana.StatusNotOnLink} {
		reply, err := r.Relayed(passOn(ask(dhcpv6.MessageTypeConfirm, old), link, eui.String()))
		if err != nil {
			t.Fatal(err)
		}
		if st := reply.Options.RelayMessage().(*dhcpv6.Message).Options.Status(); st == nil || st.StatusCode != want {
			t.Errorf("a confirmation on %s: %v, want %v", link, st, want)
		}
	}
}

// TestNotRelayed: what no relay would pass on has no answer, and says why.
func TestNotRelayed(t *testing.T) {
	r := responder(t, config(nil))
	solicit := ask(dhcpv6.MessageTypeSolicit)
	deep := passOn(solicit, "fd00:6::1", eui.String())
	for range maxRelays {
		deep = passOn(deep, "fd00:6::1", "fd00:6::1")
	}
	reply := passOn(solicit, "fd00:6::1", eui.String())
	reply.MessageType = dhcpv6.MessageTypeRelayReply
	for _, c := range []struct {
		name string
		m    *dhcpv6.RelayMessage
		want string // of the error; empty: none
	}{
		{"a server's answer", reply, "none of a machine's"},
		{"a server's answer within", passOn(reply, "fd00:6::1", "fd00:6::1"), "none of a machine's"},
		{"nothing", &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward,
			PeerAddr: net.ParseIP("fe80::1")}, "passed nothing on"},
		{"of nobody", passOn(solicit, "fd00:6::1", "::"), "no machine's address"},
		{"of a group", passOn(solicit, "fd00:6::1", "ff02::1"), "no machine's address"},
		{"of a LAN that is a group", passOn(solicit, "ff02::1", eui.String()), "no LAN's address"},
		{"of a LAN of IPv4", passOn(solicit, "::ffff:10.0.0.1", eui.String()), "no LAN's address"},
		{"by too many", deep, "more than 8 relays"},
		{"what servers say", passOn(ask(dhcpv6.MessageTypeReply), "fd00:6::1", eui.String()), ""},
	} {
		got, err := r.Relayed(c.m)
		if got != nil || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v; want %q", c.name, got, err, c.want)
		}
	}
}

// TestRelayPort: an answer goes to a relay's port 547, or, where it asks for that, to the one that it came from.
func TestRelayPort(t *testing.T) {
	s := NewServer("none", responder(t, config(nil)))
	from := netip.MustParseAddrPort("[fd00:6::1]:32000")
	plain := passOn(ask(dhcpv6.MessageTypeSolicit), "fd00:6::1", eui.String())
	other := passOn(ask(dhcpv6.MessageTypeSolicit), "fd00:6::1", eui.String(), dhcpv6.OptRelayPort(0))
	for want, m := range map[uint16]*dhcpv6.RelayMessage{ServerPort: plain, from.Port(): other} {
		reply, port, err := s.answer(m.ToBytes(), from)
		if err != nil || port != want {
			t.Fatalf("to port %d, %v; want %d", port, err, want)
		}
		back, err := dhcpv6.RelayMessageFromBytes(reply)
		if err != nil || (back.Options.RelayPort() != nil) != (want != ServerPort) {
			t.Errorf("%v, %v", back, err)
		}
	}
	// Without a relay only the LAN itself is answered.
	if reply, _, err := s.answer(ask(dhcpv6.MessageTypeSolicit).ToBytes(), from); reply != nil || err == nil {
		t.Errorf("a machine of another LAN without a relay: %x, %v", reply, err)
	}
}
