package restore

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/diskcast/diskcast/internal/image"
)

// LocalOptions of Local.
type LocalOptions struct {
	Workers  int
	Delta    bool // hash the target first and write only what differs
	Verify   bool // read back
	Plan     []PlanOption
	Progress func(step string, done, total int64) // step is hash, write or verify; called from one goroutine at a time
	Planned  func(*Plan)                          // called before the first write
	// what did not read back as it was written, before it is written once more
	Wrong func(*MismatchError)
}

// Source is an image that Local restores: one of a store here, or one that is read where it lies.
type Source interface {
	Name() string // what errors call it
	Config() *image.Config
	Index() *image.Index
	// Object reads the image's object; several goroutines do.
	Object() io.ReaderAt
	// Damage is the error for a frame that is not what the index says.
	Damage(frame int, reason string) *image.DamageError
}

var _ Source = (*image.Image)(nil)

// Local restores an image to a target of this machine.
func Local(ctx context.Context, im Source, t Target, o LocalOptions) (Stats, error) {
	p, err := NewPlan(im.Config(), im.Index(), t.Size(), t.SectorSize(), o.Plan...)
	if err != nil {
		return Stats{}, fmt.Errorf("image %s: %w", im.Name(), err)
	}
	if o.Planned != nil {
		o.Planned(p)
	}
	var stats Stats
	seq := Sequence{
		Plan: p, Target: t, Mode: Full, Verify: o.Verify, Progress: o.Progress, Wrong: o.Wrong,
		// each frame is hashed before it is written, always
		Bring: func(ctx context.Context, have []Range, _ bool) error {
			before := stats
			var err error
			stats, err = p.local(ctx, im, t, WriterOptions{Name: im.Name(), Workers: o.Workers, Have: have},
				o.progress("write"))
			stats.Written, stats.Needed = stats.Written+before.Written, stats.Needed+before.Needed
			return err
		},
	}
	if o.Delta {
		seq.Mode = Delta
	}
	err = seq.Run(ctx)
	return stats, err
}

func (o LocalOptions) progress(step string) image.Progress {
	if o.Progress == nil {
		return nil
	}
	return func(done, total int64) { o.Progress(step, done, total) }
}

// local is a Writer whose workers fetch the frames themselves.
func (p *Plan) local(ctx context.Context, im Source, t Target, o WriterOptions, progress image.Progress) (Stats,
	error) {
	w, err := newWriter(p, t, o)
	if err != nil {
		return Stats{}, err
	}
	var next atomic.Int64
	var mu sync.Mutex
	object := im.Object()
	err = w.start(func(k *worker) {
		for w.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(p.idx.Frames) {
				return
			}
			if w.state[i] == settled { // no other worker changes the state of this frame
				continue
			}
			if err := ctx.Err(); err != nil {
				w.fail(fmt.Errorf("stopped before the image was complete: %w", err))
				return
			}
			damage, err := k.fetch(object, i)
			if damage != nil {
				w.fail(im.Damage(i, damage.Error()))
				return
			}
			w.outcome(int32(i), nil, err)
			if progress != nil {
				mu.Lock()
				s := w.Stats()
				progress(s.Written, s.ToWrite)
				mu.Unlock()
			}
		}
	})
	if err != nil {
		return Stats{}, err
	}
	err = w.Close()
	return w.Stats(), err
}

func (k *worker) fetch(object interface {
	ReadAt([]byte, int64) (int, error)
}, i int) (damage, err error) {
	f := &k.w.p.idx.Frames[i]
	if int64(cap(k.in)) < f.Length {
		k.in = make([]byte, class(f.Length))
	}
	in := k.in[:f.Length]
	if n, err := object.ReadAt(in, f.Object); n < len(in) {
		return nil, fmt.Errorf("reading the image: %w", err)
	}
	k.w.mu.Lock()
	k.w.stats.Received += f.Length
	k.w.mu.Unlock()
	return k.frame(int32(i), in)
}
