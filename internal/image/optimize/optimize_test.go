package optimize_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/optimize"
	"github.com/diskcast/diskcast/internal/image/restore"
)

func TestImage(t *testing.T) {
	ctx := context.Background()
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 3<<20)
	imagetest.Fill(disk, 12)
	r, err := capture.Capture(ctx, bytes.NewReader(disk), int64(len(disk)), 512, capture.Options{Store: s, Name: "a", Grid: 256 << 10, Level: capture.Fast})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tag("a", "b"); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(int64) (optimize.Compressor, error){
		"program": func(int64) (optimize.Compressor, error) { return optimize.Program(12) },
		"go":      optimize.Go,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := make(1 << 20); errors.Is(err, exec.ErrNotFound) {
				t.Skip(err)
			}
			if err := s.Tag(r.Digest, "a"); err != nil {
				t.Fatal(err)
			}
			if err := s.Tag(r.Digest, "b"); err != nil {
				t.Fatal(err)
			}
			var last, total int64
			got, err := optimize.Image(ctx, s, "a", optimize.Options{New: make, Progress: func(d, n int64) { last, total = d, n }})
			if err != nil {
				t.Fatal(err)
			}
			if got.After >= got.Before || got.Before != r.Object || got.Digest == r.Digest || last != total {
				t.Errorf("%+v, progress %d of %d", got, last, total)
			}
			for _, ref := range []string{"a", "b"} {
				if d, err := s.Resolve(ref); err != nil || d != got.Digest {
					t.Errorf("%s is %s, not %s: %v", ref, d, got.Digest, err)
				}
			}
			m, err := s.Open("a")
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if m.Config().Content != r.Config.Content {
				t.Error("the content changed")
			}
			if err := m.Verify(ctx, nil); err != nil {
				t.Error(err)
			}
			target := imagetest.NewMemory(bytes.Repeat([]byte{7}, len(disk)), 512)
			if _, err := restore.Local(ctx, m, target, restore.LocalOptions{}); err != nil || !bytes.Equal(target.Bytes(), disk) {
				t.Errorf("the restored disk differs: %v", err)
			}
			again, err := optimize.Image(ctx, s, "a", optimize.Options{New: make})
			if err != nil || again.Digest != got.Digest {
				t.Errorf("a second time: %+v %v", again, err)
			}
		})
	}
}

func TestLyingCompressor(t *testing.T) {
	ctx := context.Background()
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 1<<20)
	imagetest.Fill(disk, 13)
	if _, err := capture.Capture(ctx, bytes.NewReader(disk), int64(len(disk)), 512, capture.Options{Store: s, Name: "a"}); err != nil {
		t.Fatal(err)
	}
	lie := func(int64) (optimize.Compressor, error) {
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
