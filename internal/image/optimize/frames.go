package optimize

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
)

// frames puts a form of every frame of m into the stage.
func frames(ctx context.Context, m *image.Image, g *image.Stage, o Options) error {
	workers := make([]*worker, o.Workers)
	for i := range workers {
		var err error
		if workers[i], err = newWorker(m, o); err != nil {
			return err
		}
		defer workers[i].dec.Close()
	}
	todo := &todo{frames: m.Index().Frames, total: m.Config().Stored, progress: o.Progress}
	eg, ctx := errgroup.WithContext(ctx)
	for _, w := range workers {
		eg.Go(func() error { // ends when all frames were taken
			background()
			for ctx.Err() == nil {
				i, ok := todo.take()
				if !ok {
					return nil
				}
				if err := w.frame(ctx, i, g); err != nil {
					return err
				}
				todo.done(i)
			}
			return ctx.Err()
		})
	}
	return eg.Wait()
}

// background gives the goroutine a thread of the lowest priority, which ends with it. What the thread starts has the
// same.
func background() {
	runtime.LockOSThread()
	_ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 19) // a wish: without it the work is done just the same
}

// todo hands out frames and counts.
type todo struct {
	mu       sync.Mutex
	frames   []image.Frame
	next     int
	ready    int64
	total    int64
	progress image.Progress
}

func (t *todo) take() (i int, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.next == len(t.frames) {
		return 0, false
	}
	t.next++
	return t.next - 1, true
}

func (t *todo) done(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &t.frames[i]
	t.ready += f.Size * int64(len(f.Chunks))
	if t.progress != nil {
		t.progress(t.ready, t.total)
	}
}

type worker struct {
	m        *image.Image
	dec      *image.Decoder
	compress Compressor
	in, out  []byte
}

func newWorker(m *image.Image, o Options) (*worker, error) {
	c, err := o.New()
	if err != nil {
		return nil, err
	}
	d, err := image.NewDecoder()
	if err != nil {
		return nil, err
	}
	return &worker{m: m, dec: d, compress: c, out: make([]byte, m.Index().Grid+image.Slack)}, nil
}

// frame puts the smaller form of a frame into the stage, which decodes and hashes it before it believes that it is one.
func (w *worker) frame(ctx context.Context, i int, g *image.Stage) error {
	f := &w.m.Index().Frames[i]
	if g.Has(f.Sum, f.Size) {
		return nil
	}
	if int64(cap(w.in)) < f.Length {
		w.in = make([]byte, f.Length)
	}
	in := w.in[:f.Length]
	if _, err := w.m.Object().ReadAt(in, f.Object); err != nil {
		return err
	}
	data, err := w.dec.Decode(f, in, w.out)
	if err != nil {
		return w.m.Damage(i, err.Error())
	}
	stored, err := w.compress(ctx, nil, data)
	if err != nil {
		return fmt.Errorf("frame %d: %w", i, err)
	}
	if int64(len(stored)) >= f.Length {
		stored = in
	}
	return g.Put(f.Sum, f.Size, stored)
}
