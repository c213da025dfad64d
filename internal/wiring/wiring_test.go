package wiring

import (
	"net"
	"strings"
	"testing"
)

func TestParseVLAN(t *testing.T) {
	for in, want := range map[string]int{"1": 1, "120": 120, "4094": 4094, "0": 0, "4095": 0, "-1": 0, "": 0,
		"0120": 0, "eth0.5": 0, " 5": 0} {
		got, err := ParseVLAN(in)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %d, %v, want %d", in, got, err, want)
		}
	}
}

func TestParseBond(t *testing.T) {
	for _, c := range []struct{ in, want, err string }{
		{"802.3ad", "802.3ad", ""},
		{"active-backup:eth0,eth1", "active-backup:eth0,eth1", ""},
		{"active-backup:52-54-00-AA-00-01,52:54:00:aa:00:02", "active-backup:52:54:00:aa:00:01,52:54:00:aa:00:02", ""},
		{"lacp", "", "none of the modes"},
		{"", "", "none of the modes"},
		{"802.3ad:", "", "neither the name nor the MAC"},
		{"802.3ad:eth0,", "", "neither the name nor the MAC"},
		{"802.3ad:eth0,eth0", "", "twice"},
		{"802.3ad:a/b", "", "neither the name nor the MAC"},
		{"802.3ad:an-interface-name-too-long", "", "neither the name nor the MAC"},
		{"802.3ad:" + strings.Repeat("e", 600), "", "too long"},
	} {
		b, err := ParseBond(c.in)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.in, err, c.err)
			}
			continue
		}
		if err != nil || b.String() != c.want {
			t.Errorf("%q: %v, %v, want %s", c.in, b, err, c.want)
		}
	}
}

func TestParseIP(t *testing.T) {
	for _, c := range []struct{ in, addr, gateway, dns, nic, err string }{
		{"dhcp", "", "", "", "", ""},
		{"on", "", "", "", "", ""},
		{":::::eth1:dhcp", "", "", "", "eth1", ""},
		{"10.1.2.3::10.1.0.1:255.255.0.0:pc1:eth0:none:10.1.0.53:10.1.0.54:10.1.0.9", "10.1.2.3/16", "10.1.0.1",
			"10.1.0.53 10.1.0.54", "eth0", ""},
		{"192.168.7.5", "192.168.7.5/24", "", "", "", ""},
		{"10.1.2.3/22::10.1.0.1", "10.1.2.3/22", "10.1.0.1", "", "", ""},
		{"10.1.2.3:10.1.0.2:10.1.0.1:255.255.255.0::52-54-00-aa-bb-cc:off", "10.1.2.3/24", "10.1.0.1", "",
			"52-54-00-aa-bb-cc", ""},
		{"", "", "", "", "", "no address"},
		{"eth0:dhcp", "", "", "", "", "no IPv4 address"}, // dracut's
		{"::::::none", "", "", "", "", "no address"},
		{"10.1.2.3:::::eth0:dhcp", "", "", "", "", "leave one of both out"},
		{"10.1.2.3/24:::255.255.255.0", "", "", "", "", "given twice"},
		{"10.1.2.3/33", "", "", "", "", "no length"},
		{"10.1.2.3/0", "", "", "", "", "no length"},
		{"10.1.2.3:::255.0.255.0", "", "", "", "", "holes"},
		{"10.1.2.3:::24", "", "", "", "", "not of the form"},
		{"10.1.2.3::10.1.2.3", "", "", "", "", "and its gateway"},
		{"10.1.2.3::gw", "", "", "", "", "gateway"},
		{"10.1.2.3:::::eth0:none:ns", "", "", "", "", "name server"},
		{"10.1.2.3::::::maybe", "", "", "", "", "no way to get an address"},
		{"224.0.0.1", "", "", "", "", "cannot be the address"},
		{"fd00::5", "", "", "", "", ""},
		{"1:2:3:4:5:6:7:8:9:10:11", "", "", "", "", "more than 10 fields"},
		{"10.1.2.3:::::a b", "", "", "", "", "neither the name"},
	} {
		if c.in == "fd00::5" {
			c.err = "no IPv4 address"
		}
		st, nic, err := ParseIP(c.in)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v, want %q", c.in, err, c.err)
			}
			continue
		}
		var addr, gateway, dns string
		if st != nil {
			addr = st.Addr.String()
			if st.Gateway.IsValid() {
				gateway = st.Gateway.String()
			}
			for _, a := range st.DNS {
				dns = strings.TrimSpace(dns + " " + a.String())
			}
		}
		if err != nil || addr != c.addr || gateway != c.gateway || dns != c.dns || nic != c.nic {
			t.Errorf("%q: %q %q %q %q, %v", c.in, addr, gateway, dns, nic, err)
		}
	}
}

func TestIs(t *testing.T) {
	mac := net.HardwareAddr{0x52, 0x54, 0, 0xaa, 0, 1}
	for word, want := range map[string]bool{"eth0": true, "eth1": false, "52-54-00-AA-00-01": true,
		"52:54:00:aa:00:02": false} {
		if got := Is(word, "eth0", mac); got != want {
			t.Errorf("%s: %v", word, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("10.1.2.3::10.1.0.1:255.255.0.0:pc1:eth0:none:10.1.0.53")
	f.Add("active-backup:52-54-00-AA-00-01,eth0")
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := ParseBond(s); err == nil {
			if again, err := ParseBond(b.String()); err != nil || again.String() != b.String() {
				t.Errorf("%q: %v, %v", s, again, err)
			}
		}
		st, nic, err := ParseIP(s)
		if err != nil {
			return
		}
		if st != nil && (!st.Addr.IsValid() || st.Addr.Bits() < 1) {
			t.Errorf("%q: %v", s, st.Addr)
		}
		if nic != "" && CheckNIC(nic) != nil {
			t.Errorf("%q: NIC %q", s, nic)
		}
	})
}
