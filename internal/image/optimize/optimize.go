// Package optimize compresses an image again, slowly and better, after it was captured quickly.
//
// The chunks, their sums and so the restored disk stay the same; only the frames change. An image is sent to many nodes many times and captured
// once, and at 1 Gbit/s its size is the restore's time, so minutes of a server's idle time are well spent on it. Levels beyond what the Go encoder has
// come from the program zstd where it is installed (level 19 made 0.80 of the size of level 3 from a Debian root, the Go encoder's best 0.90).
package optimize

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/diskcast/diskcast/internal/image"
)

// Compressor makes a zstd frame, with its content size in the header, of p. It appends it to dst. One goroutine uses it.
type Compressor func(ctx context.Context, dst, p []byte) ([]byte, error)

// Options of Image. The zero value of a field is its default.
type Options struct {
	Name string // the name that the new image gets; empty: the names of the old one move to it
	// New makes a compressor for each worker: the program zstd at level 19, or the Go encoder's best where that is not installed.
	New      func(grid int64) (Compressor, error)
	Workers  int // one for each CPU by default
	Created  time.Time
	Progress image.Progress // bytes of the disk
}

// Result is what Image did.
type Result struct {
	Digest        string // of the new image; that of the old one when nothing became smaller
	Before, After int64  // bytes of the object
}

// Image compresses the image ref of the store again into an image whose one data blob it shares with nobody. Each frame becomes the smaller of what it was
// and what the compressor makes of it. The old image loses its names and stays until it is removed.
func Image(ctx context.Context, s *image.Store, ref string, o Options) (*Result, error) {
	m, err := s.Open(ref)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	if o.New == nil {
		o.New = Best
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	x := m.Index()
	b, err := s.NewBuilder(image.BuilderOptions{DiskSize: x.DiskSize, Grid: x.Grid, Alone: true})
	if err != nil {
		return nil, err
	}
	defer b.Abort()
	if err := frames(ctx, m, b, o); err != nil {
		return nil, fmt.Errorf("compressing %s again: %w", ref, err)
	}
	r := &Result{Digest: m.Manifest(), Before: m.ObjectSize(), After: b.Index().ObjectSize()}
	if r.After >= r.Before {
		return r, nil
	}
	names, created, notes := about(s, m.Manifest())
	if o.Name != "" {
		names = []string{o.Name}
	}
	if len(names) == 0 {
		names = []string{""}
	}
	cfg := *m.Config()
	cfg.Level = "best"
	if r.Digest, err = b.Commit(&cfg, names[0], created, notes); err != nil {
		return nil, err
	}
	for _, n := range names[1:] {
		if err := s.Tag(r.Digest, n); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// about returns the names of an image and what is known of its capture.
func about(s *image.Store, digest string) (names []string, created time.Time, notes map[string]string) {
	list, err := s.List()
	if err != nil {
		return nil, created, nil
	}
	for _, e := range list {
		if e.Digest != digest {
			continue
		}
		created, notes = e.Created, e.Annotations
		if e.Name != "" {
			names = append(names, e.Name)
		}
	}
	return names, created, notes
}

// job is a frame on its way, in the order of the object.
type job struct {
	frame  int
	stored []byte
	err    error
	ready  chan struct{}
}

// frames compresses all frames in parallel and adds the chunks in the order of the disk.
func frames(ctx context.Context, m *image.Image, b *image.Builder, o Options) error {
	x := m.Index()
	workers := make([]*worker, o.Workers)
	for i := range workers {
		var err error
		if workers[i], err = newWorker(m, o); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan *job, o.Workers)
	order := make(chan *job, 2*o.Workers) // bounds what is under way
	g.Go(func() error {                   // ends when all frames were handed out
		defer close(work)
		defer close(order)
		for i := range x.Frames {
			j := &job{frame: i, ready: make(chan struct{})}
			for _, c := range []chan *job{order, work} {
				select {
				case c <- j:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for _, w := range workers {
		g.Go(func() error { // ends when work is closed
			defer w.dec.Close()
			for j := range work {
				j.stored, j.err = w.frame(ctx, j.frame)
				close(j.ready)
			}
			return nil
		})
	}
	g.Go(func() error { return add(ctx, m, b, order, o.Progress) })
	return g.Wait()
}

// add adds each chunk; a chunk that is the first of its frame takes the next job.
func add(ctx context.Context, m *image.Image, b *image.Builder, order <-chan *job, progress image.Progress) error {
	x := m.Index()
	next := 0
	var done int64
	for i := range x.Chunks {
		c := &x.Chunks[i]
		data := image.ChunkData{Cell: c.Cell, Extents: c.Extents, Zeros: c.Zeros}
		if c.Frame >= 0 {
			data.Sum = x.Frames[c.Frame].Sum
		}
		if int(c.Frame) == next {
			next++
			j, ok := <-order
			if !ok {
				return ctx.Err()
			}
			select {
			case <-j.ready:
			case <-ctx.Done():
				return ctx.Err()
			}
			if j.err != nil {
				return j.err
			}
			data.Stored = j.stored
			done += x.Frames[c.Frame].Size
		}
		if err := b.Add(data); err != nil {
			return err
		}
		if progress != nil {
			progress(done, m.Config().Stored)
		}
	}
	return nil
}

type worker struct {
	m        *image.Image
	dec      *image.Decoder
	compress Compressor
	in       []byte
	out      []byte
	again    []byte
}

func newWorker(m *image.Image, o Options) (*worker, error) {
	c, err := o.New(m.Index().Grid)
	if err != nil {
		return nil, err
	}
	d, err := image.NewDecoder()
	if err != nil {
		return nil, err
	}
	grid := m.Index().Grid
	return &worker{m: m, dec: d, compress: c, out: make([]byte, grid+image.Slack), again: make([]byte, grid+image.Slack)}, nil
}

// frame returns the smaller form of a frame. What the compressor made is decoded and hashed before it is believed.
func (w *worker) frame(ctx context.Context, i int) ([]byte, error) {
	f := &w.m.Index().Frames[i]
	if int64(cap(w.in)) < f.Length {
		w.in = make([]byte, f.Length)
	}
	in := w.in[:f.Length]
	if _, err := w.m.Object().ReadAt(in, f.Object); err != nil {
		return nil, err
	}
	data, err := w.dec.Decode(f, in, w.out)
	if err != nil {
		return nil, w.m.Damage(i, err.Error())
	}
	stored, err := w.compress(ctx, nil, data)
	if err != nil {
		return nil, fmt.Errorf("frame %d: %w", i, err)
	}
	if int64(len(stored)) >= f.Length {
		return append([]byte(nil), in...), nil
	}
	check := image.Frame{Length: int64(len(stored)), Size: f.Size, Sum: f.Sum, CRC: image.Checksum(stored)}
	if _, err := w.dec.Decode(&check, stored, w.again); err != nil {
		return nil, fmt.Errorf("frame %d: the compressor made something else of it: %w", i, err)
	}
	return stored, nil
}
