package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
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

// sameData compares what the image promises: all allocated bytes.
func sameData(t *testing.T, im *image.Image, want []byte, got *imagetest.Memory) {
	t.Helper()
	for i, c := range im.Index().Chunks {
		for _, e := range append(append([]image.Extent(nil), c.Extents...), c.Zeros...) {
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
			if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{Verify: true}); err != nil {
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

// feeder gives the object of an image to a Writer block by block in a random order, and again what the Writer asks for.
type feeder struct {
	mu    sync.Mutex
	todo  []restore.Range
	r     *rand.Rand
	again int
}

func newFeeder(size, block int64, seed uint64) *feeder {
	f := &feeder{r: rand.New(rand.NewPCG(seed, 2))}
	for off := int64(0); off < size; off += block {
		f.todo = append(f.todo, restore.Range{Offset: off, Length: min(block, size-off)})
	}
	f.r.Shuffle(len(f.todo), func(i, j int) { f.todo[i], f.todo[j] = f.todo[j], f.todo[i] })
	return f
}

func (f *feeder) Again(off, n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.again++
	f.todo = append(f.todo, restore.Range{Offset: off, Length: n})
	i := f.r.IntN(len(f.todo))
	f.todo[i], f.todo[len(f.todo)-1] = f.todo[len(f.todo)-1], f.todo[i]
}

func (f *feeder) next() (restore.Range, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.todo) == 0 {
		return restore.Range{}, false
	}
	r := f.todo[len(f.todo)-1]
	f.todo = f.todo[:len(f.todo)-1]
	return r, true
}

// feed runs until the writer is done or has failed. read fills in the bytes of a range.
func (f *feeder) feed(w *restore.Writer, goroutines int, read func(p []byte, off int64)) {
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for {
				select {
				case <-w.Done():
					return
				case <-w.Failed():
					return
				default:
				}
				r, ok := f.next()
				if !ok {
					continue // what is under way may come back
				}
				b := make([]byte, r.Length)
				read(b, r.Offset)
				if w.Block(r.Offset, b) != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestShuffledBlocks(t *testing.T) {
	src := disk(t, 24<<20, 512, 11, 20<<20)
	im := captured(t, src, 512, capture.Options{Grid: 256 << 10})
	for _, c := range []struct {
		name       string
		memory     int64
		block      int64
		goroutines int
		evicts     bool
	}{
		{"plenty", 0, 180224, 1, false},
		{"plenty, four receivers", 0, 180224, 4, false},
		{"odd blocks", 0, 7001, 2, false},
		{"one frame of memory", 1, 50000, 2, true},
		{"little memory", 1 << 20, 60000, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := dirty(int64(len(src)), 512)
			p, err := restore.NewPlan(im.Config(), im.Index(), target.Size(), 512)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.WriteTable(target); err != nil {
				t.Fatal(err)
			}
			f := newFeeder(im.ObjectSize(), c.block, 5)
			w, err := restore.NewWriter(p, target, restore.WriterOptions{Memory: c.memory, Again: f.Again})
			if err != nil {
				t.Fatal(err)
			}
			f.feed(w, c.goroutines, func(b []byte, off int64) {
				if _, err := im.Object().ReadAt(b, off); err != nil {
					t.Error(err)
				}
			})
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if err := p.Verify(context.Background(), target, nil); err != nil {
				t.Fatal(err)
			}
			sameData(t, im, src, target)
			s := w.Stats()
			if (f.again > 0) != c.evicts {
				t.Errorf("Again was called %d times", f.again)
			}
			if s.Written != s.ToWrite || s.Received != s.Needed {
				t.Errorf("stats do not add up: %+v", s)
			}
		})
	}
}

func TestWrongHash(t *testing.T) {
	src := disk(t, 8<<20, 512, 13)
	im := captured(t, src, 512, capture.Options{Grid: 256 << 10})
	frame := len(im.Index().Frames) / 2
	f := &im.Index().Frames[frame]
	for _, c := range []struct {
		name  string
		bad   int // how many times the frame comes wrong
		fails bool
	}{
		{"once", 1, false},
		{"twice", 2, false},
		{"always", 100, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := dirty(int64(len(src)), 512)
			before := bytes.Clone(target.Bytes())
			p, err := restore.NewPlan(im.Config(), im.Index(), target.Size(), 512)
			if err != nil {
				t.Fatal(err)
			}
			feed := newFeeder(im.ObjectSize(), im.ObjectSize(), 1)
			bad := c.bad
			var rejected []*image.DamageError
			w, err := restore.NewWriter(p, target, restore.WriterOptions{
				Name: "img", Again: feed.Again, Rejected: func(d *image.DamageError) { rejected = append(rejected, d) },
			})
			if err != nil {
				t.Fatal(err)
			}
			feed.feed(w, 1, func(b []byte, off int64) {
				_, _ = im.Object().ReadAt(b, off)
				if at := f.Object + f.Length/2; bad > 0 && off <= at && at < off+int64(len(b)) {
					b[at-off] ^= 1
					bad--
				}
			})
			err = w.Close()
			if !c.fails {
				if err != nil {
					t.Fatal(err)
				}
				if len(rejected) != c.bad {
					t.Errorf("%d rejections, not %d", len(rejected), c.bad)
				}
				if !bytes.Equal(src, target.Bytes()) {
					t.Error("the disk differs")
				}
				return
			}
			var d *image.DamageError
			if !errors.As(err, &d) || d.Image != "img" || d.Chunk != int(f.Chunks[0]) || d.Object != f.Object {
				t.Fatalf("error %v (%+v)", err, d)
			}
			for _, k := range f.Chunks {
				for _, e := range im.Index().Chunks[k].Extents {
					if !bytes.Equal(before[e.Offset:e.End()], target.Bytes()[e.Offset:e.End()]) {
						t.Errorf("chunk %d was written though its hash is wrong", k)
					}
				}
			}
		})
	}
}

func TestDelta(t *testing.T) {
	const mib = 1 << 20
	src := disk(t, 40*mib, 512, 17, 30*mib)
	s := store(t)
	old := captured(t, src, 512, capture.Options{Store: s})
	target := imagetest.NewMemory(bytes.Clone(src), 512)

	next := bytes.Clone(src)
	copy(next[9*mib:], "a change in one chunk")
	clear(next[21*mib : 21*mib+300000])
	im := captured(t, next, 512, capture.Options{Store: s})
	if im.ObjectSize() > 2*old.ObjectSize() || im.Index().Blobs != 2 {
		t.Errorf("the second image has %d blobs", im.Index().Blobs)
	}
	stats, err := restore.Local(context.Background(), im, target, restore.LocalOptions{Delta: true, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Needed > im.ObjectSize()/3 {
		t.Errorf("%d of %d object bytes were needed for two changed chunks", stats.Needed, im.ObjectSize())
	}
	sameData(t, im, next, target)

	// Interrupted: a restore of which some chunks never came is completed by what Present did not find.
	target = dirty(int64(len(next)), 512)
	p, err := restore.NewPlan(im.Config(), im.Index(), target.Size(), 512)
	if err != nil {
		t.Fatal(err)
	}
	if same, err := p.SameTable(target); same || err != nil {
		t.Fatalf("SameTable on a foreign disk: %v %v", same, err)
	}
	if err := p.WriteTable(target); err != nil {
		t.Fatal(err)
	}
	if same, err := p.SameTable(target); !same || err != nil {
		t.Fatalf("SameTable after WriteTable: %v %v", same, err)
	}
	w, err := restore.NewWriter(p, target, restore.WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	half := make([]byte, im.ObjectSize()/2)
	if _, err := im.Object().ReadAt(half, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Block(0, half); err != nil {
		t.Fatal(err)
	}
	var incomplete *restore.IncompleteError
	if err := w.Close(); !errors.As(err, &incomplete) {
		t.Fatalf("Close of half a restore: %v", err)
	}
	stats, err = restore.Local(context.Background(), im, target, restore.LocalOptions{Delta: true, Verify: true})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Needed > im.ObjectSize()*2/3 {
		t.Errorf("after half a restore %d of %d bytes are still needed", stats.Needed, im.ObjectSize())
	}
	sameData(t, im, next, target)
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
			if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{Verify: true}); err != nil {
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
	im := captured(t, src, 512, capture.Options{})
	target := dirty(60*mib, 512)
	if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{}); err != nil {
		t.Fatal(err)
	}
	tail := target.Bytes()[59*mib : 60*mib-33*512]
	if !image.IsZero(tail) {
		t.Error("the end of the disk keeps what was there")
	}
	if image.IsZero(target.Bytes()[30*mib : 31*mib]) {
		t.Error("unallocated bytes in the middle were written")
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
		if err := p.Verify(context.Background(), target, nil); !errors.As(err, &m) || at < m.Offset || at >= m.Offset+m.Length {
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
			if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{Verify: true}); err != nil {
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
