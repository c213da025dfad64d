package restore_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/restore"
)

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
