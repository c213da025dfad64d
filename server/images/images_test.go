package images

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
)

// stored is a store with one image of 16 MiB of noise.
func stored(t *testing.T) (*Store, string) {
	dir := filepath.Join(t.TempDir(), "images")
	st, err := image.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, 16<<20)
	if _, err := rand.NewChaCha8([32]byte{}).Read(disk); err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Capture(t.Context(), bytes.NewReader(disk), int64(len(disk)), 512, capture.Options{Store: st, Name: "debian"}); err != nil {
		t.Fatal(err)
	}
	s := New(st)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, dir
}

func TestDescribeAndRead(t *testing.T) {
	s, _ := stored(t)
	d, err := s.Describe("debian")
	if err != nil || !ValidDigest(d.Manifest) || d.ObjectSize < 16<<20 || d.Config.Size == 0 || d.Index.Size == 0 {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := s.Describe("nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown image: %v", err)
	}
	blobs, err := s.Blobs(d.Manifest)
	if err != nil || len(blobs) != 2 || blobs[0] != d.Config.Digest || blobs[1] != d.Index.Digest {
		t.Errorf("blobs: %v, %v", blobs, err)
	}
	// Several readers share one open image; closing twice is harmless.
	a, size, err := s.OpenObject(d.Manifest)
	if err != nil || size != d.ObjectSize {
		t.Fatal(size, err)
	}
	b, _, err := s.OpenObject(d.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	a.Close()
	if _, err := io.Copy(io.Discard, io.NewSectionReader(b, 0, size)); err != nil {
		t.Errorf("read after another reader was closed: %v", err)
	}
	b.Close()
	list, err := s.List()
	if err != nil || len(list) != 1 || list[0].Name != "debian" || list[0].Disk != 16<<20 || list[0].Problem != "" {
		t.Errorf("list: %+v, %v", list, err)
	}
	if rd, n, err := s.OpenBlob(d.Index.Digest); err != nil || n != d.Index.Size {
		t.Errorf("index blob: %d, %v", n, err)
	} else {
		rd.Close()
	}
}

func TestCheckFindsTheDamagedChunk(t *testing.T) {
	s, dir := stored(t)
	d, err := s.Describe("debian")
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for chunk := -1; chunk < 4; chunk++ {
		if err := s.Check(ctx, d.Manifest, chunk); err != nil {
			t.Fatalf("whole image, chunk %d: %v", chunk, err)
		}
	}
	flipInLargest(t, filepath.Join(dir, "blobs", "sha256"))
	var bad []int
	for chunk := range 4 {
		err := s.Check(ctx, d.Manifest, chunk)
		var damage *image.DamageError
		if err == nil {
			continue
		}
		if !errors.As(err, &damage) || damage.Chunk != chunk || !strings.Contains(err.Error(), "offset") {
			t.Errorf("chunk %d: %v", chunk, err)
		}
		bad = append(bad, chunk)
	}
	if len(bad) != 1 {
		t.Errorf("damaged chunks: %v", bad)
	}
	if err := s.Check(ctx, d.Manifest, -1); err == nil {
		t.Error("the image as a whole is sound")
	}
	if err := s.Check(ctx, d.Manifest, 1000); err == nil {
		t.Error("a chunk that is not there: the whole image should have been read")
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.Check(cancelled, d.Manifest, -1); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func flipInLargest(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var path string
	var size int64
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size {
			path, size = filepath.Join(dir, e.Name()), info.Size()
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, size/2); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b, size/2); err != nil {
		t.Fatal(err)
	}
}
