package engine_test

import (
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/model"
)

// tell reports one step with its level.
func (m *machine) tell(id, step, level, words string) {
	m.h.t.Helper()
	m.seq++
	ev := session.Event{Seq: m.seq, Session: id, Step: step, Level: level, Message: words, Since: float64(m.seq)}
	if err := m.h.e.Events(m.h.t.Context(), m.id, &session.Events{V: 1, Boot: m.boot, Events: []session.Event{ev}}); err != nil {
		m.h.t.Fatal(err)
	}
}

func (h *house) part(id string) model.Part {
	h.t.Helper()
	s, err := h.e.Session(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return s.Parts[0]
}

// TestNoBootEntry has a disk that will not start by itself: the part is done, and says so beside what else was wrong.
func TestNoBootEntry(t *testing.T) {
	h := newHouse(t)
	s := h.create(model.Spec{Count: 1})
	m := h.machine(1)
	m.powerOn()
	m.say(s.ID, session.StepPlan, session.StepTable, session.StepWritten)
	m.tell(s.ID, session.StepGrown, session.Warn, "the file system was not grown")
	m.tell(s.ID, session.StepEntry, session.Warn, "this disk will not start by itself: memory full")
	m.say(s.ID, session.StepBoot)
	h.expect(s.ID, "done done")
	h.restart()
	p := h.part(s.ID)
	if want := "the file system was not grown; this disk will not start by itself: memory full"; p.Warning != want {
		t.Errorf("warning %q, want %q", p.Warning, want)
	}
	if got := p.Steps[session.StepEntry].Message; got != "this disk will not start by itself: memory full" {
		t.Errorf("the timeline says %q", got)
	}
}

// TestRebootBeforeBootEntry loses power when all is on the disk and the machine has no boot entry yet: the node does its part again.
func TestRebootBeforeBootEntry(t *testing.T) {
	for _, spec := range []model.Spec{{Count: 1}, {Count: 1, NoGrow: true}, {Count: 1, NoGrow: true, Verify: true}} {
		h := newHouse(t)
		s := h.create(spec)
		m := h.machine(1)
		m.powerOn()
		m.say(s.ID, session.StepPlan, session.StepTable, session.StepWritten, session.StepVerified, session.StepGrown)
		if !m.powerOn() {
			t.Fatal("the machine was sent to its own disk, which nothing starts")
		}
		h.expect(s.ID, "casting offered")
		m.say(s.ID, session.StepPlan, session.StepTable, session.StepWritten, session.StepVerified, session.StepGrown, session.StepEntry)
		if m.powerOn() {
			t.Error("the machine has everything and was sent to the agent again")
		}
		h.expect(s.ID, "done done")
	}
}

// TestFirmwareWarning names a node whose firmware does not start the image, before and when it comes.
func TestFirmwareWarning(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.firmware = session.BIOS
	m.powerOn()
	s := h.create(model.Spec{Image: "lonely", Nodes: []string{m.id, "52-54-00-00-00-02"}, MinNodes: 2})
	if len(s.Notes) != 1 || s.Notes[0] != "it has no fallback" {
		t.Errorf("notes %q", s.Notes)
	}
	const want = "the image starts by UEFI and this machine by BIOS"
	if got := s.Parts[0].Warning; got != want {
		t.Errorf("when the session is made: %q, want %q", got, want)
	}
	if got := s.Parts[1].Warning; got != "" {
		t.Errorf("a node that nobody knows has the warning %q", got)
	}
	u := h.machine(2)
	u.firmware = session.UEFI
	u.powerOn()
	again, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if again.Parts[0].Warning != want || again.Parts[1].Warning != "" {
		t.Errorf("when both are there: %q and %q, want %q and none", again.Parts[0].Warning, again.Parts[1].Warning, want)
	}
}
