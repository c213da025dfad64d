package image

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestRowsOfZeros: rows of cells that are all zero make the very index that the cells one by one make, and are parsed
// as rows: of a large empty disk no record is looked at alone.
func TestRowsOfZeros(t *testing.T) {
	const grid, cells = 4 << 20, 25600
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		disk := int64(cells*grid) - int64(rng.IntN(2))*512
		s, err := OpenStore(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.NewBuilder(BuilderOptions{DiskSize: disk, Grid: grid})
		if err != nil {
			t.Fatal(err)
		}
		x := Index{DiskSize: disk, Grid: grid}
		rows := 0
		for cell := int64(0); cell < disk/grid; rows++ {
			cell += int64(rng.IntN(3)) // some that are in no chunk
			n := min(1+rng.Int64N(cells/4), disk/grid-cell)
			if n <= 0 {
				break
			}
			if err := b.AddZeros(cell, n); err != nil {
				t.Fatal(err)
			}
			for end := cell + n; cell < end; cell++ {
				x.Chunks = append(x.Chunks,
					Chunk{Cell: cell, Frame: -1, Zeros: []Extent{{Offset: cell * grid, Length: grid}}})
			}
		}
		var cfg Config
		b.complete(&cfg)
		if sum := x.Content(); cfg.Content != hex.EncodeToString(sum[:]) || cfg.Chunks != len(x.Chunks) ||
			cfg.Zeros != int64(len(x.Chunks))*grid || cfg.Stored != 0 {
			t.Errorf("seed %d: the config says %+v", seed, cfg)
		}
		got, err := b.marshal()
		if err != nil {
			t.Fatal(err)
		}
		want, err := x.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: the index of rows differs from that of cells", seed)
		}
		parsed, err := ParseIndex(got)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(parsed.Chunks, x.Chunks) {
			t.Errorf("seed %d: parsed, the chunks are others", seed)
		}
		if parsed.visits > rows {
			t.Errorf("seed %d: %d records of %d rows were looked at alone", seed, parsed.visits, rows)
		}
		b.Abort()
	}
}

// TestRowRefused: a row that cannot be is refused, and one that would be too much for an index.
func TestRowRefused(t *testing.T) {
	s, err := OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const grid = MinGrid
	b, err := s.NewBuilder(BuilderOptions{DiskSize: MaxIndex * grid, Grid: grid})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Abort()
	if err := b.AddZeros(10, 10); err != nil {
		t.Fatal(err)
	}
	for _, r := range [][2]int64{{19, 1}, {-1, 1}, {20, 0}, {20, -5}, {20, MaxIndex}, {1 << 62, 1 << 62},
		{20, MaxIndex / 2}} {
		if err := b.AddZeros(r[0], r[1]); err == nil {
			t.Errorf("%d cells from %d on were taken", r[1], r[0])
		}
	}
	if err := b.AddZeros(20, 1); err != nil {
		t.Errorf("after what was refused: %v", err)
	}
}
