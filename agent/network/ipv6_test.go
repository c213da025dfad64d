package network

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// dnsmasq6 serves a LAN with IPv6 alone until the test ends.
func dnsmasq6(t *testing.T, iface string, more ...string) {
	t.Helper()
	cmd := exec.Command(need.Tool(t, "dnsmasq"), append([]string{"--keep-in-foreground", "--conf-file=/dev/null",
		"--port=0",
		"--bind-interfaces", "--interface=" + iface, "--user=root", "--dhcp-leasefile=" + filepath.Join(t.TempDir(),
			"leases"), "--log-facility=-", "--log-dhcp", "--pid-file="}, more...)...)
	r, w := io.Pipe()
	cmd.Stderr = w
	proc.Bind(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		w.Close()
	})
	lines := bufio.NewScanner(r)
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
		if strings.Contains(lines.Text(), "sockets bound exclusively") ||
			strings.Contains(lines.Text(), "DHCPv6") || strings.Contains(lines.Text(), "IPv6 router advertisement "+
			"enabled") {
			go func() { // ends with dnsmasq
				for lines.Scan() {
				}
			}()
			return
		}
	}
	t.Fatalf("dnsmasq did not start:\n%s", strings.Join(all, "\n"))
}

// TestIPv6 brings an interface up on LANs of each kind, served by another program, and finds the way to the server.
func TestIPv6(t *testing.T) {
	server := netip.MustParseAddr("fd09::1")
	for _, c := range []struct {
		name string
		args []string
		lan  string // that the address must be in
		bits int
		own  bool // the kernel made it
	}{
		{"DHCPv6 and a router's word", []string{"--enable-ra", "--dhcp-range=fd09::100,fd09::1ff,64,10m",
			"--dhcp-option=option6:dns-server,[fd09::53]"}, "fd09::100/120", 128, false},
		{"DHCPv6 alone", []string{"--dhcp-range=fd09::100,fd09::1ff,64,10m"}, "fd09::100/120", 128, false},
		{"a router's prefix alone", []string{"--enable-ra", "--dhcp-range=fd09::,ra-only,64,10m"}, "fd09::/64", 64,
			true},
	} {
		t.Run(c.name, func(t *testing.T) {
			namespace(t)
			cable(t, "eth0", "srv0", "10.9.0.1/24")
			srv, err := netlink.LinkByName("srv0")
			if err != nil {
				t.Fatal(err)
			}
			addr, err := netlink.ParseAddr("fd09::1/64")
			if err != nil {
				t.Fatal(err)
			}
			// The far end is in the same namespace: what the node sends must go over the cable all the same.
			addr.Flags = unix.IFA_F_NODAD
			if err := netlink.AddrAdd(srv, addr); err != nil {
				t.Fatal(err)
			}
			dnsmasq6(t, "srv0", c.args...)
			resolv := filepath.Join(t.TempDir(), "resolv.conf")
			eth0, err := netlink.LinkByName("eth0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			sys := &Linux{ResolvConf: resolv, Server: server}
			link, err := Up(ctx, Options{System: sys, BootMAC: eth0.Attrs().HardwareAddr})
			if err != nil {
				t.Fatal(err)
			}
			got := link.Lease
			if !netip.MustParsePrefix(c.lan).Contains(got.Addr.Addr()) || got.Addr.Bits() != c.bits ||
				got.kernel != c.own {
				t.Errorf("lease %+v, want an address of %s", got, c.lan)
			}
			if !slices.ContainsFunc(Addrs("eth0"), func(a string) bool { return a == got.Addr.String() }) {
				t.Errorf("addresses %v, want %v among them", Addrs("eth0"), got.Addr)
			}
			routes, err := netlink.RouteList(eth0, netlink.FAMILY_V6)
			if err != nil || !slices.ContainsFunc(routes, func(r netlink.Route) bool {
				return r.Dst != nil && r.Dst.String() == "fd09::/64"
			}) {
				t.Errorf("routes %v, %v; want one to the LAN", routes, err)
			}
			if strings.Contains(strings.Join(c.args, " "), "dns-server") {
				if b, err := os.ReadFile(resolv); err != nil || !strings.Contains(string(b), "nameserver fd09::53") {
					t.Errorf("%q, %v", b, err)
				}
			}
			if c.own {
				return
			}
			next, err := sys.Renew(ctx, "eth0", got)
			if err != nil || next.Addr != got.Addr {
				t.Errorf("renewal: %v, %v", next, err)
			}
			if err := sys.Deconfigure("eth0", got); err != nil {
				t.Error(err)
			}
			if slices.Contains(Addrs("eth0"), got.Addr.String()) {
				t.Errorf("addresses left: %v", Addrs("eth0"))
			}
		})
	}
}

// TestIPv6Taken: an address that another machine has already is not used, and is given back: the next is another.
func TestIPv6Taken(t *testing.T) {
	namespace(t)
	cable(t, "eth0", "srv0", "10.9.0.1/24")
	srv, err := netlink.LinkByName("srv0")
	if err != nil {
		t.Fatal(err)
	}
	has := func(text string) {
		t.Helper()
		addr, err := netlink.ParseAddr(text)
		if err == nil {
			addr.Flags = unix.IFA_F_NODAD
			err = netlink.AddrAdd(srv, addr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	has("fd09::1/64")
	dnsmasq6(t, "srv0", "--dhcp-range=fd09::100,fd09::101,64,10m")
	sys := &Linux{Server: netip.MustParseAddr("fd09::1")}
	if err := sys.SetUp("eth0"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	first, err := sys.Lease(ctx, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	has(first.Addr.Addr().String() + "/64")
	if err := sys.Configure("eth0", first); err == nil || !strings.Contains(err.Error(), "is another machine's "+
		"already") {
		t.Fatalf("the address of another machine: %v", err)
	}
	if slices.Contains(Addrs("eth0"), first.Addr.String()) {
		t.Errorf("it stays: %v", Addrs("eth0"))
	}
	second, err := sys.Lease(ctx, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	if second.Addr == first.Addr {
		t.Errorf("the server gives %v again: it was not told", second.Addr)
	}
	if err := sys.Configure("eth0", second); err != nil {
		t.Error(err)
	}
}

// TestParseLease6: what is no address of a node's is none.
func TestParseLease6(t *testing.T) {
	ia := func(addr string, valid, t1 time.Duration) *dhcpv6.Message {
		m := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply}
		o := &dhcpv6.OptIANA{T1: t1}
		o.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP(addr), ValidLifetime: valid})
		m.AddOption(o)
		return m
	}
	full := ia("fd09::7", time.Hour, 0)
	full.Options.OneIANA().Options.Add(&dhcpv6.OptStatusCode{StatusCode: iana.StatusNoAddrsAvail,
		StatusMessage: "full"})
	for _, c := range []struct {
		name string
		m    *dhcpv6.Message
		want time.Duration // RenewAfter; -1: an error
	}{
		{"an address", ia("fd09::7", time.Hour, 10*time.Minute), 10 * time.Minute},
		{"no time to renew", ia("fd09::7", time.Hour, 0), 30 * time.Minute},
		{"a time to renew after its end", ia("fd09::7", time.Hour, 2*time.Hour), 30 * time.Minute},
		{"over", ia("fd09::7", 0, 0), -1},
		{"link-local", ia("fe80::7", time.Hour, 0), -1},
		{"a group", ia("ff02::1", time.Hour, 0), -1},
		{"of IPv4", ia("::ffff:10.0.0.1", time.Hour, 0), -1},
		{"none left", full, -1},
		{"nothing", &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply}, -1},
	} {
		l, err := parseLease6(c.m)
		if (err != nil) != (c.want < 0) || err == nil && (l.RenewAfter != c.want || l.Addr.Bits() != 128) {
			t.Errorf("%s: %+v, %v; want %v", c.name, l, err, c.want)
		}
	}
}

func FuzzParseLease6(f *testing.F) {
	m := &dhcpv6.Message{MessageType: dhcpv6.MessageTypeReply}
	o := &dhcpv6.OptIANA{T1: time.Minute}
	o.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: net.ParseIP("fd09::7"), ValidLifetime: time.Hour})
	m.AddOption(o)
	f.Add(m.ToBytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			return
		}
		if l, err := parseLease6(m); err == nil && (!l.Addr.Addr().IsGlobalUnicast() || l.RenewAfter < 0) {
			t.Errorf("%+v", l)
		}
	})
}
