package engine_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// TestTwinDisks: a rule that fits two disks of a known node is warned about when the session is created.
func TestTwinDisks(t *testing.T) {
	h := newHouse(t)
	for n, disks := range [][]session.Disk{
		{{Path: "/dev/sda", Size: 1, Serial: "000", WWN: "naa.5000c500A"},
			{Path: "/dev/sdb", Size: 1, Serial: "000", WWN: "naa.5000c500B"}},
		{{Path: "/dev/sda", Size: 1, Serial: "000"}, {Path: "/dev/sdb", Size: 1, Serial: "0001"}},
	} {
		_, err := h.e.Hello(t.Context(), &session.Hello{V: 1, Boot: "b", Agent: "test", Inventory: session.Inventory{
			NICs:  []session.NIC{{Name: "eth0", MAC: fmt.Sprintf("52:54:00:00:00:%02x", n+1), Boot: true}},
			Disks: disks}}, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		target session.Target
		warns  bool
	}{
		{session.Target{Serial: "000"}, true},
		{session.Target{Serial: "000", First: true}, false},
		{session.Target{WWN: "0x5000c500a"}, false},
		{session.Target{}, false},
	} {
		s := h.create(doc.Spec{All: true, MinNodes: 9, Target: c.target})
		got := strings.Join(s.Warnings, "\n")
		if strings.Contains(got, "fits 2 disks of node 52-54-00-00-00-01 (/dev/sda, /dev/sdb)") != c.warns ||
			strings.Contains(got, "00-00-02") {
			t.Errorf("%+v: %q", c.target, got)
		}
		if add := "add by-path=, model=, a size or first;"; strings.Contains(got, add) != c.warns {
			t.Errorf("%+v: %q, want %q", c.target, got, add)
		}
		if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
			t.Fatal(err)
		}
	}
	// An erase takes no disk by its place in the list, so first is no way out.
	s, err := h.e.Create(t.Context(), doc.Spec{V: 1, Kind: erasure.Action, All: true, MinNodes: 9,
		Target: session.Target{Serial: "000"}, Job: json.RawMessage(`{"method":"zero","read_back":"none"}`)})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Warnings, "\n"); !strings.Contains(got, "fits 2 disks of node 52-54-00-00-00-01") ||
		!strings.Contains(got, "add by-path=, model= or a size;") || strings.Contains(got, "first") {
		t.Errorf("an erase: %q", got)
	}
}
