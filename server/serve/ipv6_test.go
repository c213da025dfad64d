package serve

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// TestByIPv6: what does not go with the kind of the server's address is refused, and says what does.
func TestByIPv6(t *testing.T) {
	four, six := "10.0.0.1/24", "fd00::1/64"
	groups := func(s string) func(*Config) { return func(c *Config) { c.Groups = netip.MustParsePrefix(s) } }
	dns := func(s string) func(*Config) { return func(c *Config) { c.DNS = []netip.Addr{netip.MustParseAddr(s)} } }
	for _, c := range []struct {
		name, addr string
		set        func(*Config)
		want       string // part of the error; empty: none
	}{
		{"IPv4", four, func(*Config) {}, ""},
		{"IPv6", six, func(*Config) {}, ""},
		{"beside another server", six, func(c *Config) { c.DHCP = dhcp.Proxy }, "--dhcp full, or with --dhcp off"},
		{"a range", six, func(c *Config) { c.Range = "10.0.0.2-10.0.0.9" }, "--dhcp-range is IPv4's"},
		{"a router", six, func(c *Config) { c.Router = netip.MustParseAddr("10.0.0.254") }, "--router is IPv4's"},
		{"groups of its own", six, groups("ff15::1:0/112"), ""},
		{"groups of IPv4", six, groups("239.1.0.0/16"), "name some such as ff15:"},
		{"groups of IPv6 on IPv4", four, groups("ff15::1:0/112"), "is of IPv6"},
		{"a name server", six, dns("fd00::53"), ""},
		{"a name server of IPv4", six, dns("10.0.0.53"), "name an IPv6 address"},
		{"a name server of IPv6 on IPv4", four, dns("fd00::53"), "name an IPv4 address"},
		{"what is on the link", six, func(c *Config) { c.Advertise = true }, ""},
		{"what is on the link, on IPv4", four, func(c *Config) { c.Advertise = true }, "name the IPv6 one with " +
			"--address"},
		{"what is on a long link", "fd00::1/72", func(c *Config) { c.Advertise = true }, "no /64"},
	} {
		cfg := Config{DHCP: dhcp.Full, Groups: cast.DefaultGroups}
		c.set(&cfg)
		prefix := netip.MustParsePrefix(c.addr)
		err := cfg.byIPv6(prefix)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err == nil && cfg.Groups.Addr().Is6() != prefix.Addr().Is6() {
			t.Errorf("%s: groups %v", c.name, cfg.Groups)
		}
	}
}
