package engine_test

import (
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// A machine that falls silent is told of, though nothing is stored then.
func TestFollowSilence(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	sub, err := h.e.Follow("", a.id, "")
	if err != nil {
		t.Fatal(err)
	}
	var where func() string
	where = func() string {
		t.Helper()
		lines, last, err := sub.Next(t.Context())
		if err != nil || last {
			t.Fatal(last, err)
		}
		for _, l := range lines {
			if l.Machine == nil && l.Sighting == nil && l.Event == nil && l.Type != doc.LineLive {
				t.Errorf("of another kind: %+v", l)
			}
		}
		for _, l := range lines {
			if l.Sighting != nil {
				return l.Sighting.Where
			}
		}
		return where()
	}
	if got := where(); got != doc.Ready {
		t.Errorf("at first: %s", got)
	}
	h.pass(2 * time.Minute)
	if got := where(); got != doc.Silent {
		t.Errorf("after two minutes: %s", got)
	}
	a.say("", "log: here again")
	h.pass(time.Second)
	if got := where(); got != doc.Ready {
		t.Errorf("heard again: %s", got)
	}
}

// A machine is followed by its id or name, or by a NIC, and with it all that is seen of it; of others nothing is told.
func TestFollowMachine(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	own, err := h.e.Machine(a.id)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{own.ID, a.id} {
		sub, err := h.e.Follow("", word, "")
		if err != nil {
			t.Fatal(err)
		}
		lines, _, err := sub.Next(t.Context())
		if err != nil || len(lines) != 3 || lines[0].Machine == nil || lines[1].Sighting == nil ||
			lines[2].Type != doc.LineLive {
			t.Fatalf("%s: %+v, %v", word, lines, err)
		}
		b.powerOn()
		name := "of-" + word
		if _, err := h.e.EditMachine(t.Context(), own.ID, doc.MachineChange{V: 1, Notes: &name}); err != nil {
			t.Fatal(err)
		}
		lines, _, err = sub.Next(t.Context())
		if err != nil || len(lines) != 1 || lines[0].Machine == nil || lines[0].Machine.Notes != name {
			t.Errorf("%s: %+v, %v", word, lines, err)
		}
	}
	if _, err := h.e.Follow("", "no machine", ""); err == nil {
		t.Error("what is no machine's name is followed")
	}
}
