package span

import (
	"math/rand/v2"
	"testing"
)

// TestSet holds sets against one mark for each byte.
func TestSet(t *testing.T) {
	const size = 64
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var s Set
		marks := make([]bool, size)
		for range 200 {
			off, n := rng.Int64N(size-4), rng.Int64N(5)
			add := rng.IntN(2) == 0
			if add {
				var fresh []Span
				want := make([]bool, size)
				for i := off; i < off+n; i++ {
					want[i] = !marks[i]
				}
				s, fresh = s.Take(off, n, nil)
				same(t, fresh, want)
			} else {
				s = s.Remove(off, n)
			}
			for i := off; i < off+n; i++ {
				marks[i] = add
			}
			same(t, s, marks)
			inverted := make([]bool, size)
			for i := range marks {
				inverted[i] = !marks[i]
				if at := s.Around(int64(i)); (at.Length > 0) != marks[i] || marks[i] &&
					(at.Offset > int64(i) || at.End() <= int64(i)) {
					t.Fatalf("seed %d: byte %d of %v is in %v", seed, i, s, at)
				}
			}
			same(t, Invert(s, size), inverted)
		}
	}
}

// TestSubtract takes sets from sets.
func TestSubtract(t *testing.T) {
	const size = 64
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 2))
		var sets [2]Set
		marks := [2][]bool{make([]bool, size), make([]bool, size)}
		for k := range sets {
			for range 12 {
				off, n := rng.Int64N(size-6), rng.Int64N(6)
				sets[k] = sets[k].Add(off, n)
				for i := off; i < off+n; i++ {
					marks[k][i] = true
				}
			}
		}
		want := make([]bool, size)
		for i := range want {
			want[i] = marks[0][i] && !marks[1][i]
		}
		same(t, Subtract(sets[0], sets[1]), want)
	}
}

// same wants a set of exactly the bytes that are marked, sorted and merged.
func same(t *testing.T, s Set, marks []bool) {
	t.Helper()
	got := make([]bool, len(marks))
	last := int64(-1)
	for _, r := range s {
		if r.Length <= 0 || r.Offset <= last {
			t.Fatalf("%v is not sorted and merged", s)
		}
		last = r.End()
		for i := r.Offset; i < last; i++ {
			got[i] = true
		}
	}
	for i := range marks {
		if marks[i] != got[i] {
			t.Fatalf("byte %d: got %v, want %v, in %v", i, got[i], marks[i], s)
		}
	}
}
