package netlab

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestNamespaces(t *testing.T) {
	if why := Missing(); why != "" {
		need.Skip(t, "network tests cannot run: %s", why)
	}
	named := func() string {
		entries, err := os.ReadDir("/run/netns")
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return strings.Join(names, " ")
	}
	before := named()
	l, err := New(2)
	if err != nil {
		t.Fatal(err)
	}
	if after := named(); after != before {
		t.Errorf("a lab that is killed would leave names behind: %q before, %q now", before, after)
	}
	dial(t, l)
	// A program sees the devices of its namespace under /sys, and not the host's.
	if err := l.On(l.Bridge(), "test", "-d", "/sys/class/net/port1"); err != nil {
		t.Error(err)
	}
	ours, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Do(l.Node(1), func() error {
		there, err := os.Readlink("/proc/thread-self/ns/net")
		if there == ours {
			t.Error("not in another namespace")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	bridge := l.Bridge()
	l.Close()
	if err := l.On(bridge, "true"); err == nil {
		t.Error("the namespace is there after Close")
	}
}

// dial connects from node 0 to node 1.
func dial(t *testing.T, l *Lab) {
	t.Helper()
	var listener net.Listener
	if err := l.Do(l.Node(1), func() (err error) {
		listener, err = net.Listen("tcp", l.Addr(1)+":0")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := l.Do(l.Node(0), func() error {
		c, err := net.DialTimeout("tcp", listener.Addr().String(), 10*time.Second)
		if err == nil {
			err = c.Close()
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
