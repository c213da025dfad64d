package cast

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
)

func TestGroups(t *testing.T) {
	if _, err := NewGroups(netip.MustParsePrefix("10.0.0.0/8"), 1, 2); err == nil {
		t.Error("a unicast range was taken")
	}
	for _, prefix := range []string{"239.128.0.0/22", "239.192.0.0/16", "ff15::/96", "ff15:77::/32"} {
		g, err := NewGroups(netip.MustParsePrefix(prefix), 20000, 20009)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[netip.Addr]bool{}
		for range 400 {
			group, ok := g.pick()
			if !ok {
				continue
			}
			a := group.Addr()
			if seen[a] {
				t.Fatalf("%v was given twice", a)
			}
			seen[a] = true
			if !g.prefix.Contains(a) || group.Port() < 20000 || group.Port() > 20009 {
				t.Fatalf("%v is out of range %s", group, prefix)
			}
			if prefix == "239.128.0.0/22" && a.As4()[2] < 2 {
				t.Fatalf("%v shares the Ethernet address of 224.0.%d.x", a, a.As4()[2])
			}
		}
		if len(seen) < 100 {
			t.Errorf("%s: only %d groups", prefix, len(seen))
		}
	}
}

// TestGroupInUse has another server cast on the only group there is.
func TestGroupInUse(t *testing.T) {
	l := netlabtest.New(t, 2)
	p := params(1 << 20)
	p.Group = netip.MustParseAddrPort("239.77.1.8:20000")
	startSender(t, l, p, bytesAt(object(1<<20)), SenderOptions{})
	try := func(prefix string) (group netip.AddrPort, err error) {
		g, err := NewGroups(netip.MustParsePrefix(prefix), 20000, 20000)
		if err != nil {
			return group, err
		}
		err = l.Do(l.Node(1), func() error {
			ifi, err := net.InterfaceByName("eth0")
			if err != nil {
				return err
			}
			group, err = g.Take(t.Context(), ifi)
			return err
		})
		return group, err
	}
	if group, err := try("239.77.1.8/31"); err != nil || group.Addr().String() != "239.77.1.9" {
		t.Errorf("got %v, %v, want the group that is free", group, err)
	}
	if _, err := try("239.77.1.8/32"); err == nil {
		t.Error("a group in use was given")
	} else if errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
