package survey

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/cast"
	"github.com/diskcast/diskcast/internal/cast/querier"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
	"github.com/diskcast/diskcast/server/caster"
)

// asNode has the test binary look as a node, for the Look in the variable.
const asNode = "DISKCAST_LOOK_TEST"

func TestMain(m *testing.M) {
	text := os.Getenv(asNode)
	if text == "" {
		os.Exit(m.Run())
	}
	var l session.Look
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		panic(err)
	}
	r := Run(context.Background(), Options{Root: "/", Interface: "eth0", Server: netip.MustParseAddr("10.77.0.1"),
		LinkWait: 2 * time.Second, Now: time.Now,
		Inventory: func() session.Inventory { return session.Inventory{Memory: 1 << 30} }}, &l)
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		panic(err)
	}
	os.Exit(0)
}

// seen is what the node at 1 sees.
func seen(t *testing.T, l *netlab.Lab, ask session.Look) *session.LookResult {
	t.Helper()
	text, err := json.Marshal(&ask)
	if err != nil {
		t.Fatal(err)
	}
	line := netlab.In(l.Node(1), os.Args[0])
	c := exec.Command(line[0], line[1:]...)
	c.Env = append(os.Environ(), asNode+"="+string(text))
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	r := &session.LookResult{}
	if err := session.Decode(strings.NewReader(string(out)), r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// TestLook looks on a LAN that is sound, on one without querier and multicast, and on one whose switch has a small MTU.
func TestLook(t *testing.T) {
	l := netlabtest.New(t, 2, "nft", "ethtool")
	groups := netip.MustParsePrefix("239.192.0.0/16")
	ask := session.Look{ID: "LOOK1", Packet: 1476, Listen: 4}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var asks *querier.Querier
	asked := make(chan error, 1)
	ready := make(chan error, 1)
	go func() {
		asked <- l.Do(l.Node(0), func() (err error) {
			var n *caster.Network
			if n, err = caster.New("eth0", groups, 0); err == nil {
				ask.Group, err = n.Probe(ctx, ask.ID)
			}
			if err == nil {
				asks, err = querier.New("eth0", querier.Options{Interval: time.Hour})
			}
			ready <- err
			if err != nil {
				return err
			}
			return asks.Run(ctx)
		})
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	if ask.Group.Addr() != cast.LastGroup(groups) {
		t.Errorf("the group is %v", ask.Group)
	}
	// Its second question comes after 5 s: before, it is asked.
	tick, limit := time.NewTicker(10*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for asks.Sent() < 1 {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("the querier does not ask")
		}
	}
	r := seen(t, l, ask)
	if r.Heard == nil || *r.Heard != enough || r.Querier == nil || *r.Querier != "10.77.0.1" || r.PathMTU == nil ||
		*r.PathMTU != 1500 || r.MTU != 1500 || r.LinkWait == nil || *r.LinkWait != 2 || r.MemoryFree == 0 ||
		r.Memory != 1<<30 || r.ID != ask.ID {
		t.Errorf("on a sound LAN: %+v", r)
	}
	if _, ok := r.Counters["rx_packets"]; !ok || r.Clock.IsZero() {
		t.Errorf("on a sound LAN: %+v", r)
	}

	stop()
	if err := <-asked; err != nil {
		t.Error(err)
	}
	if err := l.On(l.Bridge(), "ip", "link", "set", netlab.Port(1), "mtu", "1400"); err != nil {
		t.Fatal(err)
	}
	ask.Listen = 4
	r = seen(t, l, ask)
	if r.Heard == nil || *r.Heard != 0 || r.Querier == nil || *r.Querier != "" || r.PathMTU == nil ||
		*r.PathMTU != 1400 {
		text, _ := json.Marshal(r)
		t.Errorf("nobody sends, nobody asks, and the switch has a small MTU: %s", text)
	}
	ask.Group = netip.AddrPort{}
	if r = seen(t, l, ask); r.Heard != nil || r.Querier != nil || len(r.Missed) < 2 {
		t.Errorf("a server that sends nothing: %+v", r)
	}
}

func TestAvailable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meminfo")
	for _, c := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"MemTotal:  100 kB\nMemAvailable:   2048 kB\n", 2 << 20, true},
		{"MemTotal:  100 kB\n", 0, false},
		{"MemAvailable: x kB\n", 0, false},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := available(file); got != c.want || (err == nil) != c.ok {
			t.Errorf("%q: %d, %v", c.text, got, err)
		}
	}
}
