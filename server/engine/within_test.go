package engine_test

import (
	"errors"
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
