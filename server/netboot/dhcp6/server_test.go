package dhcp6

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// TestUndecodedIsSaid: a message that is not whole has no answer, and the operator hears of it once.
func TestUndecodedIsSaid(t *testing.T) {
	whole := ask(dhcpv6.MessageTypeSolicit).ToBytes()
	relayed := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward}
	relayed.AddOption(dhcpv6.OptRelayMessage(ask(dhcpv6.MessageTypeSolicit)))
	relay := relayed.ToBytes()
	for _, tt := range []struct {
		name   string
		from   netip.Addr
		packet []byte
		said   bool
		mac    string
	}{
		{"whole", eui, whole, false, ""},
		{"its last option is cut off", eui, whole[:len(whole)-1], true, mac.String()},
		{"by an address that says nothing", private, whole[:len(whole)-1], true, "52:54:00:00:00:77"},
		{"by one that nobody knows", netip.MustParseAddr("fe80::78"), whole[:len(whole)-1], true, `""`},
		{"half a header", eui, whole[:3], true, mac.String()},
		{"nothing", eui, nil, true, mac.String()},
		{"a relay's is cut off", netip.MustParseAddr("fd00:6::1"), relay[:len(relay)-1], true, `""`},
		{"an answer to a relay", eui, append([]byte{13}, relay[1:]...), false, ""},
		{"of another link", netip.MustParseAddr("fd00:6::1"), whole[:3], false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			cfg := config(nil)
			cfg.Boot.Log = slog.New(slog.NewTextHandler(&out, nil))
			cfg.Neighbour = func(a netip.Addr) string {
				if a == private {
					return "52:54:00:00:00:77"
				}
				return ""
			}
			s := NewServer("none", responder(t, cfg))
			from := netip.AddrPortFrom(tt.from.WithZone("nic0"), ClientPort)
			if !tt.from.IsLinkLocalUnicast() {
				from = netip.AddrPortFrom(tt.from, ClientPort)
			}
			for range 3 {
				reply, _, err := s.answer(tt.packet, from)
				if (err == nil) != (tt.name == "whole") || (reply != nil) != (err == nil) ||
					errors.Is(err, errUndecoded) != tt.said {
					t.Errorf("answer %x, %v", reply, err)
				}
				if err != nil {
					s.unanswered(from, err)
				}
			}
			got := out.String()
			if tt.said != (got != "") || tt.said && (strings.Count(got, "\n") != 1 ||
				!strings.Contains(got, "level=WARN msg=\"DHCPv6 message not answered\" mac="+tt.mac+" ")) {
				t.Errorf("the log says %q", got)
			}
		})
	}
}
