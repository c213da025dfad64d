package engine_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/store"
)

func ptr(s string) *string { return &s }

func (h *house) call(word, name string) {
	h.t.Helper()
	if _, err := h.e.EditMachine(h.t.Context(), word,
		doc.MachineChange{V: 1, Name: &name, Labels: map[string]*string{"room": ptr("101")}}); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) known(word string) *doc.Machine {
	h.t.Helper()
	m, err := h.e.Machine(word)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// TestNameOutlivesNodes: what the operator entered stays when the node is forgotten, over restarts and a changed card,
// and names it in sessions.
func TestNameOutlivesNodes(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.uuid, a.serial, a.others = "4c4c4544-0000-2010-8020-000000000001", "SN1", []string{"52:54:00:00:01:01"}
	a.powerOn()
	for _, word := range []string{a.id, a.mac, a.others[0], "m1"} {
		if m := h.known(word); m.ID != "m1" || m.Where != doc.Ready || len(m.Boards) != 1 || len(m.Nodes) != 1 {
			t.Errorf("machine %s: %+v", word, m)
		}
	}
	h.call(a.mac, "lab-01")
	if n := h.node(a.id); n.Machine != "m1" || n.Name != "lab-01" {
		t.Errorf("node: %+v", n)
	}
	if n, err := h.e.Node("Lab-01"); err != nil || n.ID != a.id {
		t.Errorf("the node by the machine's name: %+v, %v", n, err)
	}
	h.restart()
	if err := h.e.Forget(t.Context(), "lab-01", false); err != nil {
		t.Fatal(err)
	}
	h.restart()
	if m := h.known("lab-01"); m.Labels["room"] != "101" || len(m.Nodes) != 0 || m.Where != "" {
		t.Errorf("after its node was forgotten: %+v", m)
	}
	if _, err := h.e.Node("lab-01"); !errors.Is(err, engine.ErrNotFound) ||
		!strings.Contains(err.Error(), "lab-01 has no node") {
		t.Errorf("its node: %v", err)
	}
	s := h.create(doc.Spec{Nodes: []string{"lab-01"}}) // by the NIC that it is known to boot from
	a.powerOn()
	h.expect(s.ID, "casting offered")
	a.say(s.ID, goodRestore...)
	h.expect(s.ID, "done done")

	// Its card is changed: another node, the same machine, and the next session goes there.
	b := h.machine(2)
	b.uuid, b.serial = a.uuid, a.serial
	h.pass(10 * time.Minute)
	b.powerOn()
	if m := h.known("lab-01"); m.ID != "m1" || len(m.Nodes) != 2 || m.Nodes[1] != b.id {
		t.Errorf("with another card: %+v", m)
	}
	says(t, "from which it was not seen to boot", h.node(b.id).Warnings...)
	s = h.create(doc.Spec{Nodes: []string{"lab-01"}})
	if got := b.told(); got != "restore "+s.ID {
		t.Errorf("the machine is told %s", got)
	}
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{"lab-99"}}); !errors.Is(err,
		engine.ErrSpec) || !strings.Contains(err.Error(), "neither a machine's name") {
		t.Errorf("a name that nobody has: %v", err)
	}
	// The words are about one boot.
	b.powerOn()
	for _, w := range h.node(b.id).Warnings {
		if strings.Contains(w, "not seen to boot") {
			t.Errorf("after the next boot: %q", w)
		}
	}
}

// TestDockIsNoName: a machine that only ever booted from a dock that others use is not a machine to name in a session,
// since another could come.
func TestDockIsNoName(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(1) // one dock
	a.uuid, a.serial = "4c4c4544-0000-2010-8020-000000000001", "SN1"
	b.uuid, b.serial = "4c4c4544-0000-2010-8020-000000000002", "SN2"
	a.powerOn()
	h.call("m1", "laptop-a")
	h.pass(10 * time.Minute)
	b.boots = 50
	b.powerOn()
	says(t, "a dock or USB NIC that both use", h.node(b.id).Warnings...)
	h.call("m2", "laptop-b")
	for name, other := range map[string]string{"laptop-a": "laptop-b", "laptop-b": "laptop-a"} {
		says(t, "shares the NIC "+a.mac, h.known(name).Warnings...)
		says(t, other, h.known(name).Warnings...)
		if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{name}}); !errors.Is(err,
			engine.ErrSpec) || !strings.Contains(err.Error(), "which it shares with others") {
			t.Errorf("a session of %s: %v", name, err)
		}
	}
	if n := h.node(a.id); n.Name != "laptop-b" {
		t.Errorf("the node is of %s", n.Name)
	}
	h.pass(10 * time.Minute)
	a.boots = 60
	a.powerOn()
	if n := h.node(a.id); n.Name != "laptop-a" {
		t.Errorf("the node is of %s", n.Name)
	}
	// A NIC of its own makes it one.
	a.mac = "52:54:00:00:09:01"
	h.pass(10 * time.Minute)
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{"laptop-a"}})
	if got := a.told(); got != "restore "+s.ID {
		t.Errorf("told %s", got)
	}
}

// TestNamedStays: the node of a machine that the operator named is no stranger that expires.
func TestNamedStays(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	for _, m := range []*machine{a, b} {
		m.boot = "b"
		m.hello()
	}
	h.call(a.mac, "lab-01")
	h.pass(25 * time.Hour)
	if _, err := h.e.Node(a.id); err != nil {
		t.Errorf("a named machine's node: %v", err)
	}
	if _, err := h.e.Node(b.id); err == nil {
		t.Error("a stranger is there after a day")
	}
	if all := h.e.Machines(); len(all) != 1 || all[0].Name != "lab-01" {
		t.Errorf("machines: %+v", all)
	}
}

// TestRefusedChangeIsNotDone: what cannot be stored, or is refused, is as it was, also after a restart.
func TestRefusedChangeIsNotDone(t *testing.T) {
	h := newHouse(t)
	disk := h.store.(*store.Memory)
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	b.powerOn()
	h.call("m1", "lab-01")
	disk.SetFail(errors.New("disk full"))
	for what, err := range map[string]error{
		"name": func() error {
			_, err := h.e.EditMachine(t.Context(), "m2", doc.MachineChange{V: 1, Name: ptr("lab-02")})
			return err
		}(),
		"merge": func() error {
			_, err := h.e.MergeMachines(t.Context(), "m1", doc.MachineMerge{V: 1, From: "m2"})
			return err
		}(),
		"remove": h.e.RemoveMachine(t.Context(), "m1"),
	} {
		if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", what, err)
		}
	}
	disk.SetFail(nil)
	for _, c := range []doc.MachineChange{{V: 1, Name: ptr("lab-01")}, {V: 2, Name: ptr("x")}} {
		if _, err := h.e.EditMachine(t.Context(), "m2", c); !errors.Is(err, engine.ErrSpec) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for range 2 {
		if m, n := h.known("m1"), h.known("m2"); m.Name != "lab-01" || n.Name != "" || len(m.Nodes) != 1 ||
			len(n.Nodes) != 1 {
			t.Errorf("machines: %+v, %+v", m, n)
		}
		h.restart()
	}
}

// TestMergeAndSplitLast over restarts and hellos.
func TestMergeAndSplitLast(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	b.powerOn()
	h.call("m1", "lab-01")
	if m, err := h.e.MergeMachines(t.Context(), "lab-01", doc.MachineMerge{V: 1, From: b.mac}); err != nil ||
		m.ID != "m1" || len(m.Nodes) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	both := func(word string) {
		t.Helper()
		for range 2 {
			for _, x := range []*machine{a, b} {
				x.powerOn()
			}
			if m := h.known(b.mac); m.ID != word {
				t.Errorf("the second is %s, want %s", m.ID, word)
			}
			if m := h.known(a.mac); m.ID != "m1" || m.Name != "lab-01" {
				t.Errorf("the first is %+v", m)
			}
			h.restart()
		}
	}
	both("m1")
	if m, err := h.e.SplitMachine(t.Context(), "lab-01", doc.MachineSplit{V: 1, Node: b.mac}); err != nil ||
		m.ID != "m3" || m.Name != "" {
		t.Fatalf("%+v, %v", m, err)
	}
	both("m3")
	if err := h.e.RemoveMachine(t.Context(), "lab-01"); err != nil {
		t.Fatal(err)
	}
	if m := h.node(a.id).Machine; m != "" {
		t.Errorf("its node is of %s", m)
	}
	h.restart()
	if m := h.node(a.id); m.Machine != "m4" || m.Name != "" { // weighed anew
		t.Errorf("its node is of %+v", m)
	}
}

// TestRemoveAtWork: a machine that works for a session is not removed, as its node is not forgotten.
func TestRemoveAtWork(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	id := h.node(a.id).Machine
	if err := h.e.RemoveMachine(t.Context(), id); err == nil || !strings.Contains(err.Error(), "session "+s.ID) {
		t.Errorf("removed at work: %v", err)
	}
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if err := h.e.RemoveMachine(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// TestEnterRemoved: the node of a machine that was removed is a machine again as soon as something is entered of it.
func TestEnterRemoved(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.powerOn()
	if err := h.e.RemoveMachine(t.Context(), "m1"); err != nil {
		t.Fatal(err)
	}
	if _, err := h.e.Machine(m.mac); !errors.Is(err, engine.ErrNotFound) ||
		!strings.Contains(err.Error(), "node 52-54-00-00-00-01 is there, and its machine was removed") {
		t.Errorf("shown with %v", err)
	}
	bad, name := "a b", "pc-1"
	if _, err := h.e.EditMachine(t.Context(), m.mac, doc.MachineChange{V: 1, Name: &bad}); err == nil ||
		len(h.e.Machines()) != 0 {
		t.Errorf("named in a way that is refused: %v, and there are %+v", err, h.e.Machines())
	}
	for range 2 {
		got, err := h.e.EditMachine(t.Context(), m.mac, doc.MachineChange{V: 1, Name: &name})
		if err != nil || got.Name != name || len(got.Nodes) != 1 || len(h.e.Machines()) != 1 {
			t.Errorf("named: %+v, %v", got, err)
		}
		h.restart()
	}
	seen := h.machine(2)
	h.e.Saw(seen.mac, netip.Addr{}, doc.StepDHCP, "PXE")
	if _, err := h.e.EditMachine(t.Context(), seen.mac, doc.MachineChange{V: 1, Name: &bad}); !errors.Is(err,
		engine.ErrNotFound) || !strings.Contains(err.Error(), "its agent has not started yet") {
		t.Errorf("one that only asked for boot files: %v", err)
	}
}

// TestQueuedBehind: a session says at once which others have its machines before it.
func TestQueuedBehind(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	b.powerOn()
	name := "pc-2"
	if _, err := h.e.EditMachine(t.Context(), b.mac, doc.MachineChange{V: 1, Name: &name}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		nodes []string
		want  string // a warning with "gets it first"; empty for none
	}{
		{[]string{b.mac}, ""}, // which takes it
		{[]string{a.mac}, ""},
		{[]string{a.mac}, "Session s2 (restore debian, waiting) has 52-54-00-00-00-01 too and gets it first"},
		{[]string{b.mac}, "Session s1 (restore debian, casting) has 52-54-00-00-00-02 (pc-2) too and gets it first"},
	} {
		s := h.create(doc.Spec{Nodes: c.nodes})
		var got []string
		for _, w := range s.Warnings {
			if strings.Contains(w, "gets it first") {
				got = append(got, w)
			}
		}
		if (c.want == "") != (len(got) == 0) || c.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], c.want)) {
			t.Errorf("session %s of %s: %q, want %q", s.ID, c.nodes, got, c.want)
		}
	}
}
