package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

func ptr[T any](v T) *T { return &v }

// sound is what a node without a fault says.
func sound() *doc.NodeLook {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	return &doc.NodeLook{Node: "n1", Answered: now, Look: session.LookResult{V: 1, ID: "x", NIC: "eth0", Clock: now,
		LinkWait: ptr(2.5), MTU: 1500, PathMTU: ptr(1500), Heard: ptr(3), Querier: ptr("10.0.0.1"), Mbps: 1000,
		Duplex: "full", Counters: map[string]int64{"rx_packets": 100_000, "rx_errors": 2, "rx_dropped": 900},
		Disks: []session.Disk{{Path: "/dev/sda", Size: 1 << 40}}, Memory: 4 << 30, MemoryFree: 3 << 30}}
}

// TestOfNode: a sound node gives no finding, each fault gives its own, and what a node could not see is never well.
func TestOfNode(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func(*session.LookResult)
		want  string
		not   int
	}{
		{"sound", func(*session.LookResult) {}, "", 0},
		{"spanning tree", func(r *session.LookResult) { r.LinkWait = ptr(31.0) }, "node-slow-link", 0},
		{"a tunnel", func(r *session.LookResult) { r.PathMTU = ptr(1400) }, "node-mtu", 0},
		{"no echo", func(r *session.LookResult) { r.PathMTU = ptr(0) }, "node-no-answer", 0},
		{"no multicast", func(r *session.LookResult) { r.Heard = ptr(0) }, "node-multicast", 0},
		{"no querier", func(r *session.LookResult) { r.Querier = ptr("") }, "node-querier", 0},
		{"an empty battery", func(r *session.LookResult) { r.Clock = time.Unix(0, 0) }, "node-clock", 0},
		{"half duplex", func(r *session.LookResult) { r.Duplex = "half" }, "node-duplex", 0},
		{"two pairs", func(r *session.LookResult) { r.Mbps = 100 }, "node-speed", 0},
		{"a bad cable", func(r *session.LookResult) { r.Counters["rx_crc_errors"] = 500 }, "node-errors", 0},
		{"no disk", func(r *session.LookResult) { r.Disks = nil }, "node-no-disk", 0},
		{"no driver", func(r *session.LookResult) { r.Undriven = []string{"RAID 8086:2822"} }, "node-undriven", 0},
		{"little memory", func(r *session.LookResult) { r.MemoryFree = 1 << 20 }, "node-memory", 0},
		{"nothing was seen", func(r *session.LookResult) {
			*r = session.LookResult{ID: "x", Clock: r.Clock, Disks: r.Disks, Missed: []string{"\x1b[31mall\n"}}
		}, "", 9},
	} {
		v := sound()
		c.fault(&v.Look)
		r := OfNode(v)
		var got []string
		not := 0
		for _, l := range r.Looks {
			if s := ids(&Look{l}); s != "" {
				got = append(got, s)
			}
			not += len(l.Not)
			if len(l.Found)+len(l.Well)+len(l.Not) == 0 {
				t.Errorf("%s: %s says nothing", c.name, l.Check)
			}
			for _, w := range l.Not {
				if strings.ContainsAny(w, "\x1b\n") {
					t.Errorf("%s: %q", c.name, w)
				}
			}
		}
		if strings.Join(got, " ") != c.want || not != c.not {
			t.Errorf("%s: %+v; want %q and %d not looked at", c.name, r, c.want, c.not)
		}
	}
}
