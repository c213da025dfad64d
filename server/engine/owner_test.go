package engine_test

import (
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine/enginetest"
)

// TestTwoServers starts a second server on the store of one that runs. The first can change nothing from then on, tells
// nobody that it did, and ends; the second goes on with its sessions.
func TestTwoServers(t *testing.T) {
	h := newHouse(t)
	s := h.create(doc.Spec{All: true})
	a := h.machine(1)
	a.powerOn()
	a.say(s.ID, session.StepPlan)

	other := &house{t: t, store: h.store, images: &enginetest.Images{}, addr: h.addr, now: h.now, name: "the other"}
	other.start()
	defer other.crash()
	v, err := other.e.Session(s.ID)
	if err != nil || v.Owner != "the other" || v.Parts[0].Step != session.StepPlan {
		t.Fatalf("the second server has %+v, %v", v, err)
	}
	if _, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Count: 1}); err == nil ||
		!strings.Contains(err.Error(), "another server runs the sessions") {
		t.Errorf("the first made a session: %v", err)
	}
	if err := h.e.Forget(t.Context(), a.id, false); err == nil {
		t.Error("the first forgot a node")
	}
	err = h.e.Events(t.Context(), a.id,
		&session.Events{V: 1, Boot: a.boot,
			Events: []session.Event{{Seq: 50, Session: s.ID, Step: session.StepBoot, Level: session.Info}}})
	if err == nil {
		t.Error("the first told a node that its word is stored")
	}
	if err := <-h.done; err == nil || !strings.Contains(err.Error(), "another server has taken over") {
		t.Errorf("the first ended with %v", err)
	}
	h.stop = nil
	other.expect(s.ID, "casting running")
	other.restart()
	other.expect(s.ID, "casting running")

	b := *a
	b.h = other
	b.say(s.ID, goodRestore...)
	v, err = other.e.Session(s.ID)
	if err != nil || v.Parts[0].State != doc.Done {
		t.Errorf("the second: %+v, %v", v, err)
	}
}
