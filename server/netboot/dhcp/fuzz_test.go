package dhcp

import (
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/diskcast/diskcast/server/doc"
)

func FuzzHeard(f *testing.F) {
	m, err := dhcpv4.New(dhcpv4.WithReply(request(f, "52:54:00:00:00:01")),
		dhcpv4.WithMessageType(dhcpv4.MessageTypeOffer), dhcpv4.WithYourIP(net.IPv4(10, 0, 0, 9)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 2))))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(m.ToBytes())
	m.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
	f.Add(m.ToBytes())
	f.Add(request(f, "52:54:00:00:00:01").ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		o := newOthers(slog.New(slog.DiscardHandler))
		o.heard(b, broadcast, netip.MustParseAddr("10.0.0.2"))
		var v doc.DHCP
		o.view(&v)
		if len(v.Others) > 1 || len(v.Warnings) != len(v.Others) {
			t.Errorf("%+v", v)
		}
	})
}

// FuzzDecode: what has its end is read as before, and of what has none, all options are whole.
func FuzzDecode(f *testing.F) {
	whole := request(f, "52:54:00:00:00:01", clients[1].mod).ToBytes()
	f.Add(whole)
	f.Add(withoutEnd(f, "52:54:00:00:00:01"))
	f.Add(append(withoutEnd(f, "52:54:00:00:00:01"), 12, 2, 'a'))
	f.Add(whole[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := decode(b)
		cut(b)
		if want, werr := dhcpv4.FromBytes(b); werr == nil {
			if diff := cmp.Diff(want.ToBytes(), got.ToBytes()); err != nil || diff != "" {
				t.Errorf("%v, %s", err, diff)
			}
			return
		}
		if err != nil {
			return
		}
		rest := b[optionsAt:]
		for len(rest) > 0 && rest[0] == 0 || len(rest) > 1 && len(rest) >= 2+int(rest[1]) {
			if rest[0] == 0 {
				rest = rest[1:]
			} else {
				rest = rest[2+int(rest[1]):]
			}
		}
		if len(rest) > 0 {
			t.Errorf("what ends with a part of an option was read: %x", rest)
		}
	})
}

func FuzzARP(f *testing.F) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 1}
	probe := probeFrame(mac, netip.MustParseAddr("10.0.0.9"))
	reply := append([]byte(nil), probe...)
	reply[7] = arpReply
	copy(reply[14:], []byte{10, 0, 0, 9})
	if got, a, ok := parseARP(reply); !ok || got.String() != mac.String() || a != netip.MustParseAddr("10.0.0.9") {
		f.Fatal(got, a, ok)
	}
	if _, _, ok := parseARP(probe); ok {
		f.Fatal("a probe claims no address")
	}
	f.Add(probe)
	f.Add(reply)
	f.Add(reply[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		if mac, a, ok := parseARP(b); ok && (len(mac) != 6 || !a.Is4()) {
			t.Errorf("%v %v", mac, a)
		}
	})
}
