package dhcp

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// lanConfig is a full-mode configuration for the test network.
func lanConfig(t *testing.T, rng string) Config {
	cfg := testConfig(t, Full)
	cfg.Server = netip.MustParsePrefix(nettest.ServerCIDR)
	r, err := ParseRange(rng, cfg.Server)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Pool, err = NewPool(t.Context(),
		PoolConfig{Store: store.NewMemory(), Range: r, Server: cfg.Server, Term: time.Hour}); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// lines is a log whose lines can be waited for.
type lines chan string

func newLines() (lines, *slog.Logger) {
	l := make(lines, 1000)
	return l, slog.New(slog.NewTextHandler(l, nil))
}

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

// wait returns the first line that has all the words.
func (l lines) wait(t *testing.T, words ...string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
next:
	for {
		select {
		case line := <-l:
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue next
				}
			}
			return line
		case <-timeout:
			t.Fatalf("the log has no line with %q", words)
		}
	}
}

// dnsmasq is a DHCP server that other people made; run starts it in a namespace. It returns when it serves or has
// ended, with its words.
func dnsmasq(t *testing.T, run func(func()), iface string, args ...string) (said string, serves bool) {
	t.Helper()
	path := need.Tool(t, "dnsmasq")
	args = append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces",
		"--interface=" + iface, "--user=root",
		"--dhcp-range=10.77.0.50,10.77.0.60,1h", "--dhcp-leasefile=" + filepath.Join(t.TempDir(), "leases"),
		"--log-facility=-", "--pid-file="}, args...)
	cmd := exec.Command(path, args...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	run(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	var all strings.Builder
	for sc := bufio.NewScanner(out); sc.Scan(); {
		all.WriteString(sc.Text() + "\n")
		// The last that it says before it serves.
		if strings.Contains(sc.Text(), "sockets bound exclusively to interface") {
			go func() { // ends with the program
				for sc.Scan() {
				}
			}()
			return all.String(), true
		}
	}
	return all.String(), false
}

// otherServer gives the client's interface the address of another server.
func otherServer(t *testing.T, n *nettest.Net) {
	n.DoClient(func() {
		if err := nettest.AddAddr(nettest.Client, "10.77.0.2/24"); err != nil {
			t.Error(err)
		}
	})
}

func clientMAC(t *testing.T, n *nettest.Net) string {
	var mac string
	n.DoClient(func() {
		ifi, err := net.InterfaceByName(nettest.Client)
		if err != nil {
			t.Error(err)
			return
		}
		mac = ifi.HardwareAddr.String()
	})
	return mac
}

// TestOtherServerAtStart is a server that is there first; it pings an address before it offers it, which takes it 3 s.
func TestOtherServerAtStart(t *testing.T) {
	n := nettest.New(t)
	otherServer(t, n)
	if said, ok := dnsmasq(t, n.DoClient, nettest.Client); !ok {
		t.Fatal(said)
	}
	s := NewServer(nettest.Server, testResponder(t, lanConfig(t, "10.77.0.100-10.77.0.101")))
	var err error
	n.Do(func() { err = s.Run(t.Context()) })
	if err == nil {
		t.Fatal("gives addresses beside another server")
	}
	for _, want := range []string{"10.77.0.2", clientMAC(t, n), nettest.Server, "--dhcp proxy", "--allow-other-dhcp"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v: does not say %q", err, want)
		}
	}
	// The operator insists.
	cfg := lanConfig(t, "10.77.0.100-10.77.0.101")
	cfg.AllowOther = true
	log, logger := newLines()
	cfg.Log = logger
	s = startServer(t, n, cfg)
	log.wait(t, "level=WARN", "another DHCP server", "10.77.0.2")
	v := s.View()
	if len(v.Others) != 1 || v.Others[0].Server != "10.77.0.2" || v.Others[0].MAC != clientMAC(t, n) ||
		v.Others[0].Gives != "addresses" {
		t.Errorf("%+v", v.Others)
	}
	if len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "10.77.0.2") {
		t.Errorf("%q", v.Warnings)
	}
}

// TestLook asks a LAN with dnsmasq, and one with nobody.
func TestLook(t *testing.T) {
	n := nettest.New(t)
	ask := func(d time.Duration) (found []doc.DHCPServer) {
		var err error
		n.Do(func() { found, err = look(t.Context(), nettest.Server, d, slog.New(slog.DiscardHandler)) })
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := ask(300 * time.Millisecond); len(got) != 0 {
		t.Errorf("nobody is there, and %+v answered", got)
	}
	otherServer(t, n)
	if said, ok := dnsmasq(t, n.DoClient, nettest.Client); !ok {
		t.Fatal(said)
	}
	got := ask(20 * time.Second)
	if len(got) != 1 || !GivesAddresses(got[0]) || got[0].MAC != clientMAC(t, n) {
		t.Errorf("got %+v", got)
	}
	n.Do(func() {
		if _, err := Look(t.Context(), "nic9", nil); err == nil || !strings.Contains(err.Error(), "nic9") {
			t.Errorf("an interface that is not there: %v", err)
		}
	})
}

// TestOtherServerLater is a server that comes when ours already serves.
func TestOtherServerLater(t *testing.T) {
	n := nettest.New(t)
	otherServer(t, n)
	cfg := lanConfig(t, "10.77.0.100-10.77.0.101")
	log, logger := newLines()
	cfg.Log = logger
	s := startServer(t, n, cfg)
	if v := s.View(); len(v.Others) != 0 || len(v.Warnings) != 0 {
		t.Fatalf("%+v", v)
	}
	if said, ok := dnsmasq(t, n.DoClient, nettest.Client, "--no-ping"); !ok {
		t.Fatal(said)
	}
	log.wait(t, "level=WARN", "another DHCP server", "10.77.0.2", clientMAC(t, n), "gives=addresses")
	if v := s.View(); len(v.Others) != 1 || len(v.Warnings) != 1 {
		t.Errorf("%+v", v)
	}
}

// TestRequestNamesAnotherServer is a machine that takes an offer which this server did not hear.
func TestRequestNamesAnotherServer(t *testing.T) {
	cfg := testConfig(t, Full)
	log, logger := newLines()
	cfg.Log = logger
	var seen []Seen
	cfg.Observe = func(s Seen) { seen = append(seen, s) }
	r := testResponder(t, cfg)
	other := dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 9)))
	for range 3 {
		answer(t, r, request(t, "52:54:00:00:00:01", clients[1].mod, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
			requested("10.0.0.200"), other), ServerPort)
	}
	log.wait(t, "another DHCP server", "10.0.0.9")
	if len(log) != 0 {
		t.Errorf("the log says more: %s", <-log)
	}
	var v doc.DHCP
	r.others.view(&v)
	if len(v.Others) != 1 || v.Others[0].Gives != "unknown" || len(v.Warnings) != 1 ||
		!strings.Contains(v.Warnings[0], "10.0.0.9") {
		t.Errorf("%+v", v)
	}
	if len(seen) != 3 || !strings.Contains(seen[0].Problem, "10.0.0.9") ||
		!strings.Contains(seen[0].Problem, "--dhcp proxy") {
		t.Errorf("%+v", seen)
	}
	for i := range 1000 { // forged
		r.others.note(netip.AddrFrom4([4]byte{10, 9, byte(i / 256), byte(i)}), nil, givesUnknown)
	}
	if n := len(r.others.all()); n != maxOthers {
		t.Errorf("%d servers are remembered", n)
	}
}

// TestPortIsTaken is two servers on one machine, in either order.
func TestPortIsTaken(t *testing.T) {
	run := func(t *testing.T, n *nettest.Net, cfg Config) (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		s := NewServer(nettest.Server, testResponder(t, cfg))
		s.first = 0
		n.Do(func() { err = s.Run(ctx) })
		return err
	}
	says := func(t *testing.T, err error, words ...string) {
		t.Helper()
		for _, w := range words {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%v: does not say %q", err, w)
			}
		}
	}
	t.Run("dnsmasq first", func(t *testing.T) {
		n := nettest.New(t)
		if said, ok := dnsmasq(t, n.Do, nettest.Server); !ok {
			t.Fatal(said)
		}
		says(t, run(t, n, lanConfig(t, "10.77.0.100-10.77.0.101")), "UDP port 67 of "+nettest.Server,
			"in use by dnsmasq (pid ", "--dhcp proxy")
	})
	t.Run("dnsmasq second", func(t *testing.T) {
		n := nettest.New(t)
		startServer(t, n, lanConfig(t, "10.77.0.100-10.77.0.101"))
		if said, ok := dnsmasq(t, n.Do, nettest.Server); ok || !strings.Contains(said, "in use") {
			t.Errorf("dnsmasq serves: %v; it said:\n%s", ok, said)
		}
	})
	t.Run("two of ours", func(t *testing.T) {
		n := nettest.New(t)
		startServer(t, n, lanConfig(t, "10.77.0.100-10.77.0.101"))
		says(t, run(t, n, lanConfig(t, "10.77.0.100-10.77.0.101")), "UDP port 67 of "+nettest.Server, "(pid ")
		says(t, run(t, n, testConfig(t, Proxy)), "UDP port 67", "does not share it", "--dhcp off")
	})
	t.Run("two proxies", func(t *testing.T) {
		n := nettest.New(t)
		startServer(t, n, testConfig(t, Proxy))
		says(t, run(t, n, testConfig(t, Proxy)), "UDP port 4011", "another PXE server")
	})
	t.Run("proxy beside dnsmasq on one machine", func(t *testing.T) {
		n := nettest.New(t)
		if said, ok := dnsmasq(t, n.Do, nettest.Server); !ok {
			t.Fatal(said)
		}
		cfg := testConfig(t, Proxy)
		log, logger := newLines()
		cfg.Log = logger
		startServer(t, n, cfg)
		log.wait(t, "level=WARN", "the DHCP port is shared", "dnsmasq")
	})
}

// TestAddressInUseOnTheLAN has the kernel of another machine answer for an address of the range.
func TestAddressInUseOnTheLAN(t *testing.T) {
	n := nettest.New(t)
	n.DoClient(func() {
		if err := nettest.AddAddr(nettest.Client, "10.77.0.100/24"); err != nil {
			t.Error(err)
		}
	})
	n.Do(func() { // one of the server's own other addresses
		if err := nettest.AddAddr(nettest.Server, "10.77.0.102/24"); err != nil {
			t.Error(err)
		}
	})
	s := startServer(t, n, lanConfig(t, "10.77.0.100-10.77.0.102"))
	n.DoClient(func() {
		mac := net.HardwareAddr{0x52, 0x54, 0, 0, 0, 9} // not the interface's: that one may have what it uses
		c, err := nclient4.New(nettest.Client, nclient4.WithHWAddr(mac), nclient4.WithTimeout(5*time.Second))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		offer, err := c.DiscoverOffer(t.Context(), dhcpv4.WithBroadcast(true), requested("10.77.0.100"))
		if err != nil {
			t.Error(err)
			return
		}
		lease, err := c.RequestFromOffer(t.Context(), offer, dhcpv4.WithBroadcast(true))
		if err != nil || addrOf(lease.ACK.YourIPAddr) != netip.MustParseAddr("10.77.0.101") {
			t.Errorf("given %v, %v", lease, err)
		}
	})
	by := clientMAC(t, n)
	v := s.View()
	if len(v.Leases) < 2 || v.Leases[0].Addr != "10.77.0.100" || v.Leases[0].State != doc.LeaseConflict ||
		v.Leases[0].MAC != by {
		t.Errorf("%+v", v.Leases)
	}
}

// TestOtherVLAN has a machine of another VLAN claim an address, and then one of this LAN.
func TestOtherVLAN(t *testing.T) {
	n := nettest.New(t)
	a := netip.MustParseAddr("10.77.0.100")
	for _, c := range []struct {
		name string
		tag  []byte // IEEE 802.1Q
		used bool
	}{{"VLAN 10", []byte{0x81, 0, 0, 10}, false}, {"untagged", nil, true}} {
		var send *packet.Conn
		n.DoClient(func() {
			ifi, err := net.InterfaceByName(nettest.Client)
			if err == nil {
				send, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ARP, nil)
			}
			if err != nil {
				t.Error(err)
			}
		})
		var q *asker
		n.Do(func() {
			ifi, err := net.InterfaceByName(nettest.Server)
			if err == nil {
				q, err = newAsker(ifi, slog.New(slog.DiscardHandler))
			}
			if err != nil {
				t.Error(err)
			}
		})
		if t.Failed() {
			return
		}
		go q.run(t.Context()) // ends when the socket is closed
		host := net.HardwareAddr{2, 0, 0, 0, 0, 1}
		claim := probeFrame(host, a)
		claim[7] = arpReply
		four := a.As4()
		copy(claim[14:], four[:])
		claim = slices.Concat(broadcast, host, c.tag, []byte{0x08, 0x06}, claim)
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := send.WriteTo(claim, &packet.Addr{HardwareAddr: broadcast}); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		by, err := q.ask(t.Context(), a, net.HardwareAddr{2, 0, 0, 0, 0, 2})
		if err != nil || (by != nil) != c.used {
			t.Errorf("%s: in use by %v, %v; want %v", c.name, by, err, c.used)
		}
		close(stop)
		<-stopped
		send.Close()
		q.conn.Close()
	}
}

// TestNobodyWaits has one client's look at the LAN last, and another client served meanwhile.
func TestNobodyWaits(t *testing.T) {
	n := nettest.New(t)
	cfg := lanConfig(t, "10.77.0.100-10.77.0.110")
	asked, answer := make(chan struct{}), make(chan struct{})
	cfg.Ask = func(ctx context.Context, a netip.Addr, client net.HardwareAddr) (net.HardwareAddr, error) {
		if client[5] == 1 {
			close(asked)
			<-answer
		}
		return nil, nil
	}
	startServer(t, n, cfg)
	n.DoClient(func() {
		var clients [2]*nclient4.Client
		for i := range clients {
			c, err := nclient4.New(nettest.Client,
				nclient4.WithHWAddr(net.HardwareAddr{0x52, 0x54, 0, 0, 0, byte(i + 1)}),
				nclient4.WithTimeout(10*time.Second), nclient4.WithRetry(1))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			clients[i] = c
		}
		slow, quick := clients[0], clients[1]
		done := make(chan error, 1)
		go func() {
			_, err := slow.Request(t.Context(), dhcpv4.WithBroadcast(true))
			done <- err
		}()
		<-asked
		if _, err := quick.Request(t.Context(), dhcpv4.WithBroadcast(true)); err != nil {
			t.Errorf("the other client: %v", err)
		}
		close(answer)
		if err := <-done; err != nil {
			t.Errorf("the one that was looked at: %v", err)
		}
	})
}

// TestUdhcpc is busybox's client: a lease, its release, and its own look at the address, which finds nobody.
func TestUdhcpc(t *testing.T) {
	busybox := need.Tool(t, "busybox")
	n := nettest.New(t)
	s := startServer(t, n, lanConfig(t, "10.77.0.100-10.77.0.110"))
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script,
		[]byte("#!/bin/sh\necho \"$1 ip=$ip mask=$mask router=$router lease=$lease serverid=$serverid\" >>"+dir+
			"/said\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out []byte
	var err error
	n.DoClient(func() {
		cmd := exec.Command(busybox, "udhcpc", "-a", "-f", "-n", "-q", "-R", "-i", nettest.Client, "-s", script)
		proc.Bind(cmd)
		out, err = cmd.CombinedOutput()
	})
	said, _ := os.ReadFile(filepath.Join(dir, "said"))
	if err != nil || !strings.Contains(string(said), "bound ip=10.77.0.1") ||
		!strings.Contains(string(said), "mask=24") || !strings.Contains(string(said), "lease=600 serverid=10.77.0.1") {
		t.Fatalf("%v\n%s%s", err, out, said)
	}
	v := s.View()
	if len(v.Leases) != 1 || v.Leases[0].MAC != clientMAC(t, n) {
		t.Errorf("%+v", v.Leases)
	}
}
