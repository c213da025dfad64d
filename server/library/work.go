package library

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/optimize"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library/registry"
)

// Do implements Library.
func (l *Local) Do(ctx context.Context, s doc.JobSpec, w Watch) (*doc.JobResult, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	work := map[string]func(context.Context, *doc.JobSpec, *Watch) (*doc.JobResult, error){
		doc.JobVerify: l.verify, doc.JobGC: l.gc, doc.JobOptimize: l.optimize, doc.JobPush: l.push,
		doc.JobPull: l.pull, doc.JobCut: l.cut,
	}[s.Kind]
	r, err := work(ctx, &s, &w)
	return r, Advised(err)
}

func (l *Local) verify(ctx context.Context, s *doc.JobSpec, w *Watch) (*doc.JobResult, error) {
	im, err := l.st.Open(s.Image)
	if err != nil {
		return nil, err
	}
	defer im.Close()
	err = im.Verify(ctx, w.Progress)
	if errors.As(err, new(*image.DamageError)) {
		if _, err := l.st.MarkDamaged(ctx, im); err != nil && ctx.Err() == nil {
			w.note("lists will not tell this image from a sound one, and imports take of its bytes: %v", err)
		}
	}
	if err != nil {
		return nil, err
	}
	l.st.Unmark(im)
	return &doc.JobResult{Verify: &doc.ImageVerified{Name: s.Image, Digest: im.Manifest(), OK: true}}, nil
}

func (l *Local) gc(ctx context.Context, s *doc.JobSpec, _ *Watch) (*doc.JobResult, error) {
	if l.before != nil {
		if err := l.before(); err != nil {
			return nil, err
		}
	}
	r, err := l.st.GC(ctx, image.GCOptions{Unnamed: s.Unnamed, Partial: s.Partial, Dry: s.DryRun})
	if err != nil {
		return nil, err
	}
	return &doc.JobResult{GC: &doc.ImagesFreed{Images: r.Images, Blobs: r.Blobs, Files: r.Files, Bytes: r.Bytes,
		DryRun: s.DryRun}}, nil
}

func (l *Local) optimize(ctx context.Context, s *doc.JobSpec, w *Watch) (*doc.JobResult, error) {
	if _, err := exec.LookPath("zstd"); err != nil {
		w.note("The program zstd is not installed: the Go encoder is used, which does half as much. Debian's package " +
			"is zstd.")
	}
	began := time.Now()
	r, err := optimize.Image(ctx, l.st, s.Image, optimize.Options{Again: s.Again, Workers: s.Workers,
		Progress: w.Progress})
	if err != nil {
		return nil, RoomHelp(err, l.st.Dir(), "", "an image is there twice until it is optimized")
	}
	return &doc.JobResult{Optimize: &doc.ImageOptimized{Image: s.Image, Digest: r.Digest,
		Names: append([]string{}, r.Names...), Before: r.Before, After: r.After,
		DoneBefore: r.Done, Seconds: time.Since(began).Seconds()}}, nil
}

func (l *Local) push(ctx context.Context, s *doc.JobSpec, w *Watch) (*doc.JobResult, error) {
	im, err := l.st.Open(s.Image)
	if err != nil {
		return nil, err
	}
	defer im.Close()
	r, err := registry.Open(s.Registry, registry.Options{PlainHTTP: s.PlainHTTP})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := r.Push(ctx, l.st, im, w.Progress); err != nil {
		return nil, fmt.Errorf("push of %s to %s: %w", s.Image, r.Name(), err)
	}
	return &doc.JobResult{Moved: &doc.ImageMoved{Name: r.Name(), Digest: im.Manifest(),
		Seconds: time.Since(began).Seconds()}}, nil
}

func (l *Local) pull(ctx context.Context, s *doc.JobSpec, w *Watch) (*doc.JobResult, error) {
	r, err := registry.Open(s.Registry, registry.Options{PlainHTTP: s.PlainHTTP})
	if err != nil {
		return nil, err
	}
	began := time.Now()
	digest, err := r.Pull(ctx, l.st, s.Name, w.Progress)
	if err != nil {
		return nil, RoomHelp(fmt.Errorf("pull of %s: %w", r.Name(), err), l.st.Dir(), "", "")
	}
	return &doc.JobResult{Moved: &doc.ImageMoved{Name: s.Name, Digest: digest,
		Seconds: time.Since(began).Seconds()}}, nil
}
