package engine_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// TestPartitionImages: an image of a partition is not offered for whole disks, nor one of a disk for a partition; and
// what the nodes are told is another action than that for a disk.
func TestPartitionImages(t *testing.T) {
	h := newHouse(t)
	two := json.RawMessage(`{"v":1,"number":2}`)
	for _, spec := range []doc.Spec{
		{V: 1, Kind: session.RestorePartition, Image: "debian", Count: 1, Job: two},
		{V: 1, Image: "slice", Count: 1},
	} {
		if _, err := h.e.Create(t.Context(), spec); !errors.Is(err, engine.ErrSpec) ||
			!strings.Contains(err.Error(), "of the other kind") {
			t.Errorf("%s: %v", spec.Image, err)
		}
	}
	m := h.machine(1)
	m.powerOn()
	h.create(doc.Spec{V: 1, Kind: session.RestorePartition, Image: "slice", Nodes: []string{m.mac}, Job: two})
	d := m.descriptor(0)
	if d == nil || d.Action != session.RestorePartition || string(d.Job) != string(two) || d.Image == nil ||
		d.Image.Name != "slice" || d.Cast == nil {
		t.Errorf("the node is told %+v", d)
	}
}
