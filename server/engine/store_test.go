package engine_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// TestRefusedIsNotDone: what an operator was told cannot be done, because it cannot be stored, is not done when the
// disk has room again.
func TestRefusedIsNotDone(t *testing.T) {
	h := newHouse(t)
	disk := h.store.(*store.Memory)
	a := h.machine(1)
	a.powerOn()
	fail := func() { disk.SetFail(fmt.Errorf("write state.db: %w", unix.ENOSPC)) }

	fail()
	for range 3 {
		_, err := h.e.Create(t.Context(), doc.Spec{V: 1, Image: "debian", All: true})
		if err == nil || !strings.Contains(err.Error(), "was not created") ||
			!strings.Contains(err.Error(), "make room") {
			t.Fatalf("created: %v", err)
		}
	}
	if err := h.e.Forget(t.Context(), a.id, false); err == nil || !strings.Contains(err.Error(), "was not forgotten") {
		t.Errorf("forgotten: %v", err)
	}
	if n := h.e.Sessions(); len(n) != 0 {
		t.Errorf("%d sessions that were refused are there", len(n))
	}
	if got := h.images.Open("debian"); got != 0 {
		t.Errorf("the image of a refused session is held %d times", got)
	}
	disk.SetFail(nil)
	if got := a.told(); got != "nothing" {
		t.Errorf("the machine is told %q by a session that was refused", got)
	}
	h.restart()
	if n := h.e.Sessions(); len(n) != 0 {
		t.Errorf("%d sessions that were refused came back", len(n))
	}
	if _, err := h.e.Node(a.id); err != nil {
		t.Errorf("a node that was not forgotten: %v", err)
	}
}

// TestCancelWithoutRoom: a session is cancelled although that cannot be stored, and the operator is told both.
func TestCancelWithoutRoom(t *testing.T) {
	h := newHouse(t)
	disk := h.store.(*store.Memory)
	s := h.create(doc.Spec{All: true, MinNodes: 2})
	disk.SetFail(fmt.Errorf("write state.db: %w", unix.ENOSPC))
	v, err := h.e.Cancel(t.Context(), s.ID)
	if err != nil || v.State != doc.Cancelled || len(v.Warnings) != 1 ||
		!strings.Contains(v.Warnings[0], "could not write that down") ||
		strings.Count(v.Warnings[0], "state cannot be written") != 1 {
		t.Fatalf("got %+v, %v", v, err)
	}
	disk.SetFail(nil)
	h.restart()
	h.expect(s.ID, "cancelled")
}

// TestReportedAgain: a node that was told that its report could not be stored says it again, and is believed only when
// it is stored.
func TestReportedAgain(t *testing.T) {
	h := newHouse(t)
	disk := h.store.(*store.Memory)
	a := h.machine(1)
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	a.powerOn()
	disk.SetFail(fmt.Errorf("write state.db: %w", unix.ENOSPC))
	batch := &session.Events{V: 1, Boot: a.boot,
		Events: []session.Event{{Seq: 1, Session: s.ID, Step: session.StepPlan, Since: 1}}}
	for i := range 2 {
		if err := h.e.Events(t.Context(), a.id, batch); err == nil {
			t.Errorf("report %d counts, and is not stored", i)
		}
	}
	disk.SetFail(nil)
	// The writer tries again within a second; until then the report may still be refused.
	for err := h.e.Events(t.Context(), a.id, batch); err != nil; err = h.e.Events(t.Context(), a.id, batch) {
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestEndIsTold: nobody who follows a session is told that it is over before that is stored; they are told why not, and
// so is who looks at it.
func TestEndIsTold(t *testing.T) {
	h := newHouse(t)
	disk := h.store.(*store.Memory)
	a := h.machine(1)
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	a.powerOn()
	sub, err := h.e.Watch(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	disk.SetFail(fmt.Errorf("write state.db: %w", unix.ENOSPC))
	batch := &session.Events{V: 1, Boot: a.boot,
		Events: []session.Event{{Seq: 1, Session: s.ID, Step: session.StepFailed, Message: "no disk", Since: 1}}}
	if err := h.e.Events(t.Context(), a.id, batch); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Errorf("the node is told %v", err)
	}
	const words = "is not stored"
	warned := func(v *doc.Session) bool {
		return v.State == doc.Failed && len(v.Warnings) == 1 && strings.Contains(v.Warnings[0], words)
	}
	for heard := false; !heard; {
		lines, last, err := sub.Next(t.Context())
		if err != nil || last {
			t.Fatalf("the end is told before it is stored: %v", err)
		}
		for _, l := range lines {
			heard = heard || l.Session != nil && warned(l.Session)
		}
	}
	if v, err := h.e.Session(s.ID); err != nil || !warned(v) {
		t.Errorf("who looks is shown %+v, %v", v, err)
	}
	disk.SetFail(nil)
	for {
		lines, last, err := sub.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last {
			if v := lines[len(lines)-1].Session; v.State != doc.Failed || len(v.Warnings) != 0 {
				t.Errorf("the end: %+v", v)
			}
			return
		}
	}
}

// gated is a store whose updates wait until somebody lets them.
type gated struct {
	*store.Memory
	held atomic.Bool // updates wait
	gate chan error
}

func (g *gated) Update(ctx context.Context, f func(store.WriteTx) error) error {
	if g.held.Load() {
		if err := <-g.gate; err != nil {
			return err
		}
	}
	return g.Memory.Update(ctx, f)
}

// TestFollowerIsWarned: who was told of a session's last step before it was known that it cannot be stored is told that
// too.
func TestFollowerIsWarned(t *testing.T) {
	h := newHouse(t)
	h.crash()
	g := &gated{Memory: h.store.(*store.Memory), gate: make(chan error)}
	h.store = g
	h.start()
	a := h.machine(1)
	s := h.create(doc.Spec{Nodes: []string{a.mac}})
	a.powerOn()
	sub, err := h.e.Watch(s.ID)
	if err != nil {
		t.Fatal(err)
	}
	g.held.Store(true)
	told := make(chan error)
	go func() {
		told <- h.e.Events(t.Context(), a.id, &session.Events{V: 1, Boot: a.boot,
			Events: []session.Event{{Seq: 1, Session: s.ID, Step: session.StepFailed, Message: "no disk", Since: 1}}})
	}()
	next := func(until func(*doc.Session) bool) (last bool) {
		t.Helper()
		for {
			lines, last, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range lines {
				if l.Session != nil && until(l.Session) {
					return last
				}
			}
		}
	}
	if next(func(v *doc.Session) bool { return v.State == doc.Failed }) {
		t.Fatal("the end is told before it is stored")
	}
	// All else that changed is read, so that what comes next comes of the store alone.
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, _, err := sub.Next(ctx)
		cancel()
		if err != nil {
			break
		}
	}
	room, full := make(chan struct{}), make(chan struct{})
	go func() { // ends when there is room
		defer close(full)
		for {
			select {
			case g.gate <- fmt.Errorf("write state.db: %w", unix.ENOSPC):
			case <-room:
				return
			}
		}
	}()
	if err := <-told; err == nil {
		t.Error("the node is told that its word is stored")
	}
	if next(func(v *doc.Session) bool { return len(v.Warnings) == 1 }) {
		t.Error("a session whose end is not stored is over")
	}
	close(room)
	<-full
	close(g.gate)
	if !next(func(v *doc.Session) bool { return v.State == doc.Failed && len(v.Warnings) == 0 }) {
		t.Error("it is not over when all is stored")
	}
}
