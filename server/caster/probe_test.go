package caster_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
	"github.com/diskcast/diskcast/server/caster"
)

// TestProbeIsHeardToFail: packets that cannot leave are no network that swallows them.
func TestProbeIsHeardToFail(t *testing.T) {
	l := netlabtest.New(t, 1)
	probe := func() error {
		n, err := caster.New("eth0", netip.MustParsePrefix("239.192.0.0/16"), 0)
		if err == nil {
			_, err = n.Probe(t.Context(), "LOOK1")
		}
		return err
	}
	err := l.Do(l.Node(0), func() error {
		if err := probe(); err != nil {
			t.Errorf("where packets can leave: %v", err)
		}
		if out, err := exec.Command("ip", "addr", "flush", "dev", "eth0").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return probe()
	})
	if err == nil || !strings.Contains(err.Error(), "eth0 has no address") {
		t.Errorf("an interface without an address: %v", err)
	}
}
