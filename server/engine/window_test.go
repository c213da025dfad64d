package engine

import (
	"math/rand/v2"
	"testing"
)

func TestWindow(t *testing.T) {
	var w window
	r := rand.New(rand.NewPCG(1, 2))
	nums := r.Perm(3000)
	for _, n := range nums {
		if !w.add(uint64(n + 1)) {
			t.Fatalf("%d was not new", n+1)
		}
		if w.add(uint64(n + 1)) {
			t.Fatalf("%d was new twice", n+1)
		}
	}
	if w.Low != 3000 || len(w.Above) != 0 {
		t.Errorf("low %d, %d above", w.Low, len(w.Above))
	}
	if w.add(0) {
		t.Error("0 was new")
	}
	for n := uint64(10_000); n < 20_000; n += 2 {
		w.add(n)
	}
	if len(w.Above) > maxAbove {
		t.Errorf("%d above", len(w.Above))
	}
	if w.add(10_002) || !w.add(19_999) {
		t.Error("a window that slid forgot what it saw, or takes nothing new")
	}
}
