package engine_test

import (
	"testing"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine/enginetest"
)

// TestActivity follows two sessions by their activity, and what they hold open, over a restart.
func TestActivity(t *testing.T) {
	h := newHouse(t)
	manifest := enginetest.Digest("debian", "manifest")
	expect := func(when string, going, named bool, open bool) {
		t.Helper()
		a, _ := h.e.Activity()
		if a.Going != going || a.Images[manifest] != named || (h.images.Open("debian") > 0) != open {
			t.Errorf("%s: %+v, %d objects open", when, a, h.images.Open("debian"))
		}
	}
	expect("before", false, false, false)
	_, changed := h.e.Activity()
	s := h.create(doc.Spec{Count: 1})
	<-changed
	expect("waiting", false, true, true)
	h.crash()
	if n := h.images.Open("debian"); n != 0 {
		t.Errorf("the engine ended with %d objects open", n)
	}
	h.start()
	expect("waiting, after a restart", false, true, true)
	_, changed = h.e.Activity()
	m := h.machine(1)
	m.powerOn()
	<-changed
	expect("casting", true, true, true)
	_, changed = h.e.Activity()
	m.say(s.ID, goodRestore...)
	<-changed
	if err := h.casts.Wait(t.Context(), running(0)); err != nil {
		t.Fatal(err)
	}
	a, _ := h.e.Activity()
	if a.Going || len(a.Images) > 0 {
		t.Errorf("after: %+v", a)
	}
	h.crash() // waits for what the cast had open
	if n := h.images.Open("debian"); n != 0 {
		t.Errorf("%d objects stay open", n)
	}
}
