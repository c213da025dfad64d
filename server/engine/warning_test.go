package engine_test

import (
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// TestBootWarning: that nothing on the disk can be started is told at the part, which is done, beside the warning of
// growing.
func TestBootWarning(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	a.powerOn()
	a.choose(s.ID)
	for _, ev := range []session.Event{
		{Step: session.StepPlan, Level: session.Info, Message: "planned"},
		{Step: session.StepWritten, Level: session.Info, Message: "written"},
		{Step: session.StepGrown, Level: session.Warn, Message: "not grown"},
		{Step: session.StepBoot, Level: session.Error, Message: "reboot: nothing on the disk can be started"},
	} {
		a.seq++
		ev.Seq, ev.Session = a.seq, s.ID
		if err := h.e.Events(t.Context(), a.id,
			&session.Events{V: 1, Boot: a.boot, Events: []session.Event{ev}}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := h.e.Session(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range got.Parts {
		if want := "reboot: nothing on the disk can be started"; p.Unbootable != want || p.Warning != "not grown" ||
			p.State != doc.Done {
			t.Errorf("%s, unbootable %q, warning %q, want %q", p.State, p.Unbootable, p.Warning, want)
		}
	}
}
