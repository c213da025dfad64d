package zenc

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

var levels = []Level{Fast, Default, Small}

// decoder is another's, which every frame is read by.
func decoder(t testing.TB) *zstd.Decoder {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// sample is n bytes of what is on disks in turns: text that repeats, runs, records, noise, copies of what was before.
func sample(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	words := make([][]byte, 300)
	for i := range words {
		words[i] = make([]byte, 1+r.IntN(12))
		for j := range words[i] {
			words[i][j] = byte('a' + r.IntN(26)*r.IntN(2))
		}
	}
	out := make([]byte, 0, n+1<<17)
	for len(out) < n {
		switch size := 1 + r.IntN(1<<r.IntN(18)); r.IntN(6) {
		case 0:
			for end := len(out) + size; len(out) < end; {
				out = append(append(out, words[r.IntN(1+r.IntN(len(words)))]...), ' ')
			}
		case 1:
			out = append(out, bytes.Repeat([]byte{byte(r.Uint32())}, size)...)
		case 2:
			for i := range uint32(size / 16) {
				out = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(append(out, 1, 0, 0, 0), i),
					uint64(r.Uint32()))
			}
		case 3:
			for range size {
				out = append(out, byte(r.Uint32()))
			}
		default: // sometimes overlapping what it makes
			if len(out) > 0 {
				for from := r.IntN(len(out)); size > 0; size-- {
					out = append(out, out[from])
					from++
				}
			}
		}
	}
	return out[:n]
}

// cases are contents at the edges of the format.
func cases() map[string][]byte {
	c := map[string][]byte{"empty": nil, "noise": make([]byte, 300_000)}
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(c["noise"]) // never fails
	for _, n := range []int{1, 15, 16, 17, 63, 64, 255, 256, 1023, 1024, 65791, 65792, maxBlock - 1, maxBlock,
		maxBlock + 1, span - 1, span + maxBlock + 1} {
		c[fmt.Sprint("sample ", n)] = sample(uint64(n), n)
		c[fmt.Sprint("run ", n)] = bytes.Repeat([]byte{7}, n)
	}
	// A match as long as a block, and literals as many as a block has.
	c["twice"] = append(bytes.Clone(c["noise"][:maxBlock]), c["noise"][:maxBlock]...)
	c["literals"] = append(append(bytes.Clone(c["noise"][:maxBlock-64]), c["noise"][:64]...), 1, 2, 3)
	// Two symbols, one of them once: the smallest share that a Huffman code and a table of states can have.
	c["two"] = append(bytes.Repeat([]byte{0, 1, 1, 0, 1}, 20_000), 2)
	var wide []byte // every literal length up to some thousand, each before a match
	for i := range 2000 {
		wide = append(append(wide, c["noise"][i*100:i*100+i]...), "the match that comes behind these literals"...)
	}
	c["lengths"] = wide
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		c["program"] = self[:min(len(self), 6<<20)]
	}
	return c
}

func TestFramesDecode(t *testing.T) {
	d := decoder(t)
	for _, l := range levels {
		e := New(l)
		for name, in := range cases() {
			frame := e.EncodeAll(in, []byte("before"))
			if string(frame[:6]) != "before" {
				t.Fatalf("level %d, %s: what was in front of the frame is gone", l, name)
			}
			frame = frame[6:]
			var h zstd.Header
			if err := h.Decode(frame); err != nil || !h.HasFCS || h.FrameContentSize != uint64(len(in)) ||
				!h.SingleSegment || h.HasCheckSum {
				t.Errorf("level %d, %s: header %+v, %v", l, name, h, err)
			}
			out, err := d.DecodeAll(frame, nil)
			if err != nil || !bytes.Equal(out, in) {
				t.Errorf("level %d, %s: %d bytes came back as %d: %v", l, name, len(in), len(out), err)
			}
			if most := len(in) + 16 + 3*(len(in)/maxBlock+1); len(frame) > most {
				t.Errorf("level %d, %s: a frame of %d bytes of %d, want at most %d", l, name, len(frame), len(in), most)
			}
		}
	}
}

// TestFramesDecodeByZstd asks the reference decoder.
func TestFramesDecodeByZstd(t *testing.T) {
	path := need.Tool(t, "zstd")
	for _, l := range levels {
		e := New(l)
		for name, in := range cases() {
			cmd := exec.Command(path, "-dcq")
			cmd.Stdin = bytes.NewReader(e.EncodeAll(in, nil))
			out, err := cmd.Output()
			if err != nil || !bytes.Equal(out, in) {
				t.Errorf("level %d, %s: zstd gives %d bytes of %d: %v", l, name, len(out), len(in), err)
			}
		}
	}
}

func TestSamplesDecode(t *testing.T) {
	d := decoder(t)
	encoders := []*Encoder{New(Fast), New(Default), New(Small)}
	for seed := range uint64(120) {
		in := sample(seed, int(seed*seed*40))
		for l, e := range encoders {
			frame := e.EncodeAll(in, nil)
			out, err := d.DecodeAll(frame, nil)
			if err != nil || !bytes.Equal(out, in) {
				t.Fatalf("level %d, seed %d: %d bytes came back as %d: %v", l, seed, len(in), len(out), err)
			}
			// What an encoder did before is not in the frame: a capture by any number of workers has one digest.
			if seed%10 == 0 && !bytes.Equal(frame, New(Level(l)).EncodeAll(in, nil)) {
				t.Errorf("level %d, seed %d: a new encoder makes another frame", l, seed)
			}
		}
	}
}

// TestSizes holds what the levels are for.
func TestSizes(t *testing.T) {
	in := cases()["program"]
	if in == nil {
		t.Skip("this system has no /proc/self/exe")
	}
	var size [3]float64
	for i, l := range levels {
		size[i] = float64(len(New(l).EncodeAll(in, nil))) / float64(len(in))
	}
	for i, k := range []zstd.EncoderLevel{zstd.SpeedFastest, zstd.SpeedDefault, zstd.SpeedBestCompression} {
		z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(k), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithWindowSize(8<<20))
		if err != nil {
			t.Fatal(err)
		}
		beside := float64(len(z.EncodeAll(in, nil))) / float64(len(in))
		t.Logf("level %d: %.4f of the program's size, klauspost's %v %.4f", i, size[i], k, beside)
		if size[i] > beside*1.05 {
			t.Errorf("level %d makes %.4f of it, klauspost's %v %.4f", i, size[i], k, beside)
		}
	}
	if size[Default] > size[Fast]*0.98 || size[Small] > size[Default]*0.97 {
		t.Errorf("sizes %.4f: a level that takes longer makes hardly less", size)
	}
}

func TestShares(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var counts [maxSymbols]uint32
		total, used := uint32(0), 0
		for s := range 2 + r.IntN(51) {
			if c := uint32(r.IntN(1 << r.IntN(16))); c > 0 {
				counts[s] = c
				total, used = total+c, used+1
			}
		}
		if used < 2 {
			continue
		}
		var f fseTable
		f.normalize(counts[:], total, maxLog)
		sum := 0
		for s, c := range counts {
			share := 0
			if s < f.n {
				share = int(f.norm[s])
			}
			if (share > 0) != (c > 0) {
				t.Fatalf("%d of %d have a share of %d", c, total, share)
			}
			sum += share
		}
		if f.log > maxLog || sum != 1<<f.log {
			t.Fatalf("the shares of %v are %d of %d", counts, sum, 1<<f.log)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add([]byte("a frame, a frame, and one more frame"), uint16(3))
	f.Add(sample(5, 5000), uint16(100))
	f.Add([]byte{}, uint16(0))
	d := decoder(f)
	encoders := []*Encoder{New(Fast), New(Default), New(Small)}
	f.Fuzz(func(t *testing.T, in []byte, again uint16) {
		// The same bytes once more, at another distance, give matches across blocks.
		in = append(append(bytes.Clone(in), make([]byte, again)...), in...)
		if len(in) > 1<<20 {
			return
		}
		for l, e := range encoders {
			out, err := d.DecodeAll(e.EncodeAll(in, nil), nil)
			if err != nil || !bytes.Equal(out, in) {
				t.Fatalf("level %d: %d bytes came back as %d: %v", l, len(in), len(out), err)
			}
		}
	})
}
