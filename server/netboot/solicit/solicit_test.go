package solicit

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/net/ipv6"

	"github.com/diskcast/diskcast/internal/testenv/nettest"
)

// solicitation as iPXE sends it, with its link-layer address.
func solicitation(mac net.HardwareAddr) []byte {
	return append([]byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1}, mac...)
}

func TestSender(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}
	eui := netip.MustParseAddr("fe80::5054:ff:fe12:3456")
	private := netip.MustParseAddr("fe80::1")
	for _, c := range []struct {
		name   string
		packet []byte
		from   netip.Addr
		want   string
	}{
		{"option", solicitation(mac), private, mac.String()},
		{"address", solicitation(mac)[:8], eui, mac.String()},
		{"neither", solicitation(mac)[:8], private, ""},
		{"unknown option before", append([]byte{133, 0, 0, 0, 0, 0, 0, 0, 14, 1, 1, 2, 3, 4, 5, 6, 1, 1}, mac...),
			private, mac.String()},
		{"option of no length", []byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, eui, ""},
		{"option beyond the end", []byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0, 0, 0}, eui, ""},
		{"short", []byte{133, 0}, eui, ""},
		{"another message", append([]byte{134}, solicitation(mac)[1:]...), eui, ""},
	} {
		if got := sender(c.packet, c.from); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzSender(f *testing.F) {
	f.Add(solicitation(net.HardwareAddr{1, 2, 3, 4, 5, 6}),
		[]byte("\xfe\x80\x00\x00\x00\x00\x00\x00\x50\x54\x00\xff\xfe\x12\x34\x56"))
	f.Fuzz(func(t *testing.T, packet, from []byte) {
		a, _ := netip.AddrFromSlice(from)
		if mac := sender(packet, a); mac != "" {
			if _, err := net.ParseMAC(mac); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestOverTheWire asks before and after the server knows that the machine boots.
func TestOverTheWire(t *testing.T) {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		t.Skip("this kernel has no IPv6")
	}
	n := nettest.New(t)
	// The server answers from its link-local address, which the kernel may give it later than the client has one.
	n.Do(func() {
		if err := nettest.WaitLinkLocal(nettest.Server); err != nil {
			t.Error(err)
		}
	})
	s := New(nettest.Server, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := n.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	<-s.Ready()
	n.DoClient(func() {
		if err := nettest.WaitLinkLocal(nettest.Client); err != nil {
			t.Error(err)
			return
		}
		ifi, err := net.InterfaceByName(nettest.Client)
		if err != nil {
			t.Error(err)
			return
		}
		raw, err := net.ListenPacket("ip6:ipv6-icmp", "::")
		if err != nil {
			t.Error(err)
			return
		}
		defer raw.Close()
		conn := ipv6.NewPacketConn(raw)
		var filter ipv6.ICMPFilter
		filter.SetAll(true)
		filter.Accept(ipv6.ICMPTypeRouterAdvertisement)
		err = errors.Join(conn.SetICMPFilter(&filter), conn.SetControlMessage(ipv6.FlagHopLimit|ipv6.FlagDst, true),
			conn.SetMulticastInterface(ifi), conn.SetMulticastHopLimit(255))
		if err != nil {
			t.Error(err)
			return
		}
		ask := func() {
			if _, err := conn.WriteTo(solicitation(ifi.HardwareAddr), nil,
				&net.IPAddr{IP: net.IPv6linklocalallrouters, Zone: ifi.Name}); err != nil {
				t.Errorf("ask: %v", err)
			}
		}
		heard := func(wait time.Duration) bool {
			buf := make([]byte, 100)
			if err := raw.SetReadDeadline(time.Now().Add(wait)); err != nil {
				t.Error(err)
			}
			n, cm, _, err := conn.ReadFrom(buf)
			if err != nil {
				return false
			}
			if n != 16 || cm.HopLimit != 255 || cm.Dst.IsMulticast() || buf[5] != 0 || buf[6] != 0 || buf[7] != 0 {
				t.Errorf("advertisement %x to %v with hop limit %d", buf[:n], cm.Dst, cm.HopLimit)
			}
			return true
		}
		ask()
		if heard(200 * time.Millisecond) {
			t.Error("a host that does not boot was answered")
		}
		s.Booting(ifi.HardwareAddr.String())
		if !heard(5 * time.Second) {
			t.Error("the question asked before DHCP was not answered after it")
		}
		ask()
		if !heard(5 * time.Second) {
			t.Error("a machine that boots was not answered")
		}
	})
	cancel()
	<-done
}
