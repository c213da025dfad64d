package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/store/record"
)

// TestWhenIdle: a machine's own word counts, then the first rule that fits it, then the default; sessions come before
// all but never, and a rule with a word approves nobody.
func TestWhenIdle(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	boots := func(what string, m *machine, want netboot.What) {
		t.Helper()
		if got := h.e.Boots(m.mac); got != want {
			t.Errorf("%s: it boots %s, want %s", what, got, want)
		}
	}
	set := func(word string) {
		t.Helper()
		if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", WhenIdle: &word}); err != nil {
			t.Fatal(err)
		}
	}
	boots("nothing entered", a, netboot.Agent)
	for word, want := range map[string]netboot.What{doc.IdleOwnDisk: netboot.OwnDisk, doc.IdleMenu: netboot.Menu,
		doc.IdleNever: netboot.Nothing, doc.IdleWait: netboot.Agent} {
		set(word)
		boots(word, a, want)
		h.restart()
		boots(word+", after a restart", a, want)
		a.powerOn()
	}
	set(doc.IdleDefault)
	a.powerOn() // whatever it booted last
	h.change(doc.LabChange{Rules: []doc.Rule{
		{Name: "a", Vendor: "None*", WhenIdle: doc.IdleMenu},
		{Name: "b", MACs: []string{"52:54:00"}, WhenIdle: doc.IdleOwnDisk},
		{Name: "c", MACs: []string{"52:54:00"}, WhenIdle: doc.IdleNever}}})
	boots("by a rule", a, netboot.OwnDisk)
	boots("by a rule, never seen", b, netboot.OwnDisk)
	set(doc.IdleWait)
	boots("its own word before the rule", a, netboot.Agent)
	if m, err := h.e.Machine("m1"); err != nil || m.Idle != "wait (as was entered)" || m.WhenIdle != "wait" {
		t.Errorf("%+v, %v", m, err)
	}

	s := h.create(doc.Spec{Nodes: []string{b.mac}, Boot: &session.Boot{Method: session.BootReboot}})
	boots("a session wants it", b, netboot.Agent)
	h.change(doc.LabChange{Remove: []doc.LabName{{Kind: doc.KindRule, Name: "b"}}})
	boots("a session wants it, and it is never", b, netboot.Nothing)
	v, err := h.e.Session(s.ID)
	if err != nil || !strings.Contains(v.Parts[0].Waits, "never (by the rule c); `diskcast machine set 52-54") {
		t.Errorf("the session waits for %+v, %v", v, err)
	}
	boots("its own word before never", a, netboot.Agent)

	// It is in a session when it becomes never: a disk that is half-written is finished.
	s = h.create(doc.Spec{Nodes: []string{a.mac}})
	a.say(s.ID, session.StepPlan, session.StepTable)
	set(doc.IdleNever)
	boots("never, in its session", a, netboot.Agent)
	h.approve = doc.ApproveRules
	h.restart()
	if m, err := h.e.Machine("m1"); err != nil || m.Approved {
		t.Errorf("a rule that says what is booted approves: %+v, %v", m, err)
	}
}

// TestSharedNICHasTheDefault: of who boots from a dock's NIC nothing is known before the agent speaks.
func TestSharedNICHasTheDefault(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.uuid, a.serial = "4c4c4544-0000-2010-8020-000000000001", "SN1"
	a.powerOn()
	b := h.machine(1)
	b.uuid, b.serial, b.boot = "4c4c4544-0000-2010-8020-000000000002", "SN2", "boot-b"
	b.powerOn()
	if all := h.e.Machines(); len(all) != 2 {
		t.Fatalf("machines: %+v", all)
	}
	word := doc.IdleNever
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", WhenIdle: &word}); err != nil {
		t.Fatal(err)
	}
	if got := h.e.Boots(a.mac); got != netboot.Agent {
		t.Errorf("one of two on a NIC is never, and who comes boots %s", got)
	}
	m, err := h.e.Machine("m1")
	if err != nil || !strings.Contains(m.Idle, "share the NIC") {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestIdleWords: what is entered and what is decided by are the same words.
func TestIdleWords(t *testing.T) {
	for word, idle := range map[string]netboot.Idle{doc.IdleDefault: netboot.IdleDefault,
		doc.IdleOwnDisk: netboot.IdleOwnDisk, doc.IdleWait: netboot.IdleWait, doc.IdleMenu: netboot.IdleMenu,
		doc.IdleNever: netboot.IdleNever} {
		if kept, err := doc.CheckIdle(word); err != nil || kept != string(idle) {
			t.Errorf("%s is kept as %q, %v; want %q", word, kept, err, idle)
		}
	}
	if len(doc.IdleWords()) != 5 {
		t.Errorf("words that this test does not know: %q", doc.IdleWords())
	}
}

// TestHalfWritten keeps a machine from a disk that its last session left half-written, whatever its policy says, until
// a session has written it whole or the operator has forgotten that one.
func TestHalfWritten(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.hello()
	word := doc.IdleOwnDisk
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", WhenIdle: &word}); err != nil {
		t.Fatal(err)
	}
	session1 := func(id string, steps ...string) {
		t.Helper()
		h.create(doc.Spec{Nodes: []string{m.mac}, Boot: &session.Boot{Method: session.BootReboot}})
		m.powerOn()
		m.say(id, steps...)
		if _, err := h.e.Cancel(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	boots := func(what string, want netboot.What) {
		t.Helper()
		if got := h.e.Boots(m.mac); got != want {
			t.Errorf("%s: it boots %s, want %s", what, got, want)
		}
		h.restart()
		if got := h.e.Boots(m.mac); got != want {
			t.Errorf("%s, after a restart: it boots %s, want %s", what, got, want)
		}
	}
	boots("before any session", netboot.OwnDisk)
	session1("s1")
	boots("nothing was planned", netboot.OwnDisk)
	session1("s2", session.StepPlan, session.StepTable)
	boots("half-written", netboot.Agent)
	session1("s3") // which touches nothing, and mends nothing
	boots("half-written, and another session was cancelled", netboot.Agent)
	h.remove("s3")
	boots("half-written, and that one is forgotten", netboot.Agent)
	h.remove("s2") // its tidying says nothing of the disk
	boots("half-written, and its session is removed", netboot.Agent)
	if got, err := h.e.Machine("m1"); err != nil || !strings.Contains(got.OwnDisk, "session s2 left") {
		t.Errorf("it is said to be %+v, %v", got, err)
	}
	never := doc.IdleNever
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", WhenIdle: &never}); err != nil {
		t.Fatal(err)
	}
	boots("half-written, and never", netboot.Agent)
	if got, err := h.e.Machine("m1"); err != nil || !strings.Contains(got.OwnDisk, "session s2 left") ||
		got.Idle != "never (as was entered); answered all the same until its disk may be started" {
		t.Errorf("never, and it is said to be %+v, %v", got, err)
	}
	none := doc.IdleDefault
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", WhenIdle: &none}); err != nil {
		t.Fatal(err)
	}
	res := h.change(doc.LabChange{Rules: []doc.Rule{{Name: "r", MACs: []string{"52:54:00"}, WhenIdle: never}}})
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "m1 is never (by the rule r), and is answered") {
		t.Errorf("the rule is entered with the warnings %q", res.Warnings)
	}
	boots("half-written, and never by a rule", netboot.Agent)
	waits := h.create(doc.Spec{Nodes: []string{m.mac}, Boot: &session.Boot{Method: session.BootReboot}})
	if v, err := h.e.Session(waits.ID); err != nil || strings.Contains(v.Parts[0].Waits, "never") {
		t.Errorf("a session that mends it waits for %+v, %v", v, err)
	}
	if _, err := h.e.Cancel(t.Context(), waits.ID); err != nil {
		t.Fatal(err)
	}
	h.change(doc.LabChange{Remove: []doc.LabName{{Kind: doc.KindRule, Name: "r"}}})
	if _, err := h.e.ChangeMachines(t.Context(), doc.MachinesChange{V: 1, On: "m1", WhenIdle: &word}); err != nil {
		t.Fatal(err)
	}
	h.remove(waits.ID)
	session1("s5", session.StepPlan, session.StepTable, session.StepWritten)
	boots("whole", netboot.OwnDisk)
	if got, err := h.e.Machine("m1"); err != nil || got.OwnDisk != "" {
		t.Errorf("it is said to be %+v, %v", got, err)
	}
}

// TestForgetHalfWritten: what forgets a node does not forget that its disk is half-written, under any NIC of the
// machine, until it is told to by force.
func TestForgetHalfWritten(t *testing.T) {
	h := newHouse(t)
	h.change(doc.LabChange{Rules: []doc.Rule{{Name: "all", MACs: []string{"52:54:00"}, WhenIdle: doc.IdleOwnDisk}}})
	m := h.machine(1)
	m.uuid, m.serial = "4c4c4544-0000-2010-8020-b4c04f4e3132", "1NB2O12"
	s := h.create(doc.Spec{Nodes: []string{m.mac}, Boot: &session.Boot{Method: session.BootReboot}})
	m.powerOn()
	m.say(s.ID, session.StepPlan, session.StepTable)
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	err := h.e.Forget(t.Context(), m.mac, false)
	if err == nil || !strings.Contains(err.Error(), "half-written image") || !strings.Contains(err.Error(), "--force") {
		t.Fatalf("forgotten with %v", err)
	}
	h.restart() // and its cast is over
	h.remove(s.ID)
	if err := h.e.RemoveMachine(t.Context(), "m1"); err != nil {
		t.Fatal(err)
	}
	h.restart()
	if err := h.e.Forget(t.Context(), m.mac, false); err == nil {
		t.Error("forgotten, when the session was gone")
	}
	other := h.machine(2) // the same board, with another NIC in it
	other.uuid, other.serial = m.uuid, m.serial
	other.hello()
	if got := h.e.Boots(other.mac); got != netboot.Agent {
		t.Errorf("under another NIC it boots %s", got)
	}
	stranger := h.machine(3)
	stranger.uuid, stranger.serial = "4c4c4544-0000-2010-8020-b4c04f4e3133", "1NB2O13"
	stranger.hello()
	if got := h.e.Boots(stranger.mac); got != netboot.OwnDisk {
		t.Errorf("another machine boots %s", got)
	}
	if err := h.e.Forget(t.Context(), m.mac, true); err != nil {
		t.Fatal(err)
	}
	h.restart()
	for _, mac := range []string{m.mac, other.mac} {
		if got := h.e.Boots(mac); got != netboot.OwnDisk {
			t.Errorf("%s boots %s, and the mark was forgotten by force", mac, got)
		}
	}
}

// TestHalfOfBefore: a state whose version kept no marks gets them of its sessions, once.
func TestHalfOfBefore(t *testing.T) {
	h := newHouse(t)
	h.change(doc.LabChange{Rules: []doc.Rule{{Name: "all", MACs: []string{"52:54:00"}, WhenIdle: doc.IdleOwnDisk}}})
	m := h.machine(1)
	s := h.create(doc.Spec{Nodes: []string{m.mac}})
	m.powerOn()
	m.say(s.ID, session.StepPlan, session.StepTable)
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	h.crash()
	if err := h.store.Update(t.Context(), func(tx store.WriteTx) error {
		return errors.Join(tx.Delete(record.HalfPrefix+m.id), tx.Delete(record.HalvesKnown))
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h.start()
		if got := h.e.Boots(m.mac); got != netboot.Agent {
			t.Errorf("it boots %s", got)
		}
		h.crash()
	}
}
