package network

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// namespace moves the test into a network namespace of its own, without a name: it goes away with the thread.
func namespace(t *testing.T) {
	t.Helper()
	need.Root(t)
	runtime.LockOSThread() // never unlocked: the thread ends with the test's goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// cable makes a veth pair; the server's end has an address and is up.
func cable(t *testing.T, client, server string, addr string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: client}, PeerName: server}))
	l, err := netlink.LinkByName(server)
	must(err)
	a, err := netlink.ParseAddr(addr)
	must(err)
	must(netlink.AddrAdd(l, a))
	must(netlink.LinkSetUp(l))
}

// dhcpServer answers on an interface; the first discover is lost on purpose.
func dhcpServer(t *testing.T, nic string, m ...dhcpv4.Modifier) *atomic.Int32 {
	t.Helper()
	conn, err := server4.NewIPv4UDPConn(nic, &net.UDPAddr{Port: dhcpv4.ServerPort})
	if err != nil {
		t.Fatal(err)
	}
	var discovers atomic.Int32
	s, err := server4.NewServer(nic, nil, func(conn net.PacketConn, peer net.Addr, req *dhcpv4.DHCPv4) {
		if req.ClassIdentifier() != VendorClass {
			t.Errorf("vendor class %q", req.ClassIdentifier())
		}
		kind := dhcpv4.MessageTypeAck
		if req.MessageType() == dhcpv4.MessageTypeDiscover {
			kind = dhcpv4.MessageTypeOffer
			if discovers.Add(1) == 1 {
				return
			}
		}
		r, err := dhcpv4.NewReplyFromRequest(req,
			append([]dhcpv4.Modifier{dhcpv4.WithMessageType(kind),
				dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 9, 0, 1)))}, m...)...)
		if err == nil {
			_, err = conn.WriteTo(r.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort})
		}
		if err != nil {
			t.Error(err)
		}
	}, server4.WithConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve() }()
	t.Cleanup(func() { s.Close(); <-done })
	return &discovers
}

// TestLinux brings a real interface up against a real DHCP server, and takes everything away again.
func TestLinux(t *testing.T) {
	namespace(t)
	cable(t, "eth0", "srv0", "10.9.0.1/24")
	discovers := dhcpServer(t, "srv0",
		dhcpv4.WithYourIP(net.IPv4(10, 9, 0, 77)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(600),
		// Not the address of srv0: that is local here, and the kernel takes no such router.
		dhcpv4.WithOption(dhcpv4.OptRouter(net.IPv4(10, 9, 0, 254))),
		dhcpv4.WithOption(dhcpv4.OptDNS(net.IPv4(10, 9, 0, 53))),
		dhcpv4.WithOption(dhcpv4.OptDomainName("lab.example")),
		dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, []byte{5, 120}))
	eth0, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	resolv := filepath.Join(t.TempDir(), "etc", "resolv.conf")
	sys := &Linux{ResolvConf: resolv}
	link, err := Up(ctx, Options{System: sys, BootMAC: eth0.Attrs().HardwareAddr})
	if err != nil {
		t.Fatal(err)
	}
	if link.Name != "eth0" || link.Lease.Addr != netip.MustParsePrefix("10.9.0.77/24") ||
		link.Lease.RenewAfter != 5*time.Minute {
		t.Errorf("%+v", link.Lease)
	}
	if discovers.Load() < 2 {
		t.Error("the lost discover was not repeated")
	}
	if got := Addrs("eth0"); len(got) == 0 || got[0] != "10.9.0.77/24" {
		t.Errorf("addresses %v", got)
	}
	if eth0, _ = netlink.LinkByName("eth0"); eth0.Attrs().MTU != 1400 {
		t.Errorf("MTU %d", eth0.Attrs().MTU)
	}
	routes, err := netlink.RouteList(eth0, netlink.FAMILY_V4)
	if err != nil || len(routes) != 2 {
		t.Errorf("routes %v, %v", routes, err)
	}
	if b, err := os.ReadFile(resolv); err != nil || string(b) != "search lab.example\nnameserver 10.9.0.53\n" {
		t.Errorf("%q, %v", b, err)
	}

	next, err := sys.Renew(ctx, "eth0", link.Lease)
	if err != nil || next.Addr != link.Lease.Addr {
		t.Errorf("renewal: %v, %v", next, err)
	}
	// Setting it a second time is what a renewal does.
	if err := sys.Configure("eth0", next); err != nil {
		t.Error(err)
	}
	if err := sys.Deconfigure("eth0", next); err != nil {
		t.Error(err)
	}
	if got := strings.Join(Addrs("eth0"), " "); strings.Contains(got, "10.9.0.77") {
		t.Errorf("addresses left: %s", got)
	}
}

// TestLinuxTriesEach: two NICs with a link, a DHCP server on the second only.
func TestLinuxTriesEach(t *testing.T) {
	namespace(t)
	cable(t, "eth0", "srv0", "10.8.0.1/24")
	cable(t, "eth1", "srv1", "10.9.0.1/24")
	dhcpServer(t, "srv1", dhcpv4.WithYourIP(net.IPv4(10, 9, 0, 77)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)))
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
	defer cancel()
	sys := &only{Linux: &Linux{}, names: "eth0 eth1"}
	link, err := Up(ctx, Options{System: sys, WaitLease: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if link.Name != "eth1" {
		t.Errorf("%s", link.Name)
	}
}

// only hides the far ends of the cables.
type only struct {
	*Linux
	names string
}

func (o *only) Interfaces() ([]Interface, error) {
	all, err := o.Linux.Interfaces()
	var out []Interface
	for _, n := range all {
		if strings.Contains(o.names, n.Name) {
			out = append(out, n)
		}
	}
	return out, err
}
