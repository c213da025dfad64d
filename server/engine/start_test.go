package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

func (h *house) session(id string) *doc.Session {
	h.t.Helper()
	s, err := h.e.Session(id)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// TestSlipInAMAC names a machine with two digits changed places: the session says at once that nobody saw it, and which
// known one is near. It may still come.
func TestSlipInAMAC(t *testing.T) {
	h := newHouse(t)
	m := h.machine(0x12)
	m.powerOn()
	name := "rack1-2"
	if _, err := h.e.EditMachine(t.Context(), m.mac, doc.MachineChange{V: 1, Name: &name}); err != nil {
		t.Fatal(err)
	}
	s := h.create(doc.Spec{Nodes: []string{"52:54:00:00:00:21", "52:54:00:00:00:99"}, MinNodes: 2})
	words := strings.Join(s.Warnings, " ")
	for _, want := range []string{"2 of its nodes were never seen",
		"Nearly 52-54-00-00-00-21 is: 52-54-00-00-00-12 (rack1-2)",
		"session cancel " + s.ID} {
		if !strings.Contains(words, want) {
			t.Errorf("warnings %q do not have %q", words, want)
		}
	}
	if got := s.Parts[0].Waits; !strings.Contains(got, "never saw") {
		t.Errorf("the part waits %q", got)
	}
	h.machine(0x21).powerOn()
	s = h.session(s.ID)
	if words := strings.Join(s.Warnings, " "); !strings.Contains(words, "Node 52-54-00-00-00-99 was never seen") {
		t.Errorf("after one came the warnings are %q", words)
	}
	if !strings.Contains(s.Waits, "1 of the 2") || !strings.Contains(s.Waits, "session go "+s.ID) {
		t.Errorf("the session waits for %q", s.Waits)
	}
	if near := h.create(doc.Spec{Nodes: []string{m.mac}}); len(near.Warnings) > 0 {
		t.Errorf("a known machine: %q", near.Warnings)
	}
}

// TestBusyNodeSaysForWhom has a node that works for one session be named in another.
func TestBusyNodeSaysForWhom(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.powerOn()
	a := h.create(doc.Spec{Nodes: []string{m.mac}})
	b := h.create(doc.Spec{Nodes: []string{m.mac}})
	h.expect(a.ID, "casting offered")
	want := fmt.Sprintf("session %s (casting), for which it works: `diskcast session cancel %s`", a.ID, a.ID)
	if got := h.session(b.ID).Parts[0].Waits; !strings.Contains(got, want) {
		t.Errorf("the node of the second session waits %q, want %q", got, want)
	}
	want = fmt.Sprintf("none is free: %s works for session %s (casting)", m.id, a.ID)
	all := h.create(doc.Spec{All: true})
	two := h.create(doc.Spec{Nodes: []string{m.mac, h.machine(2).mac}})
	for _, id := range []string{b.ID, all.ID, two.ID} {
		if got := h.session(id).Waits; !strings.Contains(got, want) ||
			strings.Contains(got, "1 more of its nodes") != (id == two.ID) {
			t.Errorf("session %s waits %q, want %q", id, got, want)
		}
	}
	m.say(a.ID, goodRestore...)
	if got := h.session(b.ID).Waits; !strings.Contains(got, "none is there") {
		t.Errorf("the session whose node left waits %q", got)
	}
	if got := h.session(b.ID).Parts[0].Waits; !strings.Contains(got, "its own disk") {
		t.Errorf("the node that left waits %q", got)
	}
}

// TestRetryOfTheFailed does again what failed of a session, over a restart of the server; each names the other. What
// went well cannot be done again, and a session that does it already is named.
func TestRetryOfTheFailed(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	a.powerOn()
	b.powerOn()
	s := h.create(doc.Spec{All: true, MinNodes: 2, Verify: true, Notes: "room 5"})
	if _, err := h.e.Retry(t.Context(), s.ID); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("retry of a session that goes: %v", err)
	}
	a.say(s.ID, goodRestore...)
	b.say(s.ID, session.StepPlan, session.StepFailed+": the disk is broken")
	h.pass(time.Second)
	h.expect(s.ID, "failed done failed")
	h.restart()
	r, err := h.e.Retry(t.Context(), s.ID)
	if err != nil {
		t.Fatal(err)
	}
	if r.Spec.RetryOf != s.ID || len(r.Parts) != 1 || r.Parts[0].Node != b.id || !r.Spec.Verify ||
		r.Spec.Notes != "room 5" || r.Spec.All {
		t.Errorf("the retry is %+v of %+v", r.Spec, r.Parts)
	}
	if got := h.session(s.ID).RetriedBy; len(got) != 1 || got[0] != r.ID {
		t.Errorf("session %s is retried by %v", s.ID, got)
	}
	if _, err := h.e.Retry(t.Context(), s.ID); err == nil || !strings.Contains(err.Error(), r.ID) {
		t.Errorf("a second retry: %v", err)
	}
	b.powerOn()
	b.say(r.ID, goodRestore...)
	h.pass(time.Second)
	h.expect(r.ID, "done done")
	if _, err := h.e.Retry(t.Context(), r.ID); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("retry of what is done: %v", err)
	}
}

// TestRemove forgets a session for good; one that goes is refused, and a name that is like it is told.
func TestRemove(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	if err := h.e.Remove(t.Context(), s.ID); !errors.Is(err, engine.ErrSpec) {
		t.Errorf("a session that waits: %v", err)
	}
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	other := h.create(doc.Spec{Count: 1})
	if err := h.e.Remove(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	h.restart()
	_, err := h.e.Session(s.ID)
	if !errors.Is(err, engine.ErrNotFound) || !strings.Contains(err.Error(), "did you mean "+other.ID) {
		t.Errorf("a session that was removed: %v", err)
	}
}

// TestEditAndGoOverRestart has a session be changed, the server be started anew, and the session start by word.
func TestEditAndGoOverRestart(t *testing.T) {
	h := newHouse(t)
	m := h.machine(1)
	m.powerOn()
	at := h.clock().Add(time.Hour)
	s := h.create(doc.Spec{All: true, MinNodes: 5, At: at})
	four, many := 4, -1
	_, err := h.e.Edit(t.Context(), s.ID, doc.SessionChange{V: 1, MinNodes: &many})
	if !errors.Is(err, engine.ErrSpec) {
		t.Errorf("min-nodes -1: %v", err)
	}
	if _, err := h.e.Edit(t.Context(), s.ID, doc.SessionChange{V: 1, MinNodes: &four}); err != nil {
		t.Fatal(err)
	}
	h.restart()
	if got := h.session(s.ID); got.Spec.MinNodes != 4 || !got.Spec.At.Equal(at) ||
		!strings.HasPrefix(got.Waits, "its start time") {
		t.Errorf("after a restart: %+v, waits for %q", got.Spec, got.Waits)
	}
	m.hello()
	if _, err := h.e.Go(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	h.expect(s.ID, "casting offered")
	h.restart()
	if got := h.session(s.ID); !got.Go {
		t.Error("the operator's word is forgotten")
	}
	m.hello()
	m.say(s.ID, goodRestore...)
	h.pass(time.Second)
	h.expect(s.ID, "done done")
}

// TestUses names the sessions that need an image, as long as they do.
func TestUses(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{Count: 1})
	if got := h.e.Uses(s.Image.Manifest); len(got) != 1 || got[0] != "session "+s.ID+" (waiting)" {
		t.Errorf("the image is used by %q", got)
	}
	if _, err := h.e.Cancel(t.Context(), s.ID); err != nil {
		t.Fatal(err)
	}
	if got := h.e.Uses(s.Image.Manifest); len(got) > 0 {
		t.Errorf("after the session the image is used by %q", got)
	}
}
