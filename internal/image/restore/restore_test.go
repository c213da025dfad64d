package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// disk makes a disk with a GPT and raw partitions, or without a table when sizes is empty.
func disk(t testing.TB, size int64, sector int, seed uint64, sizes ...int64) []byte {
	t.Helper()
	m := imagetest.NewMemory(make([]byte, size), sector)
	if len(sizes) == 0 {
		imagetest.Fill(m.Bytes(), seed)
		return m.Bytes()
	}
	g := imagetest.GPT(size, sector, sizes...)
	for i, p := range g.Partitions {
		imagetest.Fill(m.Bytes()[p.Start:p.End()], seed+uint64(i))
	}
	if err := table.Write(m, g, size, sector); err != nil {
		t.Fatal(err)
	}
	return m.Bytes()
}

func store(t testing.TB) *image.Store {
	t.Helper()
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// captured captures b under the name "img" and opens it.
func captured(t testing.TB, b []byte, sector int, o capture.Options) *image.Image {
	t.Helper()
	if o.Store == nil {
		o.Store = store(t)
	}
	o.Name = "img"
	if _, err := capture.Capture(context.Background(), bytes.NewReader(b), int64(len(b)), sector, o); err != nil {
		t.Fatal(err)
	}
	im, err := o.Store.Open("img")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im
}

// dirty is a target full of random bytes.
func dirty(size int64, sector int) *imagetest.Memory {
	b := make([]byte, size)
	imagetest.Random(b, 99)
	return imagetest.NewMemory(b, sector)
}

// sameData compares what the image promises: all allocated bytes, and zeros where the target has room for them beside
// its table.
func sameData(t *testing.T, im *image.Image, want []byte, got *imagetest.Memory) {
	t.Helper()
	p, err := restore.NewPlan(im.Config(), im.Index(), got.Size(), got.SectorSize())
	if err != nil {
		t.Fatal(err)
	}
	pieces, err := table.Layout(p.Table(), got.Size(), got.SectorSize())
	if err != nil {
		t.Fatal(err)
	}
	own := []image.Extent{{Offset: got.Size(), Length: 1 << 40}}
	for _, x := range pieces {
		own = append(own, image.Extent{Offset: x.Offset, Length: int64(len(x.Data))})
	}
	own = volume.Merge(1<<50, own)
	for i, c := range im.Index().Chunks {
		for _, e := range append(append([]image.Extent(nil), c.Extents...), volume.Subtract(c.Zeros, own)...) {
			if !bytes.Equal(want[e.Offset:e.End()], got.Bytes()[e.Offset:e.End()]) {
				t.Fatalf("chunk %d: bytes %d+%d differ", i, e.Offset, e.Length)
			}
		}
	}
}

func TestRoundTrip(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name   string
		size   int64
		sector int
		parts  []int64
		level  string
		grid   int64
	}{
		{"raw", 20 * mib, 512, nil, "", 0},
		{"odd size", 9*mib + 12345, 512, nil, "", 0},
		{"tiny", 700, 512, nil, "", 0},
		{"gpt", 32 * mib, 512, []int64{5 * mib, 9 * mib}, "", 0},
		{"gpt 4Kn", 32 * mib, 4096, []int64{5 * mib, 9*mib + 4096}, "fast", 0},
		{"odd partition", 32 * mib, 512, []int64{5*mib + 512, 7*mib + 1024}, "", 0},
		{"small grid", 8 * mib, 512, nil, "fast", 64 << 10},
		{"small level", 6 * mib, 512, nil, "small", 1 << 20},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := disk(t, c.size, c.sector, 7, c.parts...)
			im := captured(t, src, c.sector, capture.Options{Level: c.level, Grid: c.grid})
			if err := im.Verify(context.Background(), nil); err != nil {
				t.Fatal(err)
			}
			target := dirty(c.size, c.sector)
			if _, err := restore.Local(context.Background(), im, target,
				restore.LocalOptions{Verify: true}); err != nil {
				t.Fatal(err)
			}
			sameData(t, im, src, target)
			if len(c.parts) == 0 {
				if !bytes.Equal(src, target.Bytes()) {
					t.Error("a raw disk must be the same in every byte")
				}
				return
			}
			a, err := table.Read(bytes.NewReader(src), c.size, c.sector)
			if err != nil {
				t.Fatal(err)
			}
			b, err := table.Read(target, c.size, c.sector)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range a.Partitions {
				if !bytes.Equal(src[p.Start:p.End()], target.Bytes()[p.Start:p.End()]) {
					t.Errorf("partition %d differs", p.Number)
				}
			}
			if fmt.Sprint(a.Partitions) != fmt.Sprint(b.Partitions) {
				t.Errorf("table: %v became %v", a.Partitions, b.Partitions)
			}
		})
	}
}

func TestDeterminism(t *testing.T) {
	src := disk(t, 40<<20, 512, 3, 30<<20)
	var digest string
	for _, workers := range []int{1, 2, 7} {
		im := captured(t, src, 512, capture.Options{Workers: workers, Grid: 1 << 20})
		if digest == "" {
			digest = im.Manifest()
		}
		if im.Manifest() != digest {
			t.Errorf("with %d workers the digest is %s, with 1 it was %s", workers, im.Manifest(), digest)
		}
	}
	// Into a store that has it: the same image again, and nothing stored twice.
	s := store(t)
	captured(t, src, 512, capture.Options{Store: s, Grid: 1 << 20})
	if im := captured(t, src, 512, capture.Options{Store: s, Grid: 1 << 20}); im.Manifest() != digest {
		t.Errorf("captured again the digest is %s, not %s", im.Manifest(), digest)
	}
}

func TestPlanRefuses(t *testing.T) {
	const mib = 1 << 20
	src := disk(t, 40*mib, 512, 19, 10*mib, 10*mib)
	im := captured(t, src, 512, capture.Options{})
	for _, c := range []struct {
		name   string
		size   int64
		sector int
		small  int64 // bytes too small by
	}{
		{"same", 40 * mib, 512, 0},
		{"larger", 90*mib + 512, 512, 0},
		{"smaller, nothing beyond", 22 * mib, 512, 0},
		{"4Kn", 41 * mib, 4096, 0},
		{"no room for the backup table", 21 * mib, 512, 33 * 512},
		{"too small", 20 * mib, 512, 1*mib + 33*512},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := restore.NewPlan(im.Config(), im.Index(), c.size, c.sector)
			if c.small != 0 {
				var small *restore.TooSmallError
				if !errors.As(err, &small) || small.Need-small.Have != c.small {
					t.Fatalf("error %v, want too small by %d", err, c.small)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			target := dirty(c.size, c.sector)
			if _, err := restore.Local(context.Background(), im, target,
				restore.LocalOptions{Verify: true}); err != nil {
				t.Fatal(err)
			}
			sameData(t, im, src, target)
			got, err := table.Read(target, c.size, c.sector)
			if err != nil || len(got.Partitions) != 2 || got.DiskSize != c.size {
				t.Fatalf("table after the restore: %+v, %v", got, err)
			}
			if _, err := restore.NewWriter(p, dirty(c.size+512, c.sector), restore.WriterOptions{}); err == nil {
				t.Error("the plan was carried out on another disk")
			}
		})
	}
}

func TestOldSignaturesAreWiped(t *testing.T) {
	const mib = 1 << 20
	// A disk with one partition in its middle of which nothing is allocated near the disk's end.
	src := disk(t, 40*mib, 512, 23, 4*mib)
	for _, c := range []struct {
		name    string
		options []capture.SurveyOption
		stale   bool // the space behind the partition keeps what was on the target
	}{
		{"gaps", nil, false},
		{"gaps dropped", []capture.SurveyOption{capture.DropGaps()}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			im := captured(t, src, 512, capture.Options{Survey: c.options})
			target := dirty(60*mib, 512)
			if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{}); err != nil {
				t.Fatal(err)
			}
			tail := target.Bytes()[59*mib : 60*mib-33*512]
			if !image.IsZero(tail) {
				t.Error("the end of the disk keeps what was there")
			}
			if got := !image.IsZero(target.Bytes()[30*mib : 31*mib]); got != c.stale {
				t.Errorf("the space behind the partition keeps what was there: %v, want %v", got, c.stale)
			}
		})
	}
}

func TestWriteErrorEndsTheRestore(t *testing.T) {
	src := disk(t, 8<<20, 512, 29)
	im := captured(t, src, 512, capture.Options{Grid: 1 << 20})
	target := dirty(int64(len(src)), 512)
	broken := errors.New("input/output error")
	target.Fail = func(off int64, n int) error {
		if off > 4<<20 {
			return broken
		}
		return nil
	}
	if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

func TestVerifyFindsFlippedBit(t *testing.T) {
	src := disk(t, 8<<20, 512, 31, 5<<20)
	im := captured(t, src, 512, capture.Options{Grid: 256 << 10})
	target := dirty(int64(len(src)), 512)
	if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := restore.NewPlan(im.Config(), im.Index(), target.Size(), 512)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{0, 512, 1<<20 + 5, 5<<20 + 77777, int64(len(src)) - 1} {
		target.Bytes()[at] ^= 4
		var m *restore.MismatchError
		if err := p.Verify(context.Background(), target, nil); !errors.As(err, &m) || at < m.Offset ||
			at >= m.Offset+m.Length {
			t.Errorf("flipped bit at %d: %v", at, err)
		}
		target.Bytes()[at] ^= 4
	}
	if err := p.Verify(context.Background(), target, nil); err != nil {
		t.Error(err)
	}
}

func TestFileTarget(t *testing.T) {
	src := disk(t, 20<<20+512, 512, 37, 8<<20+512, 6<<20)
	im := captured(t, src, 512, capture.Options{})
	for _, c := range []struct {
		name string
		o    restore.TargetOptions
	}{
		{"buffered", restore.TargetOptions{}},
		{"direct", restore.TargetOptions{Direct: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			b := make([]byte, len(src))
			imagetest.Random(b, 1)
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			c.o.Size = int64(len(src))
			target, err := restore.OpenTarget(path, c.o)
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			if _, err := restore.OpenTarget(path, c.o); err == nil {
				t.Error("a file that is being written was opened a second time")
			}
			if _, err := restore.Local(context.Background(), im, target,
				restore.LocalOptions{Verify: true}); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			sameData(t, im, src, imagetest.NewMemory(got, 512))
		})
	}
}
