package main

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// The kernel of a namespace of the test's own has a loopback that is off.
func TestSetUp(t *testing.T) {
	need.Root(t)
	out, err := exec.Command("unshare", "--net", os.Args[0], "-test.run", "TestSetUpInside", "-test.v").
		CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestSetUpInside") {
		t.Errorf("%v: %s", err, out)
	}
	if err := setUp("nowhere0"); err == nil || !strings.Contains(err.Error(), "nowhere0") {
		t.Errorf("no such interface: %v", err)
	}
}

func TestSetUpInside(t *testing.T) {
	if flags, err := os.ReadFile("/proc/net/dev"); err != nil || strings.Count(string(flags), ":") != 1 {
		t.Skip("TestSetUp runs this in a namespace")
	}
	for range 2 {
		if err := setUp("lo"); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("ip", "-o", "link", "show", "lo").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "LOOPBACK,UP") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestCard(t *testing.T) {
	sys := t.TempDir()
	add := func(nic, mac string) {
		t.Helper()
		err := os.MkdirAll(filepath.Join(sys, nic), 0o755)
		if err == nil {
			err = os.WriteFile(filepath.Join(sys, nic, "address"), []byte(mac+"\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var up []string
	c := &card{mac: bootCard("01-52-54-00-DC-00-01"), sys: sys, log: slog.New(slog.DiscardHandler),
		setUp: func(name string) error { up = append(up, name); return nil }}
	add("lo", "00:00:00:00:00:00")
	c.look()
	add("eth0", "52:54:00:dc:00:02")
	c.look()
	if up != nil {
		t.Errorf("switched on before it is there: %q", up)
	}
	add("eth1", "52:54:00:dc:00:01")
	c.look()
	c.look()
	if !slices.Equal(up, []string{"eth1"}) {
		t.Errorf("switched on: %q, want eth1 once", up)
	}
	for _, bootif := range []string{"", "52-54-00-dc-00-01"} {
		if got := bootCard(bootif); got != "" {
			t.Errorf("%q: %q", bootif, got)
		}
	}
}
