package network

import (
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

func ack(t testing.TB, m ...dhcpv4.Modifier) *dhcpv4.DHCPv4 {
	t.Helper()
	p, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(dhcpv4.MessageTypeAck),
		dhcpv4.WithYourIP(net.IPv4(10, 1, 2, 3))}, m...)...)
	if err != nil {
		t.Fatal(err)
	}
	// What is parsed is what came over the wire.
	if p, err = dhcpv4.FromBytes(p.ToBytes()); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParseLease(t *testing.T) {
	ip := func(d byte) net.IP { return net.IPv4(10, 1, 0, d) }
	static := dhcpv4.OptClasslessStaticRoute(
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(192, 168, 0, 0), Mask: net.CIDRMask(16, 32)}, Router: ip(9)},
		&dhcpv4.Route{Dest: &net.IPNet{IP: net.IPv4(10, 2, 0, 0), Mask: net.CIDRMask(16, 32)}, Router: net.IPv4zero})
	tests := []struct {
		name string
		ack  *dhcpv4.DHCPv4
		want string
	}{
		{"everything", ack(t, dhcpv4.WithNetmask(net.CIDRMask(16, 32)),
			dhcpv4.WithOption(dhcpv4.OptRouter(ip(1), ip(2))),
			dhcpv4.WithOption(dhcpv4.OptDNS(ip(3), ip(4))), dhcpv4.WithLeaseTime(3600),
			dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{35, 40})),
			"10.1.2.3/16 via 10.1.0.1 dns [10.1.0.3 10.1.0.4] mtu 9000 for 1h0m0s"},
		{"an address alone", ack(t), "10.1.2.3/8"},
		{"a hole in the mask", ack(t, dhcpv4.WithNetmask(net.IPMask{255, 0, 255, 0})), "10.1.2.3/8"},
		{"an MTU out of range", ack(t, dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{0, 68})), "10.1.2.3/8"},
		{"for ever", ack(t, dhcpv4.WithLeaseTime(0xffffffff)), "10.1.2.3/8"},
		{"static routes replace the router",
			ack(t, dhcpv4.WithOption(dhcpv4.OptRouter(ip(1))), dhcpv4.WithOption(static)), "10.1.2.3/8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := parseLease(tt.ack)
			if err != nil || l.String() != tt.want {
				t.Errorf("%v, %v, want %s", l, err, tt.want)
			}
		})
	}
	l, _ := parseLease(ack(t, dhcpv4.WithOption(static)))
	if len(l.Routes) != 2 || l.Routes[0].Via.String() != "10.1.0.9" || l.Routes[1].Via.IsValid() {
		t.Errorf("static routes: %v", l.Routes)
	}
	l, _ = parseLease(ack(t, dhcpv4.WithLeaseTime(600),
		dhcpv4.WithGeneric(dhcpv4.OptionRenewTimeValue, []byte{0, 0, 255, 255})))
	if l.RenewAfter != 5*time.Minute {
		t.Errorf("a renewal time beyond the lease: %v", l.RenewAfter)
	}
	if _, err := parseLease(ack(t, dhcpv4.WithYourIP(net.IPv4zero))); err == nil {
		t.Error("a lease without an address")
	}
}

func FuzzParseLease(f *testing.F) {
	f.Add(ack(f, dhcpv4.WithNetmask(net.CIDRMask(16, 32)), dhcpv4.WithLeaseTime(5)).ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := dhcpv4.FromBytes(b)
		if err != nil {
			return
		}
		if l, err := parseLease(p); err == nil {
			_ = l.String()
		}
	})
}
