package dhcp6

import (
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// TestRelayedByDnsmasq has ISC's client on a LAN behind a router, whose relay is dnsmasq: it gets an address of its own
// LAN, by which the server knows it again.
func TestRelayedByDnsmasq(t *testing.T) {
	dhclient, dnsmasq := need.Tool(t, "dhclient"), need.Tool(t, "dnsmasq")
	n := nettest.New(t)
	far, err := netlab.Namespace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	const router, host, lan = "rel0", "far0", "fd00:6::1/64"
	var mac net.HardwareAddr
	try := func(steps ...func() error) func() {
		return func() {
			for _, step := range steps {
				if err := step(); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}
	n.DoClient(try( // the router
		func() error {
			return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: router}, PeerName: host,
				PeerNamespace: netlink.NsFd(far.Fd())})
		},
		func() error { return raise(router) },
		func() error { return nettest.AddAddr(router, lan) },
		func() error { return nettest.AddAddr(nettest.Client, "fd00:5::2/64") },
		func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0) },
	))
	in(t, far, try(
		func() error { return raise(host) },
		func() error { return nettest.WaitLinkLocal(host) },
		func() error {
			ifi, err := net.InterfaceByName(host)
			if err == nil {
				mac = ifi.HardwareAddr
			}
			return err
		}))
	n.Do(try(
		func() error { return nettest.AddAddr(nettest.Server, "fd00:5::1/64") },
		func() error {
			_, to, err := net.ParseCIDR("fd00:6::/64")
			if err != nil {
				return err
			}
			return netlink.RouteAdd(&netlink.Route{Dst: to, Gw: net.ParseIP("fd00:5::2")})
		}))
	if t.Failed() {
		t.FailNow()
	}
	r := serve(t, n)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	relay := exec.CommandContext(ctx, dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
		"--user=root", "--pid-file=", "--log-dhcp", "--log-facility=-",
		"--dhcp-relay=fd00:6::1,fd00:5::1", "--interface="+router, "--interface="+nettest.Client, "--bind-interfaces")
	proc.Bind(relay)
	log, err := os.Create(filepath.Join(dir, "relay.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	relay.Stdout, relay.Stderr = log, log
	ended := make(chan struct{})
	go func() { // ends with the relay, which is bound to this thread
		defer close(ended)
		n.DoClient(try(func() error { return nettest.WaitLinkLocal(router) }, func() error {
			if err := relay.Run(); ctx.Err() == nil {
				return err
			}
			return nil
		}))
	}()
	defer func() { cancel(); <-ended }()
	want := r.address("mac "+string(mac), netip.MustParsePrefix(lan).Masked()).String()
	var out []byte
	in(t, far, func() { // it asks again until the relay is there
		cmd := exec.CommandContext(ctx, dhclient, "-6", "-1", "-d", "-v", "-sf", "/bin/true", "-lf",
			filepath.Join(dir, "leases"), "-pf", filepath.Join(dir, "pid"), "-cf", "/dev/null", "--no-pid", host)
		proc.Bind(cmd)
		out, err = said(cmd, want)
	})
	if err != nil || !strings.Contains(string(out), "IAADDR "+want) {
		log, _ := os.ReadFile(log.Name())
		t.Errorf("want the address %s: %v\n%s\nthe relay:\n%s", want, err, out, log)
	}
}

// in runs f in a network namespace and waits for it.
func in(t *testing.T, ns *os.File, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// raise brings an interface up, without a second of looking whether another has its addresses.
func raise(name string) error {
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0); err != nil {
		return err
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}
