package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// otherBoard is a machine that speaks in another's name, with a board of its own.
func (m *machine) otherBoard() *machine {
	f := *m
	f.uuid, f.serial, f.boots, f.boot = "4c4c4544-0000-2010-8020-0000000000ff", "FORGED", 70, "boot-forged"
	f.others = nil
	return &f
}

// greet says hello once more, and returns what the engine has against it.
func (m *machine) greet() error {
	inv := session.Inventory{UUID: m.uuid, Serial: m.serial,
		NICs: []session.NIC{{Name: "eth0", MAC: m.mac, Boot: true}}, Disks: []session.Disk{{Path: "/dev/vda",
			Size: 1 << 30}}}
	r, err := m.h.e.Hello(m.h.t.Context(), &session.Hello{V: 1, Boot: m.boot, Agent: "test", Inventory: inv}, m.addr)
	if err == nil {
		m.id, m.token = r.Node, r.Token
	}
	return err
}

func (h *house) named(n int, name string) *machine {
	h.t.Helper()
	m := h.laptop(n)
	m.powerOn()
	h.call(m.mac, name)
	return m
}

// TestForgedHelloStopsNoSession: a hello in the name of a machine that the operator knows, with another board, neither
// keeps sessions of it from being made and planned nor gets any of them, by name, by selector and by address; the
// machine itself does when it comes. `machine trust` ends what is left of it.
func TestForgedHelloStopsNoSession(t *testing.T) {
	for name, spec := range map[string]doc.Spec{
		"by name":     {Nodes: []string{"lab-01"}},
		"by selector": {On: "*"},
		"by address":  {Nodes: []string{"52:54:00:00:00:01"}},
		"all":         {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			a := h.named(1, "lab-01")
			h.pass(10 * time.Minute)
			f := a.otherBoard()
			f.powerOn()
			if n := h.node(a.id); n.Machine == "m1" {
				t.Fatalf("the forger is taken for the machine: %+v", n)
			}
			says(t, "machine trust lab-01", h.node(a.id).Waits)
			if p := h.plan(spec); len(p.Refused) > 0 || len(p.Machines) > 0 && len(p.Machines[0].Refused) > 0 &&
				!spec.All {
				t.Errorf("the plan: %+v", p)
			}
			s := h.create(spec)
			if spec.On != "" {
				says(t, "Left out: m2", s.Warnings...)
			}
			if got := f.told(); strings.Contains(got, s.ID) {
				t.Fatalf("the forger is told %q", got)
			}
			h.restart()
			f.hello()
			if got := f.told(); strings.Contains(got, s.ID) {
				t.Fatalf("after a restart the forger is told %q", got)
			}
			if _, err := h.e.TrustMachine(t.Context(), "lab-01"); err == nil ||
				!strings.Contains(err.Error(), "whoever speaks as node") {
				t.Errorf("trust while the forger's agent is heard: %v", err)
			}
			a.boots = 90
			a.powerOn()
			if got := a.told(); got != "restore "+s.ID {
				t.Errorf("the machine is told %q", got)
			}
			if len(h.known("lab-01").Warnings) == 0 {
				t.Error("nothing says that another machine was seen at its NIC")
			}
			m, err := h.e.TrustMachine(t.Context(), "lab-01")
			if err != nil || len(m.Warnings) != 0 || m.Labels["room"] != "101" || m.Name != "lab-01" {
				t.Errorf("trusted: %+v, %v", m, err)
			}
			if ws := h.node(a.id).Warnings; len(ws) != 0 {
				t.Errorf("its node still says %q", ws)
			}
			if _, err := h.e.Machine("m2"); !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("the machine that was made up is there: %v", err)
			}
			h.restart()
			if got := a.told(); got != "restore "+s.ID {
				t.Errorf("after that the machine is told %q", got)
			}
		})
	}
}

// TestHelloWhileTheMachineRuns: while the agent of a known machine is heard, nobody with another board, or with none,
// takes its place; the machine goes on, and the operator is told who it was.
func TestHelloWhileTheMachineRuns(t *testing.T) {
	h := newHouse(t)
	a := h.named(1, "lab-01")
	s := h.create(doc.Spec{Nodes: []string{"lab-01"}})
	a.say(s.ID, session.StepPlan, session.StepTable)
	f := a.otherBoard()
	for _, board := range [][2]string{{f.uuid, f.serial}, {"", ""}, {a.uuid, "OTHER"}} {
		f.uuid, f.serial = board[0], board[1]
		if err := f.greet(); !errors.Is(err, engine.ErrHeld) {
			t.Fatalf("a hello with %v: %v", board, err)
		}
	}
	says(t, "somebody at", h.node(a.id).Warnings...)
	says(t, "machine trust lab-01", h.node(a.id).Warnings...)
	if got := a.told(); got != "restore "+s.ID {
		t.Fatalf("the machine is told %q", got)
	}
	a.say(s.ID, goodRestore[2:]...)
	h.expect(s.ID, "done done")
	if m := h.known("lab-01"); len(m.Boards) != 1 {
		t.Errorf("its boards: %+v", m.Boards)
	}
	// A machine of which something was entered may have got the dock.
	b := h.laptop(2)
	b.powerOn()
	h.call(b.mac, "lab-02")
	h.pass(3 * time.Minute)
	a.asks()
	if err := f.greet(); !errors.Is(err, engine.ErrHeld) {
		t.Fatalf("after three minutes in which it was heard: %v", err)
	}
	d := b.over(a.mac)
	d.boot = "boot-dock"
	if err := d.greet(); err != nil {
		t.Errorf("another known machine at the NIC: %v", err)
	}
}

// TestIdentityThatComesBack: what somebody said in a machine's name once keeps nothing secret from the machine that
// says
// again what it always said.
func TestIdentityThatComesBack(t *testing.T) {
	h := sealing(t)
	a := h.laptop(1)
	a.powerOn()
	f := a.otherBoard()
	f.powerOn()
	f.boots = 70
	kind := doc.Spec{Nodes: []string{a.mac}, Capture: "golden"}
	if p := h.plan(kind); len(p.Machines) != 1 || !strings.Contains(fmt.Sprint(p.Machines[0].Refused), "another "+
		"machine") {
		t.Errorf("a capture from who says another board: %+v", p.Machines)
	}
	a.boots = 90
	a.powerOn()
	says(t, "it says UUID", h.node(a.id).Warnings...)
	if p := h.plan(kind); len(p.Machines) != 1 || len(p.Machines[0].Refused) > 0 {
		t.Errorf("a capture from the machine itself: %+v", p.Machines)
	}
	s := h.create(doc.Spec{Nodes: []string{a.mac}, Personalize: json.RawMessage(`{"hostname":"pc"}`)})
	a.say(s.ID, wholeDisk...)
	h.pass(2 * time.Minute)
	if _, err := a.ask(s.ID, "a"); err != nil {
		t.Errorf("its personalization: %v", err)
	}
}

// TestDoneWithoutADisk: a node that says that it is done, and never said which disk it wrote to, is not believed.
func TestDoneWithoutADisk(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.mute = true
	a.powerOn()
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	a.say(s.ID, goodRestore...)
	h.expect(s.ID, "failed failed")
	says(t, "never said which of its disks", h.partOf(s.ID, a.id).Reason)
}

// TestRetryOfSecrets names what is in the way: the secrets, which the server keeps no longer than the session.
func TestRetryOfSecrets(t *testing.T) {
	h := sealing(t)
	a := h.seated(1)
	s := h.create(doc.Spec{Nodes: []string{a.mac}, Personalize: json.RawMessage(ownSettings)})
	a.say(s.ID, session.StepPlan, session.StepFailed+": the disk is failing")
	_, err := h.e.Retry(t.Context(), s.ID)
	if !errors.Is(err, engine.ErrSpec) || !strings.Contains(err.Error(), "secrets") ||
		!strings.Contains(err.Error(), "Create it anew") {
		t.Errorf("retry: %v", err)
	}
	if strings.Contains(err.Error(), secretHash) {
		t.Error("it says a secret")
	}
}

// TestCaptureOverAName says that a capture takes its name from an image that is there, at create and in a plan.
func TestCaptureOverAName(t *testing.T) {
	h := newHouse(t)
	h.crash()
	h.room = &storeRoom{free: 1 << 40}
	h.start()
	a := h.machine(1)
	a.powerOn()
	says(t, "There is an image debian already", h.plan(doc.Spec{Capture: "debian", Nodes: []string{a.mac}}).Warnings...)
	_, err := h.e.Create(t.Context(), doc.Spec{V: 1, Capture: "43cdbcdc4e8b", Nodes: []string{a.mac}})
	if !errors.Is(err, engine.ErrSpec) || !strings.Contains(err.Error(), "the digest of an image that is there") {
		t.Errorf("a capture with a name by which another image is found: %v", err)
	}
	s, err := h.e.Create(t.Context(), doc.Spec{V: 1, Capture: "debian", Nodes: []string{a.mac}})
	if err != nil {
		t.Fatal(err)
	}
	says(t, "There is an image debian already", s.Warnings...)
}

// TestProfileOfNoImage: a profile may come before its image, and whoever writes it is told.
func TestProfileOfNoImage(t *testing.T) {
	h := newHouse(t)
	done, err := h.e.ChangeLab(t.Context(), doc.LabChange{V: 1, Profiles: []doc.Profile{
		{Name: "there", Spec: json.RawMessage(`{"image":"debian"}`)},
		{Name: "lacks", Spec: json.RawMessage(`{"image":"nodebian"}`)}}})
	if err != nil || !done.Applied || len(done.Changes) != 2 {
		t.Fatalf("%+v, %v", done, err)
	}
	if len(done.Warnings) != 1 || !strings.Contains(done.Warnings[0], "profile lacks") ||
		!strings.Contains(done.Warnings[0], "nodebian") {
		t.Errorf("warnings: %q", done.Warnings)
	}
}
