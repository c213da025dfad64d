package fec

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/reedsolomon"
)

func TestAnyKPackets(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct{ k, held int }{{128, 128}, {128, 5}, {128, 1}, {16, 16}, {1, 1}, {8, 3}} {
		const payload = 192
		codec, err := New(c.k, payload)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, c.held*payload)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		parity := make([][]byte, MaxParity)
		for i := range parity {
			parity[i] = make([]byte, payload)
		}
		// Rows made one by one, in small runs and all at once are the same rows.
		for first := 0; first < MaxParity; {
			n := min(1+rng.IntN(5), MaxParity-first)
			if err := codec.Parity(data, first, parity[first:first+n]); err != nil {
				t.Fatal(err)
			}
			first += n
		}
		for range 20 {
			lost := rng.Perm(c.held)[:rng.IntN(c.held+1)]
			got := bytes.Clone(data)
			gone := map[int]bool{}
			for _, i := range lost {
				clear(got[i*payload : (i+1)*payload])
				gone[i] = true
			}
			var use []Packet
			for _, row := range rng.Perm(MaxParity)[:min(len(lost), MaxParity)] {
				use = append(use, Packet{row, parity[row]})
			}
			if len(use) < len(lost) {
				continue
			}
			if err := codec.Decode(got, func(i int) bool { return !gone[i] }, use); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, data) {
				t.Fatalf("K=%d, %d packets, %d lost: the block came back wrong", c.k, c.held, len(lost))
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	const payload = 64
	codec, err := New(8, payload)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 8*payload)
	row := make([]byte, payload)
	lost := func(i int) bool { return i > 1 }
	for name, parity := range map[string][]Packet{
		"too few":        {{0, row}},
		"the same row":   {{3, row}, {3, row}},
		"no such row":    {{0, row}, {MaxParity, row}},
		"short parity":   {{0, row}, {1, row[1:]}},
		"row below zero": {{-1, row}, {1, row}},
	} {
		if err := codec.Decode(data, lost, parity); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if codec.Decode(make([]byte, 9*payload), lost, nil) == nil ||
		codec.Parity(make([]byte, 9*payload), 0, [][]byte{row}) == nil {
		t.Error("a block of nine packets: no error")
	}
	if codec.Parity(data, MaxParity, [][]byte{row}) == nil {
		t.Error("a row that is not there: no error")
	}
}

func BenchmarkParity(b *testing.B) {
	codec, _ := New(128, 1408)
	data := make([]byte, 128*1408)
	row := make([]byte, 1408)
	b.SetBytes(1408)
	for b.Loop() {
		codec.Parity(data, 5, [][]byte{row})
	}
}

func BenchmarkDecode(b *testing.B) {
	codec, _ := New(128, 1408)
	data := make([]byte, 128*1408)
	par := [][]byte{make([]byte, 1408), make([]byte, 1408)}
	codec.Parity(data, 0, par)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		codec.Decode(data, func(i int) bool { return i != 5 && i != 77 }, []Packet{{0, par[0]}, {1, par[1]}})
	}
}

// TestMatrix holds that the code is that of klauspost/reedsolomon: the rows are what it makes of the unit matrix.
func TestMatrix(t *testing.T) {
	for _, k := range []int{1, 2, 7, 100, 128, 129} {
		rs, err := reedsolomon.New(k, MaxParity)
		if err != nil {
			t.Fatal(err)
		}
		shards := make([][]byte, k+MaxParity)
		for i := range shards {
			shards[i] = make([]byte, k)
			if i < k {
				shards[i][i] = 1
			}
		}
		if err := rs.Encode(shards); err != nil {
			t.Fatal(err)
		}
		for r, row := range matrix(k) {
			if !bytes.Equal(row, shards[k+r]) {
				t.Fatalf("row %d for %d packets is %x, want %x", r, k, row, shards[k+r])
			}
		}
	}
	for _, k := range []int{-1, 0, 130} {
		if _, err := New(k, 100); err == nil {
			t.Errorf("a code for %d packets was made", k)
		}
	}
}
