package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// TestCopiedState: a state that was restored from a copy images no machine again, whatever the sessions became since.
func TestCopiedState(t *testing.T) {
	h := newHouse(t)
	a, b := h.machine(1), h.machine(2)
	over := h.create(doc.Spec{Nodes: []string{a.mac}})
	a.powerOn()
	a.say(over.ID, goodRestore...)
	going := h.create(doc.Spec{Nodes: []string{b.mac}})
	b.powerOn()
	waiting := h.create(doc.Spec{All: true, MinNodes: 9})
	h.expect(going.ID, "casting offered")
	serial := b.descriptor(0).Serial
	h.crash()

	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	if err := h.store.Update(t.Context(),
		func(tx store.WriteTx) error { return store.MarkCopied(tx, at) }); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.expect(over.ID, "done done")
	h.expect(going.ID, "cancelled cancelled")
	for _, id := range []string{going.ID, waiting.ID} {
		s, err := h.e.Session(id)
		if err != nil {
			t.Fatal(err)
		}
		if s.State != doc.Cancelled || !strings.Contains(s.Reason, "2026-03-04T05:06:07Z") ||
			!strings.Contains(s.Reason, "create the session anew") {
			t.Errorf("%s is %s: %s", id, s.State, s.Reason)
		}
	}
	if d := b.descriptor(serial + 1000); d == nil || d.Action != "idle" {
		t.Errorf("an agent that was told more than the copy knows is not told to stop: %+v", d)
	}
	a.powerOn()
	b.powerOn()
	if got := b.told(); got != "idle" {
		t.Errorf("the machine is told %q", got)
	}
	// Once: the next start is an ordinary one, and what was created anew goes on.
	anew := h.create(doc.Spec{Nodes: []string{b.mac}})
	if anew.ID == "s4" {
		t.Error("a number that an agent may know from a session after the copy is given again")
	}
	h.restart()
	h.expect(anew.ID, "casting offered")
	if got := b.told(); got != "restore "+anew.ID {
		t.Errorf("the machine is told %q", got)
	}
}

// TestDailyCopy goes the way that the server names when its state is damaged: a session that was done and one that was
// cancelled since the copy stay over, and no machine is told to write its disk again.
func TestDailyCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	open := func() *store.Bolt {
		t.Helper()
		b, err := store.OpenBolt(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	h := newHouse(t)
	h.crash()
	db := open()
	h.store = db
	h.start()
	a, b := h.machine(1), h.machine(2)
	done := h.create(doc.Spec{Nodes: []string{a.mac}})
	cancelled := h.create(doc.Spec{Nodes: []string{b.mac}})
	if err := db.Copy(); err != nil {
		t.Fatal(err)
	}
	a.powerOn()
	a.say(done.ID, goodRestore...)
	h.expect(done.ID, "done done")
	if _, err := h.e.Cancel(t.Context(), cancelled.ID); err != nil {
		t.Fatal(err)
	}
	h.crash()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".daily", path); err != nil {
		t.Fatal(err)
	}
	db = open()
	t.Cleanup(func() {
		h.crash()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	h.store = db
	h.start()
	h.expect(done.ID, "cancelled cancelled")
	h.expect(cancelled.ID, "cancelled cancelled")
	for _, m := range []*machine{a, b} {
		m.powerOn()
		if got := m.told(); strings.Contains(got, "restore") {
			t.Errorf("%s is told %q", m.mac, got)
		}
	}
}
