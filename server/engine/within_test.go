package engine_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// TestReceiptsWithin: who is held to a machine reads the receipts of that machine, whoever had the session made.
func TestReceiptsWithin(t *testing.T) {
	h := newHouse(t)
	h.crash()
	h.name, h.sign = "lab", signer(t)
	h.start()
	a, b := h.machine(1), h.machine(2)
	for _, m := range []*machine{a, b} {
		m.powerOn()
		s := h.create(doc.Spec{Nodes: []string{m.mac}})
		m.say(s.ID, session.StepPlan, session.StepFailed+": the disk is failing")
	}
	for on, want := range map[string]string{"": "m1 m2", "m1": "m1", "m2": "m2", "m1 m2": "m1 m2", "m9": "",
		"room=210": ""} {
		list, err := h.e.Within(on).Receipts(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, raw := range list {
			got = append(got, readReceipt(t, raw).Machine.Machine)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("within %q are the receipts of %v, want %s", on, got, want)
		}
	}
}

// TestSharedNICWithin: who is held to a machine has no session at a NIC from which another may boot as well.
func TestSharedNICWithin(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(1)
	a.uuid, a.serial, b.uuid, b.serial = "4c4c4544-0001", "A1", "4c4c4544-0002", "A2"
	a.powerOn()
	name := "in-1"
	if _, err := h.e.EditMachine(t.Context(), a.mac, doc.MachineChange{V: 1, Name: &name}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{a.mac},
		Within: name}); err != nil {
		t.Errorf("a NIC of one machine: %v", err)
	}
	h.pass(10 * time.Minute)
	b.boots = a.boots
	b.powerOn()
	if len(h.e.Machines()) != 2 {
		t.Fatalf("%d machines", len(h.e.Machines()))
	}
	other := "out-1"
	if _, err := h.e.EditMachine(t.Context(), "m2", doc.MachineChange{V: 1, Name: &other}); err != nil {
		t.Fatal(err)
	}
	_, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{a.mac}, Within: name})
	if !errors.Is(err, engine.ErrSpec) {
		t.Errorf("a NIC of two machines: %v", err)
	}
}

// TestRetryWithin: what an administrator does again is not held to the machines of who did it first.
func TestRetryWithin(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.powerOn()
	s, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", On: "*", Within: "m1"})
	if err != nil {
		t.Fatal(err)
	}
	m.say(s.ID, session.StepPlan, session.StepFailed+": the disk is failing")
	h.expect(s.ID, "failed failed")
	h.restart()
	if v, err := h.e.Session(s.ID); err != nil || v.Spec.Within != "m1" {
		t.Errorf("after a restart %+v, %v", v, err)
	}
	if v, err := h.e.Retry(t.Context(), s.ID); err != nil || v.Spec.Within != "" {
		t.Errorf("done again: %+v, %v", v, err)
	}
}

// TestCaptureWithin: a name that others mean an image by is moved by nobody who is held to machines.
func TestCaptureWithin(t *testing.T) {
	h := newHouse(t)
	h.crash()
	h.room = &storeRoom{free: 1 << 40}
	h.start()
	m := h.machine(1)
	m.powerOn()
	for name, fine := range map[string]bool{"debian": false, "nobodys": true} {
		spec := doc.Spec{V: 1, Capture: name, Nodes: []string{"m1"}, Within: "m1",
			Target: session.Target{Path: "/dev/vda"}}
		p, err := h.e.Plan(t.Context(), spec)
		if err != nil || (len(p.Refused) == 0) != fine {
			t.Errorf("plan of %s: %+v, %v", name, p, err)
		}
		if _, err := h.e.Create(t.Context(), spec); (err == nil) != fine {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOutOfTheRoom: a machine that is none any more of those that a session was made within leaves it while nothing was
// done to it, and who made it sees it again; one that is at work goes on, which is said.
func TestOutOfTheRoom(t *testing.T) {
	h := newHouse(t)
	a, b, c := h.machine(1), h.machine(2), h.machine(3)
	var said []string
	room := func(id, room string) {
		t.Helper()
		ctx := engine.WithActor(t.Context(), "admin", func(words string) { said = append(said, words) })
		if _, err := h.e.EditMachine(ctx, id, doc.MachineChange{V: 1,
			Labels: map[string]*string{"room": &room}}); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range []*machine{a, b, c} {
		m.powerOn()
		room(fmt.Sprintf("m%d", i+1), "210")
	}
	h.pass(time.Hour) // they are switched off
	const teacher = "room=210"
	s, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", On: teacher, Within: teacher, MinNodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	b.powerOn()
	room("m2", "211") // it waits
	room("m3", "211") // it did not come yet
	if len(said) != 2 || !strings.Contains(said[0], "m2 is none of room=210 any more") ||
		!strings.Contains(said[0], "admin") || !strings.Contains(said[0], "left session "+s.ID) {
		t.Errorf("said: %q", said)
	}
	events, err := h.e.Log(t.Context(), b.mac, 100, true)
	if err != nil || !slices.ContainsFunc(events, func(ev doc.Event) bool {
		return ev.Event.Session == s.ID && strings.Contains(ev.Event.Message, "is none of room=210")
	}) {
		t.Errorf("b's events: %+v, %v", events, err)
	}
	for range 2 {
		v, err := h.e.Within(teacher).Session(s.ID)
		if err != nil || len(v.Parts) != 1 || v.Parts[0].Node != a.id || len(v.Spec.Nodes) != 1 {
			t.Fatalf("who made it sees %+v, %v", v, err)
		}
		h.restart()
	}
	c.powerOn()
	for _, m := range []*machine{b, c} {
		if got := m.told(); strings.Contains(got, s.ID) {
			t.Errorf("a machine of another room is told %s", got)
		}
	}
	a.powerOn()
	a.say(s.ID, session.StepPlan)
	room("m1", "211")
	room("m1", "212")
	if len(said) != 3 || !strings.Contains(said[2], "goes on") {
		t.Errorf("of one that is at work is said %q", said[2:])
	}
	if p := h.part(s.ID); !strings.Contains(p.Identity, "is none of room=210") {
		t.Errorf("its part: %+v", p)
	}
	a.say(s.ID, goodRestore...)
	h.expect(s.ID, "done done")

	// The last machine of a session ends it.
	h.pass(time.Hour)
	room("m1", "210")
	s, err = h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", On: teacher, Within: teacher})
	if err != nil {
		t.Fatal(err)
	}
	room("m1", "211")
	if v, err := h.e.Session(s.ID); err != nil || v.State != doc.Cancelled || !strings.Contains(v.Reason, "admin") {
		t.Errorf("%+v, %v", v, err)
	}
}
