package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"

	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/uml"
	"github.com/diskcast/diskcast/internal/wiring"
)

// What needs VLANs and bonds of a kernel, which that of the test's machine may not have, is done in user-mode Linux.
func init() {
	uml.Handle("network", func(t uml.Task) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
		defer cancel()
		if err := guestModules("veth", "8021q", "bonding", "bridge"); err != nil {
			return "", err
		}
		return guestWork[t.Args[0]](ctx)
	})
}

func guestModules(names ...string) error {
	dirs, err := filepath.Glob("/usr/lib/uml/modules/*")
	if err != nil || len(dirs) == 0 {
		return fmt.Errorf("no modules for the guest: %w", err)
	}
	index, err := kmod.Load(os.DirFS(dirs[0]))
	if err != nil {
		return err
	}
	l := &kmod.Loader{Index: index, Dir: os.DirFS(dirs[0]), Kernel: kmod.System{}, Log: slog.New(slog.DiscardHandler),
		Params: func(string) string { return "" }}
	for _, n := range names {
		if _, err := l.Load(n); err != nil {
			return fmt.Errorf("module %s: %w", n, err)
		}
	}
	return nil
}

// ip runs iproute2 line by line: the far side of each test is made by it.
func ip(lines string) error {
	for line := range strings.Lines(lines) {
		words := strings.Fields(line)
		if out, err := exec.Command("/sbin/ip", words...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(words, " "), err, out)
		}
	}
	return nil
}

// serve answers DHCP on an interface.
func serve(nic string, address net.IP) (stop func(), err error) {
	conn, err := server4.NewIPv4UDPConn(nic, &net.UDPAddr{Port: dhcpv4.ServerPort})
	if err != nil {
		return nil, err
	}
	s, err := server4.NewServer(nic, nil, func(conn net.PacketConn, _ net.Addr, req *dhcpv4.DHCPv4) {
		kind := dhcpv4.MessageTypeAck
		if req.MessageType() == dhcpv4.MessageTypeDiscover {
			kind = dhcpv4.MessageTypeOffer
		}
		r, err := dhcpv4.NewReplyFromRequest(req, dhcpv4.WithMessageType(kind), dhcpv4.WithYourIP(address),
			dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(600),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 9, 0, 1))))
		if err == nil {
			_, _ = conn.WriteTo(r.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort})
		}
	}, server4.WithConn(conn))
	if err != nil {
		return nil, err
	}
	var done sync.WaitGroup
	done.Go(func() { _ = s.Serve() })
	return func() { s.Close(); done.Wait() }, nil
}

// shown is what iproute2 says of an interface, in one line.
func shown(name string) (string, error) {
	out, err := exec.Command("/sbin/ip", "-d", "-o", "link", "show", name).CombinedOutput()
	return string(out), err
}

func guestUp(ctx context.Context, names string, w wiring.Settings) (*Link, *Linux, error) {
	var log bytes.Buffer
	sys := &Linux{Log: slog.New(slog.NewTextHandler(&log, nil))}
	link, err := Up(ctx, Options{System: &only{Linux: sys, names: names}, Wiring: w, WaitCarrier: 2 * time.Second,
		Log: sys.Log})
	if err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", err, &log)
	}
	return link, sys, nil
}

var guestWork = map[string]func(context.Context) (string, error){
	// The server answers in VLAN 120 only.
	"vlan": func(ctx context.Context) (string, error) {
		err := ip(`link set lo up
			link add eth0 type veth peer name srv0
			link set srv0 up
			link add link srv0 name srv120 type vlan id 120
			addr add 10.9.0.1/24 dev srv120
			link set srv120 up`)
		if err != nil {
			return "", err
		}
		stop, err := serve("srv120", net.IPv4(10, 9, 0, 77))
		if err != nil {
			return "", err
		}
		defer stop()
		w := wiring.Settings{VLAN: 120}
		for range 2 { // the second time as an agent that was started again
			link, _, err := guestUp(ctx, "eth0", w)
			if err != nil {
				return "", err
			}
			if link.Name != "vlan120" || link.NIC != "eth0" {
				return "", fmt.Errorf("%+v", link)
			}
		}
		what, err := shown("vlan120")
		return strings.Join(Addrs("vlan120"), " ") + " " + what, err
	},
	// A bond of two, whose active member's cable is pulled.
	"active-backup": func(ctx context.Context) (string, error) {
		err := ip(`link add eth0 type veth peer name srv0
			link add eth1 type veth peer name srv1
			link add br0 type bridge
			link set srv0 master br0 up
			link set srv1 master br0 up
			addr add 10.9.0.1/24 dev br0
			link set br0 up`)
		if err != nil {
			return "", err
		}
		stop, err := serve("br0", net.IPv4(10, 9, 0, 78))
		if err != nil {
			return "", err
		}
		defer stop()
		link, sys, err := guestUp(ctx, "eth0 eth1", wiring.Settings{Bond: &wiring.Bond{Mode: "active-backup"}})
		if err != nil {
			return "", err
		}
		before, err := shown(link.Name)
		if err != nil {
			return "", err
		}
		if err := ip("link set srv0 down"); err != nil {
			return "", err
		}
		next, err := sys.Renew(ctx, link.Name, link.Lease)
		if err != nil {
			return "", fmt.Errorf("with one cable: %w", err)
		}
		return fmt.Sprint(next.Addr, " ", before), nil
	},
	// A switch that speaks LACP.
	"802.3ad": func(ctx context.Context) (string, error) {
		err := ip(`link add eth0 type veth peer name srv0
			link add eth1 type veth peer name srv1
			link add sbond type bond mode 802.3ad miimon 100 lacp_rate fast
			link set srv0 down
			link set srv1 down
			link set srv0 master sbond
			link set srv1 master sbond
			addr add 10.9.0.1/24 dev sbond
			link set sbond up`)
		if err != nil {
			return "", err
		}
		stop, err := serve("sbond", net.IPv4(10, 9, 0, 79))
		if err != nil {
			return "", err
		}
		defer stop()
		link, _, err := guestUp(ctx, "eth0 eth1", wiring.Settings{Bond: &wiring.Bond{Mode: "802.3ad"}})
		if err != nil {
			return "", err
		}
		// The lease may come before both ends are agreed on both ports.
		for limit := time.Now().Add(20 * time.Second); ; {
			what, err := shown(link.Name)
			if err != nil || strings.Contains(what, "ad_num_ports 2") || time.Now().After(limit) {
				return fmt.Sprint(link.Lease.Addr, " ", what), err
			}
		}
	},
	// The settings' address is somebody else's, and then another one is not.
	"static": func(ctx context.Context) (string, error) {
		err := ip(`link add eth0 type veth peer name srv0
			addr add 10.9.0.1/24 dev srv0
			link set srv0 up`)
		if err != nil {
			return "", err
		}
		short, cancel := context.WithTimeout(ctx, 4*time.Second)
		defer cancel()
		taken := wiring.Settings{Static: &wiring.Static{Addr: netip.MustParsePrefix("10.9.0.1/24")}}
		if _, _, err := guestUp(short, "eth0", taken); !errors.Is(err, context.DeadlineExceeded) ||
			!strings.Contains(err.Error(), "is used by") {
			return "", fmt.Errorf("an address that is taken: %w", err)
		}
		w := wiring.Settings{Static: &wiring.Static{Addr: netip.MustParsePrefix("10.9.0.5/24"),
			Gateway: netip.MustParseAddr("10.9.0.254")}}
		if _, _, err := guestUp(ctx, "eth0", w); err != nil {
			return "", err
		}
		routes, err := exec.Command("/sbin/ip", "route", "show", "dev", "eth0").CombinedOutput()
		return strings.Join(Addrs("eth0"), " ") + " " + string(routes), err
	},
}

func TestInGuest(t *testing.T) {
	need.Tools(t, uml.Program, "ip")
	for name, want := range map[string][]string{
		"vlan":          {"10.9.0.77/24", "vlan protocol 802.1Q id 120"},
		"active-backup": {"10.9.0.78/24", "bond mode active-backup", "miimon 100"},
		"802.3ad":       {"10.9.0.79/24", "bond mode 802.3ad", "ad_num_ports 2", "xmit_hash_policy layer3+4"},
		"static":        {"10.9.0.5/24", "default via 10.9.0.254"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			disk := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(disk, make([]byte, 4096), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := uml.Run(ctx, t.TempDir(),
				uml.Task{Name: "network", Disk: disk, FS: "proc", Args: []string{name}})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				if !strings.Contains(got, w) {
					t.Errorf("no %q in %s", w, got)
				}
			}
		})
	}
}
