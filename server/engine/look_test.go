package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// TestLook has a node that waits look, and refuses what cannot be asked.
func TestLook(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	if _, err := h.e.LookFrom(t.Context(), m.mac); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a node that never came: %v", err)
	}
	m.powerOn()
	type answer struct {
		v   *doc.NodeLook
		err error
	}
	look := func() chan answer {
		c := make(chan answer, 1)
		go func() {
			v, err := h.e.LookFrom(t.Context(), m.mac)
			c <- answer{v, err}
		}()
		return c
	}
	asked := look()
	d, err := h.e.Descriptor(t.Context(), m.id, 0, 20*time.Second)
	if err != nil || d == nil || d.Action != session.Idle || d.Look == nil || d.Validate() != nil {
		t.Fatalf("the node is told %+v, %v", d, err)
	}
	if _, err := h.e.LookFrom(t.Context(), m.mac); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("asked twice: %v", err)
	}
	r := &session.LookResult{V: 1, ID: "another", NIC: "eth0"}
	if err := h.e.Looked(m.id, r); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("an answer that nobody asked for: %v", err)
	}
	r.ID, r.Duplex = d.Look.ID, "full\x1b[31m"
	if err := h.e.Looked(m.id, r); err != nil {
		t.Fatal(err)
	}
	got := <-asked
	if got.err != nil || got.v.Node != m.id || strings.Contains(got.v.Look.Duplex, "\x1b") {
		t.Errorf("%+v, %v", got.v, got.err)
	}
	if err := h.e.Looked(m.id, r); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("a second answer: %v", err)
	}
	// A node that asks again is not asked to look again.
	if d, err := h.e.Descriptor(t.Context(), m.id, 0, 0); err != nil || d == nil || d.Look != nil {
		t.Errorf("afterwards it is told %+v, %v", d, err)
	}
	s := h.create(doc.Spec{Nodes: []string{m.mac}})
	h.expect(s.ID, "casting offered")
	if _, err := h.e.LookFrom(t.Context(), m.mac); !errors.Is(err, engine.ErrSpec) ||
		!strings.Contains(err.Error(), "works for session "+s.ID) {
		t.Errorf("a node that works: %v", err)
	}
}

// TestLookGivenUp: who goes away takes the question along.
func TestLookGivenUp(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.powerOn()
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, err := h.e.LookFrom(ctx, m.mac)
		gone <- err
	}()
	d, err := h.e.Descriptor(t.Context(), m.id, 0, 20*time.Second)
	if err != nil || d == nil || d.Look == nil {
		t.Fatalf("%+v, %v", d, err)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := h.e.Looked(m.id, &session.LookResult{V: 1, ID: d.Look.ID}); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("an answer for nobody: %v", err)
	}
	if d.Look.Group.IsValid() {
		t.Errorf("a server that sends no packets names the group %v", d.Look.Group)
	}
}

// TestMachinesSayWhy walks a machine through what it may wait for; its console says the same of what it can say.
func TestMachinesSayWhy(t *testing.T) {
	h := newHouse(t)
	h.crash()
	h.approve = doc.ApproveHand
	h.start()
	a, b := h.machine(1), h.machine(2)
	waits := func(want string) {
		t.Helper()
		m, err := h.e.Machine(a.mac)
		if err != nil {
			t.Fatal(err)
		}
		n, err := h.e.Node(a.mac)
		if err != nil || n.Waits != m.Waits {
			t.Errorf("the machine waits for %q, its node for %q, %v", m.Waits, n.Waits, err)
		}
		if want == "" && m.Waits != "" || !strings.Contains(m.Waits, want) {
			t.Errorf("it waits for %q, want %q", m.Waits, want)
		}
	}
	console := func(want string) {
		t.Helper()
		h.pass(time.Second)
		d, err := h.e.Descriptor(t.Context(), a.id, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		m, err := h.e.Machine(a.mac)
		switch {
		case err != nil:
			t.Fatal(err)
		case want == "" && d != nil && d.Why != "":
			t.Errorf("the console says %q", d.Why)
		case want != "" && (d == nil || d.Action != session.Idle || d.Why != m.Waits || !strings.Contains(d.Why, want)):
			t.Errorf("the console says %+v, the machine waits for %q, want %q", d, m.Waits, want)
		}
	}
	a.powerOn()
	waits("diskcast machine approve m1")
	console("diskcast machine approve m1")
	yes := true
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", Approved: &yes}); err != nil {
		t.Fatal(err)
	}
	waits("a session; on the server, `diskcast session create --image IMAGE --nodes m1`")
	console("")
	s := h.create(doc.Spec{Nodes: []string{a.mac, b.mac}, MinNodes: 2})
	waits("session " + s.ID + " to start")
	console("diskcast session go " + s.ID)
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	waits("a session")
	console("")
	s = h.create(doc.Spec{Nodes: []string{a.mac}})
	h.expect(s.ID, "casting offered")
	waits("")
	a.say(s.ID, session.StepFailed+": no disk fits the rule")
	waits("another try: in session " + s.ID + " it failed: no disk fits the rule; `diskcast session retry " + s.ID)
	console("`diskcast session retry " + s.ID + "` does it again")
	if _, err := h.e.Retry(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	waits("") // it works again
}
