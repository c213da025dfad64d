package capture

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
)

func TestCells(t *testing.T) {
	const g = 64 << 10
	var got []cell
	ext := []volume.Extent{{Offset: 100, Length: 50}, {Offset: 200, Length: 2*g + 5}, {Offset: 9 * g, Length: g}}
	err := cells(ext, nil, g, func(c cell) error {
		got = append(got, c)
		return nil
	}, func(r row) error { return fmt.Errorf("cells %v were passed over", r) })
	want := []cell{
		{0, []volume.Extent{{Offset: 100, Length: 50}, {Offset: 200, Length: g - 200}}},
		{1, []volume.Extent{{Offset: g, Length: g}}},
		{2, []volume.Extent{{Offset: 2 * g, Length: 205}}},
		{9, []volume.Extent{{Offset: 9 * g, Length: g}}},
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(cell{})); d != "" || err != nil {
		t.Error(err, d)
	}
	if n := countCells(ext, g); n != len(want) {
		t.Errorf("%d cells are counted", n)
	}
}

// TestRowsOfCells: the whole cells in a hole come in rows, and what is found with the holes and without is the same.
func TestRowsOfCells(t *testing.T) {
	const g, size = 64 << 10, 40*64<<10 + 777
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		runs := func() (l []volume.Extent) {
			for at := int64(0); at < size; {
				n := min(size-at, 1+r.Int64N(5*g))
				if r.IntN(3) > 0 { // often whole cells
					n = min(size-at, (at+n+g-1)/g*g-at)
				}
				if r.IntN(2) == 0 {
					l = append(l, volume.Extent{Offset: at, Length: n})
				}
				at += n
			}
			return l
		}
		ext, holes := runs(), volume.Merge(size, runs())
		var plain, got []cell
		_ = cells(ext, nil, g, func(c cell) error { plain = append(plain, c); return nil }, nil)
		err := cells(ext, holes, g, func(c cell) error {
			if len(c.extents) == 1 && c.extents[0].Length == g && len(volume.Subtract(c.extents, holes)) == 0 {
				t.Errorf("seed %d: cell %d is whole and in a hole, and came by itself", seed, c.number)
			}
			got = append(got, c)
			return nil
		}, func(w row) error {
			for i := range w.n {
				whole := []volume.Extent{{Offset: (w.first + i) * g, Length: g}}
				if len(volume.Subtract(whole, holes)) != 0 {
					t.Errorf("seed %d: cell %d is not in a hole", seed, w.first+i)
				}
				got = append(got, cell{w.first + i, whole})
			}
			return nil
		})
		if d := cmp.Diff(plain, got, cmp.AllowUnexported(cell{}),
			cmp.Transformer("merged", func(e []volume.Extent) []volume.Extent {
				return volume.Merge(size, e)
			})); d != "" || err != nil {
			t.Fatalf("seed %d: %v %s", seed, err, d)
		}
	}
}

func TestSplit(t *testing.T) {
	const g, k = 256 << 10, 1 << 10
	type ext = [][2]int64 // offset, length
	for _, c := range []struct {
		name          string
		extents       ext
		data          ext // where the disk is not zero
		stored, zeros ext
	}{
		{"all data", ext{{0, 100 * k}}, ext{{0, 100 * k}}, ext{{0, 100 * k}}, nil},
		{"all zero", ext{{0, 100 * k}}, nil, nil, ext{{0, 100 * k}}},
		{"small zero extent", ext{{0, k}, {8 * k, 4 * k}}, ext{{8 * k, 4 * k}}, ext{{8 * k, 4 * k}}, ext{{0, k}}},
		{"short run stays", ext{{0, 100 * k}}, ext{{0, 40 * k}, {68 * k, 32 * k}}, ext{{0, 100 * k}}, nil},
		{"long run", ext{{0, 100 * k}}, ext{{0, 40 * k}, {72 * k, 28 * k}}, ext{{0, 40 * k}, {72 * k, 28 * k}},
			ext{{40 * k, 32 * k}}},
		{"run at the start", ext{{4 * k, 96 * k}}, ext{{60 * k, 40 * k}}, ext{{60 * k, 40 * k}}, ext{{4 * k, 56 * k}}},
		{"run at the end", ext{{4 * k, 96 * k}}, ext{{4 * k, 4 * k}}, ext{{4 * k, 4 * k}}, ext{{8 * k, 92 * k}}},
		{"odd ends", ext{{100, 50*k + 7}}, ext{{100, 1}}, ext{{100, 4*k - 100}}, ext{{4 * k, 46*k + 107}}},
		{"two runs", ext{{0, 100 * k}}, ext{{4*k - 1, 1}, {40 * k, 1}}, ext{{0, 4 * k}, {40 * k, 4 * k}},
			ext{{4 * k, 36 * k}, {44 * k, 56 * k}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			const number = 3
			base := int64(number * g)
			disk := make([]byte, g)
			for _, e := range c.data {
				for i := e[0]; i < e[0]+e[1]; i++ {
					disk[i] = byte(i)%255 + 1
				}
			}
			shift := func(e ext) []image.Extent {
				var out []image.Extent
				for _, x := range e {
					out = append(out, image.Extent{Offset: x[0] + base, Length: x[1]})
				}
				return out
			}
			buf := bytes.Clone(disk)
			stored, zeros, data := split(cell{number, shift(c.extents)}, g, buf)
			if d := cmp.Diff(shift(c.stored), stored, cmpopts.EquateEmpty()); d != "" {
				t.Error("stored", d)
			}
			if d := cmp.Diff(shift(c.zeros), zeros, cmpopts.EquateEmpty()); d != "" {
				t.Error("zeros", d)
			}
			var want []byte
			for _, e := range stored {
				want = append(want, disk[e.Offset-base:e.End()-base]...)
			}
			if !bytes.Equal(want, data) {
				t.Error("the stored bytes are not those of the disk")
			}
		})
	}
}

// TestSplitLosesNothing takes random cells apart and puts them together again.
func TestSplitLosesNothing(t *testing.T) {
	const g = 256 << 10
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		disk := make([]byte, g)
		var c cell
		for at := int64(r.IntN(9000)); at < g-1; {
			n := min(g-at, 1+int64(r.IntN(1<<(4+r.IntN(14)))))
			c.extents = append(c.extents, volume.Extent{Offset: at, Length: n})
			if r.IntN(2) == 0 {
				for i := at + int64(r.IntN(int(n))); i < at+n; i++ {
					disk[i] = byte(r.Uint32())
				}
			}
			at += n + 1 + int64(r.IntN(20000))
		}
		buf := bytes.Clone(disk)
		stored, zeros, data := split(c, g, buf)
		again := make([]byte, g)
		for i := range again {
			again[i] = 0xee
		}
		for _, e := range stored {
			data = data[copy(again[e.Offset:e.End()], data[:e.Length]):]
		}
		for _, e := range zeros {
			clear(again[e.Offset:e.End()])
		}
		if len(data) != 0 {
			t.Fatalf("%d bytes left over", len(data))
		}
		for _, e := range c.extents {
			if !bytes.Equal(again[e.Offset:e.End()], disk[e.Offset:e.End()]) {
				t.Fatalf("extent %+v of %+v changed: stored %+v, zeros %+v", e, c.extents, stored, zeros)
			}
		}
	}
}
