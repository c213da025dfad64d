package cmd

import (
	"fmt"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// TestWithoutAskers: a flood of machines that only ask for an address hides no other node, and the latest are shown.
func TestWithoutAskers(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	nodes := []doc.Node{{ID: "agent", Where: doc.Ready, Agent: "a"}, {ID: "named", Name: "lab-07", Where: doc.Booting},
		{ID: "kernel", Where: doc.Booting, Trace: map[string]doc.Mark{doc.StepKernel: {}}}}
	for i := range 500 {
		nodes = append(nodes, doc.Node{ID: fmt.Sprint("asker-", i), Where: doc.Booting,
			LastSeen: now.Add(time.Duration(i%250) * time.Second)})
	}
	shown, left := withoutAskers(nodes)
	if len(shown) != 3+maxAskers || left != 500-maxAskers {
		t.Fatalf("%d are shown and %d left out", len(shown), left)
	}
	for _, n := range shown[3:] {
		if n.LastSeen.Before(now.Add(240 * time.Second)) {
			t.Errorf("%s of %v is shown in the place of a later one", n.ID, n.LastSeen)
		}
	}
	for i, want := range []string{"agent", "named", "kernel"} {
		if shown[i].ID != want {
			t.Errorf("%s is shown, want %s", shown[i].ID, want)
		}
	}
	if shown, left := withoutAskers(nodes[:3+maxAskers]); len(shown) != 3+maxAskers || left != 0 {
		t.Errorf("of few, %d are left out", left)
	}
}
