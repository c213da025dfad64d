package engine_test

import (
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// tell reports one step with its level.
func (m *machine) tell(id, step, level, words string) {
	m.h.t.Helper()
	m.seq++
	ev := session.Event{Seq: m.seq, Session: id, Step: step, Level: level, Message: words, Since: float64(m.seq)}
	if err := m.h.e.Events(m.h.t.Context(), m.id,
		&session.Events{V: 1, Boot: m.boot, Events: []session.Event{ev}}); err != nil {
		m.h.t.Fatal(err)
	}
}

func (h *house) part(id string) doc.Part {
	h.t.Helper()
	s, err := h.e.Session(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return s.Parts[0]
}

// TestNoBootEntry has a disk that will not start by itself: part and session are done, and say so beside what else was
// wrong.
func TestNoBootEntry(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	m := h.machine(1)
	m.powerOn()
	m.say(s.ID, session.StepPlan, session.StepTable, session.StepWritten)
	m.tell(s.ID, session.StepGrown, session.Warn, "the file system was not grown")
	m.tell(s.ID, session.StepEntry, session.Error, "this disk will not start by itself: memory full")
	m.say(s.ID, session.StepBoot)
	h.expect(s.ID, "done done")
	h.restart()
	p := h.part(s.ID)
	if p.Warning != "the file system was not grown" ||
		p.Unbootable != "this disk will not start by itself: memory full" {
		t.Errorf("warning %q, unbootable %q", p.Warning, p.Unbootable)
	}
	h.ends(s.ID, 1, "1 of 1 nodes will not start by themselves: "+m.id+
		": this disk will not start by itself: memory full")
	if got := p.Steps[session.StepEntry].Message; got != "this disk will not start by itself: memory full" {
		t.Errorf("the timeline says %q", got)
	}
}

// TestRebootBeforeBootEntry loses power when all is on the disk and the machine has no boot entry yet: the node does
// its part again.
func TestRebootBeforeBootEntry(t *testing.T) {
	for _, spec := range []doc.Spec{{Count: 1}, {Count: 1, NoGrow: true}, {Count: 1, NoGrow: true, Verify: true}} {
		h := newHouse(t)
		s := h.create(spec)
		m := h.machine(1)
		m.powerOn()
		m.say(s.ID, session.StepPlan, session.StepTable, session.StepWritten, session.StepVerified, session.StepGrown)
		if !m.powerOn() {
			t.Fatal("the machine was sent to its own disk, which nothing starts")
		}
		h.expect(s.ID, "casting offered")
		m.say(s.ID, session.StepPlan, session.StepTable, session.StepWritten, session.StepVerified, session.StepGrown,
			session.StepEntry)
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
	s := h.create(doc.Spec{Image: "lonely", Nodes: []string{m.id, "52-54-00-00-00-02"}, MinNodes: 2})
	if len(s.Notes) != 1 || s.Notes[0] != "it has no fallback" {
		t.Errorf("notes %q", s.Notes)
	}
	const want = "the image starts by UEFI and this machine by BIOS"
	if got := s.Parts[0].Unbootable; got != want || s.Unbootable != 1 {
		t.Errorf("when the session is made: %q and %d nodes, want %q and 1", got, s.Unbootable, want)
	}
	if got := s.Parts[1].Unbootable; got != "" {
		t.Errorf("a node that nobody knows has the warning %q", got)
	}
	u := h.machine(2)
	u.firmware = session.UEFI
	u.powerOn()
	again, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if again.Parts[0].Unbootable != want || again.Parts[1].Unbootable != "" {
		t.Errorf("when both are there: %q and %q, want %q and none", again.Parts[0].Unbootable,
			again.Parts[1].Unbootable, want)
	}
	// What the cast says of itself does not take the warning away.
	m.tell(s.ID, session.StepMulticast, session.Info, "multicast arrives again")
	if got := h.part(s.ID).Unbootable; got != want {
		t.Errorf("after a word of the cast: %q, want %q", got, want)
	}
	m.say(s.ID, goodRestore[:len(goodRestore)-2]...)
	m.tell(s.ID, session.StepEntry, session.Error, "this disk will not start by itself: this machine starts by BIOS")
	m.say(s.ID, session.StepBoot)
	u.say(s.ID, goodRestore...)
	h.expect(s.ID, "done done done")
	h.restart()
	h.ends(s.ID, 1, "1 of 2 nodes will not start by themselves: "+m.id+
		": this disk will not start by itself: this machine starts by BIOS")
}

// ends holds a session's end against what is wanted.
func (h *house) ends(id string, unbootable int, reason string) {
	h.t.Helper()
	s, err := h.e.Session(id)
	if err != nil {
		h.t.Fatal(err)
	}
	if s.Unbootable != unbootable || s.Reason != reason {
		h.t.Errorf("session %s ended with %d unbootable nodes, reason %q; want %d, %q", id, s.Unbootable, s.Reason,
			unbootable, reason)
	}
}

// TestForeseenIsNotFound: the node finds that its disk starts, whatever was foreseen. A node whose disk firmware cannot
// start, and that failed, does not count among those that have the image.
func TestForeseenIsNotFound(t *testing.T) {
	h := newHouse(t)
	var ms []*machine
	for i := range 3 {
		m := h.machine(i + 1)
		m.firmware = session.BIOS
		ms = append(ms, m)
	}
	s := h.create(doc.Spec{Image: "lonely", Nodes: []string{ms[0].mac, ms[1].mac, ms[2].mac}, MinNodes: 3})
	for _, m := range ms {
		m.powerOn()
	}
	ms[0].say(s.ID, goodRestore...)
	ms[1].say(s.ID, session.StepPlan, session.StepFailed+": the disk is gone")
	h.ends(s.ID, 1, "")
	ms[2].say(s.ID, goodRestore[:len(goodRestore)-1]...)
	ms[2].tell(s.ID, session.StepBoot, session.Error, "reboot: nothing on the disk can be started")
	h.expect(s.ID, "failed done failed done")
	h.ends(s.ID, 1, "2 of 3 nodes have the image; "+ms[1].id+
		": the disk is gone; 1 of 3 nodes will not start by themselves: "+ms[2].id+
		": reboot: nothing on the disk can be started")
}
