package netlab

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestWaitRunning(t *testing.T) {
	need.Root(t)
	ns, err := Namespace()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	l := &Lab{bridge: ns}
	if err := l.Do(l.Bridge(), func() error {
		near := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "near"}, PeerName: "far"}
		if err := netlink.LinkAdd(near); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(near); err != nil {
			return err
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := WaitRunning(over, "near"); !errors.Is(err, context.Canceled) ||
			!strings.Contains(err.Error(), "near") {
			t.Errorf("with its other end down: %v", err)
		}
		if err := WaitRunning(t.Context(), "none"); err == nil {
			t.Error("an interface that is not there runs")
		}
		far, err := netlink.LinkByName("far")
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(far); err != nil {
			return err
		}
		if err := Running("near"); err != nil {
			return err
		}
		ifi, err := net.InterfaceByName("near")
		if err == nil && ifi.Flags&net.FlagRunning == 0 {
			err = errors.New("near does not run")
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
