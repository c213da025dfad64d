package engine_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/netboot"
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

// TestHalfADisk: a partition that is written whole makes no disk whole that was half-written; it does itself.
func TestHalfADisk(t *testing.T) {
	h := newHouse(t)
	h.change(doc.LabChange{Rules: []doc.Rule{{Name: "all", MACs: []string{"52:54:00"}, WhenIdle: doc.IdleOwnDisk}}})
	m := h.machine(1)
	run := func(number string, steps ...string) {
		t.Helper()
		spec := doc.Spec{Nodes: []string{m.mac}}
		if number != "" {
			spec.Kind, spec.Image = session.RestorePartition, "slice"
			spec.Job = json.RawMessage(`{"v":1,"number":` + number + `}`)
		}
		s := h.create(spec)
		m.powerOn()
		if said := steps; number != "" {
			m.choose(s.ID)
			m.report(session.Event{Session: s.ID, Step: session.StepPlan, Result: json.RawMessage(
				`{"v":1,"number":` + number + `,"start":1048576,"size":1048576}`)})
			m.say(s.ID, said[1:]...)
		} else {
			m.say(s.ID, said...)
		}
		if len(steps) < len(goodRestore) {
			if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
				t.Fatal(err)
			}
		} else {
			h.expect(s.ID, "done done")
		}
	}
	boots := func(when string, want netboot.What) {
		t.Helper()
		h.restart()
		if got := h.e.Boots(m.mac); got != want {
			t.Errorf("%s: it boots %s, want %s", when, got, want)
		}
	}
	half := []string{session.StepPlan, session.StepFirstByte}
	run("", half...)
	run("2", goodRestore...)
	boots("the disk half, its partition 2 whole", netboot.Agent)
	run("2", half...)
	run("2", goodRestore...)
	boots("the disk half, its partition 2 half and whole again", netboot.Agent)
	run("", goodRestore...)
	boots("whole", netboot.OwnDisk)
	run("2", half...)
	boots("its partition 2 half", netboot.Agent)
	run("3", goodRestore...)
	boots("its partition 2 half, 3 whole", netboot.Agent)
	run("2", goodRestore...)
	boots("its partition 2 whole", netboot.OwnDisk)
}
