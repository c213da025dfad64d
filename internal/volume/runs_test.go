package volume

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// slowRuns is what Runs does, one byte at a time.
func slowRuns(used []bool) []Extent {
	var out []Extent
	for i, u := range used {
		if !u {
			continue
		}
		if l := len(out); l > 0 && out[l-1].End() == int64(i) {
			out[l-1].Length++
		} else {
			out = append(out, Extent{Offset: int64(i), Length: 1})
		}
	}
	return out
}

func TestAddBitsAgainstSlow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		bitmap := make([]byte, rng.IntN(40))
		density := rng.IntN(5)
		for i := range bitmap {
			switch density {
			case 0:
			case 1:
				bitmap[i] = 0xff
			case 2:
				bitmap[i] = byte(rng.Uint32())
			case 3:
				bitmap[i] = byte(rng.Uint32() & rng.Uint32() & rng.Uint32())
			case 4:
				bitmap[i] = byte(rng.Uint32() | rng.Uint32() | rng.Uint32())
			}
		}
		n := int64(rng.IntN(340))
		used := make([]bool, 400)
		for i := int64(0); i < min(n, int64(len(bitmap))*8); i++ {
			used[i+7] = bitmap[i/8]>>(i%8)&1 == 1
		}
		r := NewRuns(400)
		r.AddBits(bitmap, n, 7, 1)
		if d := cmp.Diff(slowRuns(used), r.Extents()); d != "" && len(slowRuns(used))+len(r.ext) > 0 {
			t.Fatalf("bitmap %x, %d bits: %s", bitmap, n, d)
		}
	}
}

func TestRunsAgainstSlow(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		const size = 200
		ua, ub := make([]bool, size), make([]bool, size)
		var lists [2][]Extent
		for i, u := range [][]bool{ua, ub} {
			r := NewRuns(size)
			for range rng.IntN(12) {
				off, n := int64(rng.IntN(220))-5, int64(rng.IntN(40))-2
				r.Add(off, n)
				for j := off; off >= 0 && j < min(off+n, size); j++ {
					u[j] = true
				}
			}
			lists[i] = r.Extents()
			if d := cmp.Diff(slowRuns(u), lists[i]); d != "" && Bytes(lists[i]) > 0 {
				t.Fatal(d)
			}
		}
		sub, inv, union := make([]bool, size), make([]bool, size), make([]bool, size)
		for i := range size {
			sub[i], inv[i], union[i] = ua[i] && !ub[i], !ua[i], ua[i] || ub[i]
		}
		for name, c := range map[string][2][]Extent{
			"Subtract": {slowRuns(sub), Subtract(lists[0], lists[1])},
			"Invert":   {slowRuns(inv), Invert(lists[0], size)},
			"Merge":    {slowRuns(union), Merge(size, lists[1], lists[0])},
		} {
			if d := cmp.Diff(c[0], c[1]); d != "" && len(c[0])+len(c[1]) > 0 {
				t.Fatalf("%s: %s", name, d)
			}
		}
	}
}

// A map that would be too long for memory is made shorter by counting small gaps as used, never the other way.
func TestRunsBound(t *testing.T) {
	r := NewRuns(1 << 40)
	r.max = 1000
	for i := int64(0); i < 100_000; i++ {
		r.Add(i*8192, 4096)
	}
	got := r.Extents()
	if len(got) > 1000 {
		t.Errorf("%d extents", len(got))
	}
	for i, j := int64(0), 0; i < 100_000; i++ {
		for got[j].End() <= i*8192 {
			j++
		}
		if got[j].Offset > i*8192 || got[j].End() < i*8192+4096 {
			t.Fatalf("block at %d is lost", i*8192)
		}
	}
}
