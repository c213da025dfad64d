package engine_test

import (
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Hellos in made-up names do not take the places of a session of so many nodes.
func TestPlacesThatStrangersTake(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 3})
	for i := range 3 {
		if err := h.stranger(i, ""); err != nil {
			t.Fatal(err)
		}
	}
	h.expect(s.ID, "casting offered offered offered")
	if err := h.stranger(3, ""); err != nil { // no better than those
		t.Fatal(err)
	}
	h.expect(s.ID, "casting offered offered offered")
	ms := []*machine{h.machine(1), h.machine(2), h.machine(3), h.machine(4)}
	for i, m := range ms[:3] {
		m.powerOn()
		if m.told() != "restore "+s.ID {
			t.Errorf("machine %d is told %q", i, m.told())
		}
	}
	h.expect(s.ID, "casting offered offered offered")
	all := h.create(doc.Spec{All: true, Image: "ubuntu"}) // the strangers have parts, and nothing comes of them
	if _, err := h.e.Cancel(t.Context(), all.ID); err != nil {
		t.Fatal(err)
	}
	h.restart()
	h.expect(s.ID, "casting offered offered offered")
	ms[3].powerOn()
	if ms[3].told() != "nothing" {
		t.Errorf("one more is told %q", ms[3].told())
	}
	if d, err := h.e.Descriptor(t.Context(), "02-00-00-00-00-00", 0, 0); err != nil || d == nil ||
		d.Action != session.Idle {
		t.Errorf("a stranger is told %+v, %v", d, err)
	}
	for _, m := range ms[:3] {
		m.say(s.ID, goodRestore...)
	}
	h.expect(s.ID, "done done done done")
	h.pass(25 * time.Hour)
	if n := len(h.e.Nodes()); n != 4 {
		t.Errorf("%d nodes after a day", n)
	}
}

// Who has chosen a disk keeps his place, and who has not and is gone does not.
func TestPlacesOfThoseWhoAreGone(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 2})
	for i := range 2 {
		if err := h.stranger(i, ""); err != nil {
			t.Fatal(err)
		}
	}
	disk := &session.DiskChoice{V: 1, Session: s.ID, Disk: session.DiskID{Path: "/dev/sda", Size: 1 << 30}}
	if _, err := h.e.ChooseDisk(t.Context(), "02-00-00-00-00-00", disk); err != nil {
		t.Fatal(err)
	}
	h.pass(2 * time.Minute)
	for i := 2; i < 4; i++ {
		if err := h.stranger(i, ""); err != nil {
			t.Fatal(err)
		}
	}
	v, err := h.e.Session(s.ID)
	if err != nil || len(v.Parts) != 2 || v.Parts[0].Node != "02-00-00-00-00-00" ||
		v.Parts[1].Node != "02-00-00-00-00-02" {
		t.Errorf("parts: %+v, %v", v.Parts, err)
	}
	// The one that lost its place may not write.
	if _, err := h.e.ChooseDisk(t.Context(), "02-00-00-00-00-01", disk); err == nil {
		t.Error("a node without a place chose a disk")
	}
}
