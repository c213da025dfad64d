// Package optimize compresses an image again, slowly and better, after it was captured quickly.
//
// The chunks, their sums and so the restored disk stay the same; only the frames change. An image is sent to many nodes
// many times and captured once, and at 1 Gbit/s its size is the restore's time, so minutes of a server's idle time are
// well spent on it. Levels beyond what the Go encoder has come from the program zstd where it is installed (level 19
// made 0.80 of the size of level 3 from a Debian root, the Go encoder's best 0.90).
//
// What is done is kept frame by frame in a stage of the store, so that work that was broken off, by a kill or by a
// session that begins, goes on where it was. Frames of images that were optimized before are shared and not compressed
// again: twenty captures of one machine cost little more than one.
package optimize

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/image"
)

// Compressor makes a zstd frame, with its content size in the header, of p. It appends it to dst. One goroutine uses
// it.
type Compressor func(ctx context.Context, dst, p []byte) ([]byte, error)

// Options of Image. The zero value of a field is its default.
type Options struct {
	Again bool // also an image that was optimized before
	// New makes a compressor for each worker: the program zstd at level 19, or the Go encoder's best where that is not
	// installed.
	New      func() (Compressor, error)
	Workers  int            // one for each CPU by default
	Progress image.Progress // bytes of the disk
}

// Result is what Image did.
type Result struct {
	Digest        string   // of the new image; that of the old one when it was as small before
	Names         []string // that the new image took over
	Before, After int64    // bytes of the object
	Done          bool     // there was nothing to do: it was optimized before
}

// annotation is beside an image that was optimized and did not become smaller.
const annotation = "org.diskcast.optimized"

// worthwhile is the least by which an object must become smaller for its image to get another digest.
const worthwhile = 0.01

// Done reports whether the image was optimized before, with success or without.
func Done(cfg *image.Config, e image.Entry) bool {
	return cfg.Level == image.Best || e.Annotations[annotation] != ""
}

// Image compresses the image ref of the store again. Each frame becomes the smaller of what it was and what the
// compressor makes of it, or is one that another optimized image has. The names of the image go over to the new one;
// the old one stays without a name. Ended at any point, by ctx or by a kill, it leaves the image as it was, and the
// next call goes on from there. While another process optimizes in the store the error is image.ErrBusy.
func Image(ctx context.Context, s *image.Store, ref string, o Options) (*Result, error) {
	m, err := s.Open(ref)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	entry := about(s, m.Manifest())
	if Done(m.Config(), entry) && !o.Again {
		return &Result{Digest: m.Manifest(), Before: m.ObjectSize(), After: m.ObjectSize(), Done: true}, nil
	}
	if o.New == nil {
		o.New = Best
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	work, err := s.Exclusive("optimize")
	if errors.Is(err, image.ErrBusy) {
		return nil, fmt.Errorf("%w: another process optimizes images there; try again when it has ended", err)
	}
	if err != nil {
		return nil, err
	}
	defer work.Close()
	for try := 1; ; try++ {
		r, err := once(ctx, s, m, entry, o)
		// Garbage collection may have taken frames of another image that were to be shared.
		if missing := new(image.MissingError); errors.As(err, &missing) && try < 3 {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("compressing %s again: %w", ref, err)
		}
		return r, nil
	}
}

func once(ctx context.Context, s *image.Store, m *image.Image, entry image.Entry, o Options) (*Result, error) {
	x, own := m.Index(), m.Config().Content
	id := "optimize-" + strings.TrimPrefix(m.Manifest(), "sha256:")[:32]
	g, err := s.OpenStage(id, image.BuilderOptions{DiskSize: x.DiskSize, Grid: x.Grid,
		From: func(c *image.Config) bool { return c.Level == image.Best && (c.Content != own || !o.Again) }})
	if err != nil {
		return nil, err
	}
	defer g.Close()
	g.Unlock() // it may take hours
	if err := frames(ctx, m, g, o); err != nil {
		return nil, err
	}
	r := &Result{Digest: m.Manifest(), Before: m.ObjectSize(), After: g.ObjectSize(x)}
	if float64(r.After) > float64(r.Before)*(1-worthwhile) {
		r.After = r.Before
		if err := s.Annotate(r.Digest, annotation, time.Now().UTC().Format(time.RFC3339)); err != nil {
			return nil, err
		}
		return r, g.Discard()
	}
	cfg := *m.Config()
	cfg.Level = image.Best
	// Without a name until it takes over all names in one step.
	if r.Digest, err = g.Finish(ctx, x, &cfg, "", entry.Created, entry.Annotations); err != nil {
		return nil, err
	}
	r.Names, err = s.Replace(m.Manifest(), r.Digest)
	return r, err
}

// about returns what the store knows of an image beside it, without its name.
func about(s *image.Store, digest string) image.Entry {
	list, err := s.List()
	if err != nil {
		return image.Entry{}
	}
	for _, e := range list {
		if e.Digest != digest {
			continue
		}
		notes := map[string]string{}
		for k, v := range e.Annotations {
			if k != image.AnnotationName {
				notes[k] = v
			}
		}
		e.Name, e.Annotations = "", notes
		return e
	}
	return image.Entry{}
}
