package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/zeebo/blake3"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/server/engine"
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
	if _, err := capture.Capture(t.Context(), bytes.NewReader(disk), int64(len(disk)), 512,
		capture.Options{Store: st, Name: "debian"}); err != nil {
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
	path, size := largest(t, filepath.Join(dir, "blobs", "sha256"))
	flip(t, path, size/2, 1)
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

// TestCheckSeesWhatNodesSee flips a bit that no decoder looks at, in the header of a frame: it decodes to what it
// should, but nodes go by its CRC-32C and refuse it. The server must call it damaged too, or it fails the node for it.
func TestCheckSeesWhatNodesSee(t *testing.T) {
	const unused = 1 << 4 // of the frame header descriptor, RFC 8878 section 3.1.1.1.1.3
	s, dir := stored(t)
	d, err := s.Describe("debian")
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.acquire(d.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	defer s.release(e)
	f := &e.im.Index().Frames[e.im.Index().Chunks[2].Frame]
	path, _ := largest(t, filepath.Join(dir, "blobs", "sha256"))
	flip(t, path, f.Offset+4, unused)

	frame := make([]byte, f.Length)
	if _, err := e.im.Object().ReadAt(frame, f.Object); err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if plain, err := z.DecodeAll(frame, nil); err != nil || blake3.Sum256(plain) != f.Sum {
		t.Fatalf("the decoder saw the bit: %v", err)
	}
	var damage *image.DamageError
	if err := s.Check(t.Context(), d.Manifest, 2); !errors.As(err, &damage) || damage.Chunk != 2 {
		t.Errorf("chunk 2: %v, want damage", err)
	}
}

// largest is the largest file of the directory: the data blob.
func largest(t *testing.T, dir string) (path string, size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > size {
			path, size = filepath.Join(dir, e.Name()), info.Size()
		}
	}
	return path, size
}

// flip changes bits of one byte of a blob.
func flip(t *testing.T, path string, at int64, bits byte) {
	t.Helper()
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bits
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// TestIndexTooLarge has an image whose index no node takes: a session about it is refused, because it is described
// first.
func TestIndexTooLarge(t *testing.T) {
	s, dir := stored(t)
	d, err := s.Describe("debian")
	if err != nil {
		t.Fatal(err)
	}
	blob := func(digest string) string {
		return filepath.Join(dir, "blobs/sha256", strings.TrimPrefix(digest, "sha256:"))
	}
	manifest, err := os.ReadFile(blob(d.Manifest))
	if err != nil {
		t.Fatal(err)
	}
	size := fmt.Sprintf(`"size":%d`, d.Index.Size)
	large := bytes.Replace(manifest, []byte(size), fmt.Appendf(nil, `"size":%d`, image.MaxIndex+1), 1)
	if bytes.Equal(large, manifest) {
		t.Fatalf("no %s in %s", size, manifest)
	}
	if err := os.WriteFile(blob(image.Digest(large)), large, 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	list = bytes.ReplaceAll(list, []byte(d.Manifest), []byte(image.Digest(large)))
	list = bytes.ReplaceAll(list, fmt.Appendf(nil, `"size":%d`, len(manifest)),
		fmt.Appendf(nil, `"size":%d`, len(large)))
	if err := os.WriteFile(filepath.Join(dir, "index.json"), list, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Describe("debian"); err == nil || !strings.Contains(err.Error(), "larger grid") {
		t.Errorf("described: %v", err)
	}
}

// TestFits says of a target what a node would.
func TestFits(t *testing.T) {
	s, _ := stored(t)
	d, err := s.Describe("debian")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []engine.Room{{Size: 16 << 20, Sector: 512}, {Size: 1 << 30, Sector: 4096, Grow: true}} {
		if err := s.Fits(d.Manifest, r); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	small := new(restore.TooSmallError)
	if err := s.Fits(d.Manifest, engine.Room{Size: 8 << 20, Sector: 512}); !errors.As(err, &small) ||
		small.Need != 16<<20 {
		t.Errorf("too small: %v", err)
	}
	if err := s.Fits(d.Manifest, engine.Room{Size: 8 << 20, Sector: 512, Number: 2, Start: 1 << 20}); err == nil {
		t.Error("a partition that is too small")
	}
	if err := s.Fits("sha256:"+strings.Repeat("0", 64), engine.Room{Size: 1 << 30, Sector: 512}); err == nil {
		t.Error("an image that is not there")
	}
	if n, err := s.Differs(d.Manifest, d.Manifest); err != nil || n != 0 {
		t.Errorf("an image differs from itself by %d, %v", n, err)
	}
	if id := s.TableID(d.Manifest); id != "" {
		t.Errorf("a disk without a table has the table %s", id)
	}
}
