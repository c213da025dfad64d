package optimize_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/optimize"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

func store(t *testing.T) *image.Store {
	t.Helper()
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func captured(t *testing.T, s *image.Store, name string, disk []byte) *capture.Result {
	t.Helper()
	r, err := capture.Capture(t.Context(), bytes.NewReader(disk), int64(len(disk)), 512,
		capture.Options{Store: s, Name: name, Grid: 256 << 10, Level: capture.Fast,
			Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestImage(t *testing.T) {
	disk := make([]byte, 3<<20)
	imagetest.Fill(disk, 12)
	for name, make := range map[string]func() (optimize.Compressor, error){
		"program": func() (optimize.Compressor, error) { return optimize.Program(12) },
		"go":      optimize.Go,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := make(); errors.Is(err, exec.ErrNotFound) {
				need.Skip(t, "%v", err)
			}
			ctx, s := t.Context(), store(t)
			r := captured(t, s, "a", disk)
			if err := s.Tag("a", "b"); err != nil {
				t.Fatal(err)
			}
			var last, total int64
			got, err := optimize.Image(ctx, s, "a",
				optimize.Options{New: make, Progress: func(d, n int64) { last, total = d, n }})
			if err != nil {
				t.Fatal(err)
			}
			if got.After >= got.Before || got.Before != r.Object || got.Digest == r.Digest || last != total ||
				len(got.Names) != 2 {
				t.Errorf("%+v, progress %d of %d", got, last, total)
			}
			for _, ref := range []string{"a", "b"} {
				if d, err := s.Resolve(ref); err != nil || d != got.Digest {
					t.Errorf("%s is %s, not %s: %v", ref, d, got.Digest, err)
				}
			}
			if list, err := s.List(); err != nil || len(list) != 3 || list[2].Digest != r.Digest ||
				list[2].Name != "" || list[0].Created.IsZero() {
				t.Errorf("the store has %+v, %v", list, err)
			}
			m, err := s.Open("a")
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Config().Content != r.Config.Content || m.ObjectSize() != got.After {
				t.Errorf("the content changed, or the object has %d bytes, not %d", m.ObjectSize(), got.After)
			}
			if err := m.Verify(ctx, nil); err != nil {
				t.Error(err)
			}
			target := imagetest.NewMemory(bytes.Repeat([]byte{7}, len(disk)), 512)
			if _, err := restore.Local(ctx, m, target, restore.LocalOptions{}); err != nil ||
				!bytes.Equal(target.Bytes(), disk) {
				t.Errorf("the restored disk differs: %v", err)
			}
			for _, again := range []bool{false, true} {
				g, err := optimize.Image(ctx, s, "a", optimize.Options{New: make, Again: again})
				if err != nil || g.Digest != got.Digest || g.Done == again {
					t.Errorf("a second time, again %v: %+v %v", again, g, err)
				}
			}
			if stages, err := s.Stages(); err != nil || len(stages) > 0 {
				t.Errorf("left behind: %v %v", stages, err)
			}
			// The same disk captured anew is made of the small frames.
			if err := s.Remove("b"); err != nil {
				t.Fatal(err)
			}
			if r := captured(t, s, "c", disk); r.Added != 0 || r.Object != got.After {
				t.Errorf("captured anew: %+v", r)
			}
		})
	}
}

// counting is a Go compressor that counts the frames it makes; it fails from the frame with the number fail on.
func counting(n *atomic.Int64, fail int64) func() (optimize.Compressor, error) {
	return func() (optimize.Compressor, error) {
		c, err := optimize.Go()
		return func(ctx context.Context, dst, p []byte) ([]byte, error) {
			if n.Add(1) >= fail {
				return nil, errors.New("power cut")
			}
			return c(ctx, dst, p)
		}, err
	}
}

// TestGoesOn breaks the work off and takes it up again, with garbage collection in between and meanwhile.
func TestGoesOn(t *testing.T) {
	s, disk := store(t), make([]byte, 3<<20)
	imagetest.Fill(disk, 14)
	r := captured(t, s, "a", disk)
	m, err := s.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	frames := int64(len(m.Index().Frames))
	var n atomic.Int64
	if _, err := optimize.Image(t.Context(), s, "a",
		optimize.Options{New: counting(&n, frames/2), Workers: 1}); err == nil {
		t.Fatal("it did not fail")
	}
	if d, err := s.Resolve("a"); err != nil || d != r.Digest {
		t.Errorf("broken off, a is %s: %v", d, err)
	}
	collect := func(int64, int64) {
		if _, err := s.GC(t.Context(), image.GCOptions{Unnamed: true}); err != nil {
			t.Errorf("garbage collection meanwhile: %v", err)
		}
	}
	collect(0, 0)
	n.Store(0)
	got, err := optimize.Image(t.Context(), s, "a", optimize.Options{New: counting(&n, 1<<30), Progress: collect})
	if err != nil || got.After >= got.Before {
		t.Fatalf("%+v %v", got, err)
	}
	if done := n.Load(); done != frames-(frames/2-1) {
		t.Errorf("%d of %d frames were compressed after %d had been", done, frames, frames/2-1)
	}
}

// TestShares optimizes a second image that shares most chunks with the first, and one that cannot become smaller.
func TestShares(t *testing.T) {
	s, disk := store(t), make([]byte, 3<<20)
	imagetest.Fill(disk, 15)
	captured(t, s, "a", disk)
	imagetest.Fill(disk[1<<20:1<<20+4096], 16)
	captured(t, s, "b", disk)
	var n atomic.Int64
	if _, err := optimize.Image(t.Context(), s, "a", optimize.Options{New: counting(&n, 1<<30)}); err != nil {
		t.Fatal(err)
	}
	n.Store(0)
	if _, err := optimize.Image(t.Context(), s, "b", optimize.Options{New: counting(&n, 1<<30)}); err != nil {
		t.Fatal(err)
	}
	if n.Load() != 1 {
		t.Errorf("%d frames of b were compressed, one differs from a", n.Load())
	}
	m, err := s.Open("b")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Index().Blobs != 2 {
		t.Errorf("b has %d data blobs: it does not share a's", m.Index().Blobs)
	}

	imagetest.Random(disk, 17)
	noise := captured(t, s, "noise", disk)
	for _, done := range []bool{false, true} {
		got, err := optimize.Image(t.Context(), s, "noise", optimize.Options{New: optimize.Go})
		if err != nil || got.Digest != noise.Digest || got.Before != got.After || got.Done != done {
			t.Errorf("what does not compress: %+v %v", got, err)
		}
	}
	work, err := s.Exclusive("optimize")
	if err != nil {
		t.Fatal(err)
	}
	defer work.Close()
	if _, err := optimize.Image(t.Context(), s, "noise", optimize.Options{Again: true}); !errors.Is(err,
		image.ErrBusy) {
		t.Errorf("beside another process: %v", err)
	}
}

func TestLyingCompressor(t *testing.T) {
	ctx, s := t.Context(), store(t)
	disk := make([]byte, 1<<20)
	imagetest.Fill(disk, 13)
	captured(t, s, "a", disk)
	lie := func() (optimize.Compressor, error) {
		return func(_ context.Context, dst, p []byte) ([]byte, error) { return append(dst, p[:10]...), nil }, nil
	}
	if _, err := optimize.Image(ctx, s, "a", optimize.Options{New: lie}); err == nil {
		t.Error("what the compressor made was believed")
	}
	m, err := s.Open("a")
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Verify(ctx, nil); err != nil {
		t.Error(err)
	}
}
