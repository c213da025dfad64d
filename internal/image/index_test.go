package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/diskcast/diskcast/internal/image"
)

// sample is an index with everything in it: shared and reused frames, several blobs, zeros, an odd end of the disk.
func sample() *image.Index {
	const g = 64 << 10
	x := &image.Index{DiskSize: 10*g + 100, Grid: g, Blobs: 2}
	x.Frames = []image.Frame{
		{Object: 0, Length: 100, Size: 4096, Sum: [32]byte{1}, CRC: 1, Blob: 0, Offset: 5000, Chunks: []int32{0, 3}},
		{Object: 100, Length: 70000, Size: g, Sum: [32]byte{2}, CRC: 2, Blob: 1, Offset: 0, Chunks: []int32{1}},
		{Object: 70100, Length: 20, Size: 100, Sum: [32]byte{3}, CRC: 3, Blob: 0, Offset: 4000, Chunks: []int32{4}},
	}
	x.Frames[1].Length = g + 100
	x.Frames[2].Object = 100 + g + 100
	x.Chunks = []image.Chunk{
		{Cell: 0, Frame: 0, Extents: []image.Extent{{Offset: 512, Length: 2048}, {Offset: 4096, Length: 2048}},
			Zeros: []image.Extent{{Offset: 2560, Length: 1536}}},
		{Cell: 1, Frame: 1, Extents: []image.Extent{{Offset: g, Length: g}}},
		{Cell: 5, Frame: -1, Zeros: []image.Extent{{Offset: 5*g + 10, Length: g - 10}}},
		{Cell: 7, Frame: 0, Extents: []image.Extent{{Offset: 7 * g, Length: 4096}}},
		{Cell: 10, Frame: 2, Extents: []image.Extent{{Offset: 10 * g, Length: 100}}},
	}
	return x
}

func marshal(t testing.TB, x *image.Index) []byte {
	t.Helper()
	b, err := x.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestIndexRoundTrip(t *testing.T) {
	for name, x := range map[string]*image.Index{
		"everything": sample(),
		"empty disk": {DiskSize: 4096, Grid: image.DefaultGrid},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := image.ParseIndex(marshal(t, x))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(x, got, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(image.Index{})); d != "" {
				t.Error(d)
			}
			if got.Content() != x.Content() {
				t.Error("the content sum changed")
			}
		})
	}
}

// TestIndexRefuses changes a good index in ways that a hostile or broken writer would.
func TestIndexRefuses(t *testing.T) {
	const g = 64 << 10
	change := func(f func(x *image.Index)) []byte {
		x := sample()
		f(x)
		return marshal(t, x)
	}
	good := marshal(t, sample())
	raw := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	le := binary.LittleEndian
	for _, c := range []struct {
		name string
		b    []byte
		want string
	}{
		{"empty", nil, "begin"},
		{"magic", raw(func(b []byte) []byte { b[0]++; return b }), "begin"},
		{"version", raw(func(b []byte) []byte { b[8] = 2; return b }), "version 2"},
		{"grid", raw(func(b []byte) []byte { b[12] = 40; return b }), "grid"},
		{"huge grid", raw(func(b []byte) []byte { b[12] = 255; return b }), "grid"},
		{"disk", raw(func(b []byte) []byte { b[23] = 0xff; return b }), "disk"},
		{"reserved", raw(func(b []byte) []byte { b[36] = 1; return b }), "reserved"},
		{"frames", raw(func(b []byte) []byte { le.PutUint32(b[28:], 0xffffffff); return b }), "cannot hold"},
		{"chunks", raw(func(b []byte) []byte { le.PutUint32(b[32:], 0xffffffff); return b }), "cannot hold"},
		{"blobs", raw(func(b []byte) []byte { le.PutUint32(b[24:], 0xffffffff); return b }), "blobs"},
		{"no blobs", raw(func(b []byte) []byte { le.PutUint32(b[24:], 0); return b }), "blobs"},
		{"object", raw(func(b []byte) []byte { b[40]++; return b }), "object"},
		{"cut", good[:len(good)-1], "ends in the middle"},
		{"longer", raw(func(b []byte) []byte { return append(b, 0) }), "follow"},
		{"blob order", change(func(x *image.Index) { x.Frames[0].Blob, x.Frames[1].Blob = 1, 0 }), "blob number"},
		{"frame too small", change(func(x *image.Index) { x.Frames[0].Size = 4095 }), "extents have"},
		{"bomb", change(func(x *image.Index) { x.Frames[1].Size = g + 1 }), "decoded size"},
		{"empty frame", change(func(x *image.Index) {
			x.Frames[0].Length = 0
			x.Frames[1].Object -= 100
			x.Frames[2].Object -= 100
		}), "cannot be stored"},
		{"frame of nobody", change(func(x *image.Index) {
			x.Chunks[4].Frame = 0
			x.Chunks[4].Extents[0].Length = 100
			x.Frames[0].Size = 100
		}), ""},
		{"overlap", change(func(x *image.Index) { x.Chunks[0].Extents[1].Offset = 2000 }), ""},
		{"beyond the cell", change(func(x *image.Index) { x.Chunks[1].Extents[0].Offset++ }), "beyond its cell"},
		{"beyond the disk", change(func(x *image.Index) { x.DiskSize -= 50 }), "beyond its cell or the disk"},
		{"cell beyond the disk", change(func(x *image.Index) { x.DiskSize = 9 * g }), "next cell"},
		{"zeros with frame", change(func(x *image.Index) { x.Chunks[2].Frame = 1 }), "extents have 0 bytes"},
		{"stored without frame", change(func(x *image.Index) { x.Chunks[3].Frame = -1 }), "no frame"},
		{"unmerged", change(func(x *image.Index) {
			x.Chunks[3].Extents = []image.Extent{{Offset: 7 * g, Length: 2048}, {Offset: 7*g + 2048, Length: 2048}}
		}), "are one"},
		{"empty run", change(func(x *image.Index) { x.Chunks[2].Zeros[0].Length = 0 }), "run of 0 bytes"},
		{"no runs", change(func(x *image.Index) { x.Chunks[2].Zeros = nil }), "0 runs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := image.ParseIndex(c.b)
			if err == nil || !errors.Is(err, image.ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func FuzzIndex(f *testing.F) {
	f.Add(marshal(f, sample()))
	f.Add(marshal(f, &image.Index{DiskSize: 4096, Grid: image.DefaultGrid}))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := image.ParseIndex(b)
		if err != nil {
			return
		}
		checkInvariants(t, x)
		again, err := x.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, again) {
			t.Fatalf("%x was accepted, and is %x when written again", b, again)
		}
	})
}

// checkInvariants checks what the users of an index rely on.
func checkInvariants(t *testing.T, x *image.Index) {
	t.Helper()
	var object int64
	for i, f := range x.Frames {
		if f.Object != object || f.Size <= 0 || f.Size > x.Grid || f.Length <= 0 || f.Blob < 0 || f.Blob >= x.Blobs ||
			f.Offset < 0 || len(f.Chunks) == 0 {
			t.Fatalf("frame %d: %+v", i, f)
		}
		object += f.Length
		for _, c := range f.Chunks {
			if int(x.Chunks[c].Frame) != i {
				t.Fatalf("frame %d lists chunk %d of frame %d", i, c, x.Chunks[c].Frame)
			}
		}
	}
	cell := int64(-1)
	for i, c := range x.Chunks {
		if c.Cell <= cell || c.Frame < -1 || int(c.Frame) >= len(x.Frames) || len(c.Extents)+len(c.Zeros) == 0 {
			t.Fatalf("chunk %d: %+v", i, c)
		}
		cell = c.Cell
		var size int64
		for _, list := range [][]image.Extent{c.Extents, c.Zeros} {
			at := c.Cell * x.Grid
			for _, e := range list {
				if e.Offset < at || e.Length <= 0 || e.End() > min((c.Cell+1)*x.Grid, x.DiskSize) {
					t.Fatalf("chunk %d: %+v", i, c)
				}
				at = e.End()
			}
		}
		for _, e := range c.Extents {
			size += e.Length
		}
		if c.Frame >= 0 && size != x.Frames[c.Frame].Size || c.Frame < 0 && size != 0 {
			t.Fatalf("chunk %d has %d bytes", i, size)
		}
	}
}
