package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/store"
)

// storeRoom is a store of captures that has so many bytes free.
type storeRoom struct {
	mu    sync.Mutex
	free  int64
	ended []string
}

func (r *storeRoom) End(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = append(r.ended, id)
}

func (r *storeRoom) Room() (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.free, nil
}

func captureHouse(t *testing.T, free int64) (*house, *storeRoom) {
	h := newHouse(t)
	room := &storeRoom{free: free}
	h.crash()
	h.room = room
	h.start()
	return h, room
}

func (h *house) capture(m *machine) *doc.Session {
	h.t.Helper()
	s, err := h.e.Create(h.t.Context(), doc.Spec{V: 1, Capture: "golden", Nodes: []string{m.mac}})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (m *machine) report(ev session.Event) {
	m.h.t.Helper()
	m.seq++
	ev.Seq, ev.Since = m.seq, float64(m.seq)
	if err := m.h.e.Events(m.h.t.Context(), m.id,
		&session.Events{V: 1, Boot: m.boot, Events: []session.Event{ev}}); err != nil {
		m.h.t.Fatal(err)
	}
}

var errFull = fmt.Errorf("writing frame: %w", unix.ENOSPC)

// A capture into a full store says why while it lasts, goes on when there is room, and fails when there is none for too
// long.
func TestFullStore(t *testing.T) {
	h, _ := captureHouse(t, 1<<40)
	a := h.machine(1)
	a.powerOn()
	s := h.capture(a)
	h.expect(s.ID, "capturing offered")
	u, err := h.e.Upload(a.id, a.descriptor(0).Upload.ID)
	if err != nil {
		t.Fatal(err)
	}
	warnings := func() string {
		t.Helper()
		v, err := h.e.Session(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(v.Warnings, "|")
	}
	if got := warnings(); got != "" {
		t.Errorf("all is well, and: %s", got)
	}
	h.e.CaptureFailed(u, errFull)
	if got := warnings(); !strings.Contains(got, "disk is full") || !strings.Contains(got, "no space left") ||
		!strings.Contains(got, "image gc") {
		t.Errorf("full: %s", got)
	}
	h.pass(4 * time.Minute)
	h.expect(s.ID, "capturing offered")
	h.e.CaptureFailed(u, nil) // somebody made room
	if got := warnings(); got != "" {
		t.Errorf("room was made, and: %s", got)
	}
	h.e.CaptureFailed(u, errFull)
	h.pass(4 * time.Minute)
	h.e.CaptureFailed(u, errFull)
	h.pass(2 * time.Minute)
	v, err := h.e.Session(s.ID)
	if err != nil || v.State != doc.Failed || !strings.Contains(v.Reason, "disk is full") ||
		!strings.Contains(v.Reason, "capture again") {
		t.Errorf("full for six minutes: %s %s, %v", v.State, v.Reason, err)
	}
	if got := a.told(); got != session.Idle {
		t.Errorf("the node is told %s", got)
	}
}

func TestRoomIsCheckedBefore(t *testing.T) {
	h, room := captureHouse(t, 100<<20)
	a := h.machine(1)
	a.powerOn()
	_, err := h.e.Create(t.Context(), doc.Spec{V: 1, Capture: "golden", Nodes: []string{a.mac}})
	if !errors.Is(err, engine.ErrSpec) || !strings.Contains(err.Error(), "100.0 MiB free") {
		t.Errorf("a store with 100 MB free: %v", err)
	}
	room.mu.Lock()
	room.free = 10 << 30
	room.mu.Unlock()
	s := h.capture(a)
	a.report(session.Event{Session: s.ID, Step: session.StepPlan, Progress: &session.Progress{ToRead: 40 << 30}})
	v, err := h.e.Session(s.ID)
	if err != nil || len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "40.0 GiB in use") {
		t.Errorf("40 GiB in use, 10 free: %q, %v", v.Warnings, err)
	}
}

// A state directory that cannot be written is on every session, and ends them when it lasts; it is not taken for well.
func TestFullState(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	s := h.create(doc.Spec{Image: "debian", Nodes: []string{a.mac}})
	h.expect(s.ID, "casting offered")
	disk := h.store.(*store.Memory)
	disk.SetFail(fmt.Errorf("write state.db: %w", unix.ENOSPC))
	err := h.e.Events(t.Context(), a.id,
		&session.Events{V: 1, Boot: a.boot, Events: []session.Event{{Seq: 1, Step: session.StepLog, Message: "x"}}})
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("an event that could not be written: %v", err)
	}
	v, err := h.e.Session(s.ID)
	if err != nil || len(v.Warnings) != 1 || !strings.Contains(v.Warnings[0], "disk is full") {
		t.Errorf("%q, %v", v.Warnings, err)
	}
	h.pass(11 * time.Minute)
	v, err = h.e.Session(s.ID)
	if err != nil || v.State != doc.Failed || !strings.Contains(v.Reason, "could not write its state") {
		t.Errorf("%s %s, %v", v.State, v.Reason, err)
	}
	disk.SetFail(nil)
}

// A session shows the first sentence of each node's warning.
func TestWarningsOfNodes(t *testing.T) {
	h := newHouse(t)
	a := h.machine(1)
	a.powerOn()
	s := h.create(doc.Spec{Image: "debian", Nodes: []string{a.mac}})
	a.report(session.Event{Session: s.ID, Step: session.StepMulticast, Level: session.Warn,
		Message: "No multicast arrives: likely causes are these. First, no querier; second, a firewall"})
	v, err := h.e.Session(s.ID)
	if err != nil || len(v.Warnings) != 1 || v.Warnings[0] != a.id+": No multicast arrives." {
		t.Errorf("%q, %v", v.Warnings, err)
	}
}
