package image_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
)

func files(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return len(list)
}

func gc(t *testing.T, s *image.Store, o image.GCOptions) image.GCResult {
	t.Helper()
	r, err := s.GC(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestGC(t *testing.T) {
	s := newStore(t)
	blobs := filepath.Join(s.Dir(), "blobs", "sha256")
	disk := filled(8<<20, 60)
	take(t, s, "a", disk)
	imagetest.Random(disk[1<<20:2<<20], 9)
	take(t, s, "b", disk)
	if r := gc(t, s, image.GCOptions{}); r != (image.GCResult{}) {
		t.Errorf("garbage in a store of two images: %+v", r)
	}
	if err := s.Remove("a"); err != nil {
		t.Fatal(err)
	}
	before := files(t, blobs)
	if r := gc(t, s, image.GCOptions{Dry: true}); r.Blobs != 3 || files(t, blobs) != before {
		t.Errorf("dry: %+v", r)
	}
	// Manifest, config and index of a go; its data blob stays, because b refers to it.
	if r := gc(t, s, image.GCOptions{}); r.Blobs != 3 {
		t.Errorf("after rm a: %+v", r)
	}
	if err := verify(t, s, "b"); err != nil {
		t.Error(err)
	}
	// An open image outlives its entry.
	m := open(t, s, "b")
	if err := s.Remove("b"); err != nil {
		t.Fatal(err)
	}
	if r := gc(t, s, image.GCOptions{}); r.Blobs != 0 {
		t.Errorf("with the image open: %+v", r)
	}
	if err := m.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if r := gc(t, s, image.GCOptions{}); r.Blobs != 5 || files(t, blobs) != 0 {
		t.Errorf("with the image closed: %+v, %d blobs left", r, files(t, blobs))
	}
}

func TestGCUnnamedAndLeftovers(t *testing.T) {
	s := newStore(t)
	old := take(t, s, "a", filled(1<<20, 1))
	take(t, s, "a", filled(1<<20, 2))
	tmp := filepath.Join(s.Dir(), ".diskcast", "tmp", "blob-of-a-dead-process")
	if err := os.WriteFile(tmp, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := gc(t, s, image.GCOptions{}); r.Blobs != 0 || r.Images != 0 || r.Files != 1 {
		t.Errorf("%+v", r)
	}
	if err := verify(t, s, old.Digest); err != nil {
		t.Errorf("an image without a name is lost: %v", err)
	}
	if r := gc(t, s, image.GCOptions{Unnamed: true}); r.Images != 1 || r.Blobs != 4 {
		t.Errorf("%+v", r)
	}
	if err := verify(t, s, "a"); err != nil {
		t.Error(err)
	}
}

func TestGCWaitsForWriters(t *testing.T) {
	s := newStore(t)
	b, err := s.NewBuilder(image.BuilderOptions{DiskSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(context.Background(), image.GCOptions{}); !errors.Is(err, image.ErrBusy) {
		t.Errorf("during a capture: %v", err)
	}
	b.Abort()
	gc(t, s, image.GCOptions{})
}

func TestGCRefusesDamagedManifest(t *testing.T) {
	s := newStore(t)
	r := take(t, s, "a", filled(1<<20, 1))
	n := files(t, filepath.Join(s.Dir(), "blobs", "sha256"))
	flip(t, blobFile(s, r.Digest), 20)
	if _, err := s.GC(context.Background(), image.GCOptions{}); err == nil {
		t.Error("blobs of an image whose manifest is damaged were judged")
	}
	if files(t, filepath.Join(s.Dir(), "blobs", "sha256")) != n {
		t.Error("blobs were removed")
	}
}

func TestCopy(t *testing.T) {
	from, to := newStore(t), newStore(t)
	disk := filled(4<<20, 70)
	take(t, from, "a", disk)
	imagetest.Random(disk[:100], 4)
	r := take(t, from, "b", disk)
	var last, total int64
	digest, err := to.Copy(context.Background(), from, "b", "mine", func(d, n int64) { last, total = d, n })
	if err != nil || digest != r.Digest || last != total || total == 0 {
		t.Fatalf("%s %v, progress %d of %d", digest, err, last, total)
	}
	if err := verify(t, to, "mine"); err != nil {
		t.Error(err)
	}
	// Damage on the way is not taken over.
	m := open(t, from, "a")
	blob, size := m.DataBlob(0)
	flip(t, blobFile(from, blob), size/2)
	other := newStore(t)
	var d *image.DamageError
	if _, err := other.Copy(context.Background(), from, "a", "", nil); !errors.As(err, &d) || d.Blob != blob {
		t.Errorf("%v", err)
	}
	if list, err := other.List(); err != nil || len(list) != 0 {
		t.Errorf("list %v %v", list, err)
	}
}

// TestIngestTwice has eight take the same blob into one store at the same time: one fetches it, the others wait for
// that, and one whose patience ends says what it waited for.
func TestIngestTwice(t *testing.T) {
	to := newStore(t)
	data := filled(1<<20, 81)
	b := image.Blob{Digest: image.Digest(data), Size: int64(len(data))}
	begun, hold := make(chan struct{}), make(chan struct{})
	var fetches atomic.Int32
	get := func(off int64) (io.ReadCloser, error) {
		if fetches.Add(1) == 1 {
			close(begun)
		}
		<-hold
		return io.NopCloser(bytes.NewReader(data[off:])), nil
	}
	take := func(ctx context.Context) error {
		g, err := to.NewIngest()
		if err != nil {
			return err
		}
		defer g.Close()
		return g.Blob(ctx, b, get, nil)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := take(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := take(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is fetched: %v", err)
	}
	close(hold)
	wg.Wait()
	if n := fetches.Load(); n != 1 {
		t.Errorf("it was fetched %d times", n)
	}
	if n := files(t, filepath.Join(to.Dir(), ".diskcast", "partial")); n != 0 {
		t.Errorf("%d partial files are left", n)
	}
}

// TestIngestResumes breaks a transfer off and takes it up again.
func TestIngestResumes(t *testing.T) {
	from, to := newStore(t), newStore(t)
	take(t, from, "a", filled(2<<20, 80))
	m := open(t, from, "a")
	g, err := to.NewIngest()
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	broken := errors.New("connection reset")
	var offs []int64
	for _, b := range m.Blobs() {
		r, _, err := from.BlobReader(b.Digest)
		if err != nil {
			t.Fatal(err)
		}
		data := make([]byte, b.Size)
		if _, err := r.ReadAt(data, 0); err != nil {
			t.Fatal(err)
		}
		r.Close()
		attempt := 0
		get := func(off int64) (io.ReadCloser, error) {
			offs = append(offs, off)
			if attempt == 0 {
				return io.NopCloser(io.MultiReader(bytes.NewReader(data[off:b.Size/2]), errReader{broken})), nil
			}
			return io.NopCloser(bytes.NewReader(data[off:])), nil
		}
		if err := g.Blob(context.Background(), b, get, nil); !errors.Is(err, broken) {
			t.Fatalf("first attempt: %v", err)
		}
		if g.Have(b) {
			t.Fatal("half a blob is in the store")
		}
		attempt++
		if err := g.Blob(context.Background(), b, get, nil); err != nil {
			t.Fatal(err)
		}
		if got := offs[len(offs)-1]; got != b.Size/2 {
			t.Errorf("went on from %d of %d", got, b.Size)
		}
	}
	manifest, size, err := from.BlobReader(m.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	defer manifest.Close()
	raw := make([]byte, size)
	if _, err := manifest.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Commit(raw, "a", time.Unix(1, 0), nil); err != nil {
		t.Fatal(err)
	}
	if err := verify(t, to, "a"); err != nil {
		t.Error(err)
	}
	if n := files(t, filepath.Join(to.Dir(), ".diskcast", "partial")); n != 0 {
		t.Errorf("%d partial files are left", n)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestDiffAndSharing(t *testing.T) {
	const g = 256 << 10
	s := newStore(t)
	disk := make([]byte, 10*g)
	imagetest.Random(disk[:8*g], 3)
	take(t, s, "a", disk)
	copy(disk[2*g:], "changed")
	clear(disk[5*g : 6*g])
	copy(disk[9*g:], disk[:g]) // a's first cell again at another place
	take(t, s, "b", disk)
	a, b := open(t, s, "a"), open(t, s, "b")
	d := image.Diff(a.Index(), b.Index())
	if d.Same != 6*g || d.Changed != g || d.Moved != g || d.Added != 0 || len(d.Cells) != 3 {
		t.Errorf("%+v", d)
	}
	if d := image.Diff(a.Index(), a.Index()); d.New != 0 || len(d.Cells) != 0 || d.Same != 8*g {
		t.Errorf("with itself: %+v", d)
	}
	shared := map[int]bool{}
	list, err := s.Shared(b, func(f int) { shared[f] = true })
	if err != nil || len(list) != 1 || list[0].Name != "a" || list[0].Frames != 6 || len(shared) != 6 {
		t.Fatalf("%+v %v %v", list, shared, err)
	}
	m := b.Index().Map(10, func(f int) bool { return shared[f] })
	want := []image.MapCell{}
	for i := range 10 {
		c := image.MapCell{Size: g}
		switch i {
		case 2:
			c.Used = g
		case 5, 8:
			c.Zero = g
		default:
			c.Shared = g
		}
		want = append(want, c)
	}
	for i := range want {
		if m[i] != want[i] {
			t.Errorf("part %d: %+v, want %+v", i, m[i], want[i])
		}
	}
	var sum image.MapCell
	for _, c := range b.Index().Map(7, nil) {
		sum.Used += c.Used
		sum.Zero += c.Zero
		sum.Size += c.Size
	}
	if sum.Used != 8*g || sum.Zero != 2*g || sum.Size != 10*g {
		t.Errorf("seven parts: %+v", sum)
	}
}
