package image_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

func newStore(t testing.TB) *image.Store {
	t.Helper()
	s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// filled is a disk without a partition table.
func filled(size int, seed uint64) []byte {
	b := make([]byte, size)
	imagetest.Fill(b, seed)
	return b
}

func take(t testing.TB, s *image.Store, name string, b []byte) *capture.Result {
	t.Helper()
	r, err := capture.Capture(context.Background(), bytes.NewReader(b), int64(len(b)), 512,
		capture.Options{Store: s, Name: name, Grid: 256 << 10, Level: capture.Fast})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func open(t testing.TB, s *image.Store, ref string) *image.Image {
	t.Helper()
	m, err := s.Open(ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func blobFile(s *image.Store, digest string) string {
	return filepath.Join(s.Dir(), "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
}

func TestObject(t *testing.T) {
	s := newStore(t)
	disk := filled(6<<20, 1)
	take(t, s, "a", disk)
	imagetest.Fill(disk[2<<20:3<<20], 77)
	take(t, s, "b", disk)
	m := open(t, s, "b")
	if m.Index().Blobs != 2 {
		t.Fatalf("%d blobs", m.Index().Blobs)
	}
	var want []byte
	for i := range m.Index().Frames {
		f := &m.Index().Frames[i]
		digest, _ := m.DataBlob(f.Blob)
		r, size, err := s.BlobReader(digest)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, f.Length)
		if _, err := r.ReadAt(b, f.Offset); err != nil || f.Offset+f.Length > size {
			t.Fatal(err)
		}
		r.Close()
		want = append(want, b...)
	}
	got, err := io.ReadAll(io.NewSectionReader(m.Object(), 0, m.ObjectSize()))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object read in one is not the frames: %v", err)
	}
	for _, r := range [][2]int64{{0, 1}, {m.ObjectSize() - 1, 1}, {m.ObjectSize() / 3, 100000}, {5, 0}} {
		b := make([]byte, r[1])
		if _, err := m.Object().ReadAt(b, r[0]); err != nil || !bytes.Equal(b, want[r[0]:r[0]+r[1]]) {
			t.Errorf("object bytes %v: %v", r, err)
		}
	}
	if n, err := m.Object().ReadAt(make([]byte, 10), m.ObjectSize()-4); n != 4 || err != io.EOF {
		t.Errorf("over the end: %d %v", n, err)
	}
}

// TestZstdReadsBlob has the reference implementation decode a data blob.
func TestZstdReadsBlob(t *testing.T) {
	zstd := need.Tool(t, "zstd")
	s := newStore(t)
	take(t, s, "a", filled(3<<20, 5))
	m := open(t, s, "a")
	digest, _ := m.DataBlob(0)
	got, err := exec.Command(zstd, "-dc", blobFile(s, digest)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []byte
	d, err := image.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for i := range m.Index().Frames {
		f := &m.Index().Frames[i]
		b := make([]byte, f.Length)
		if _, err := m.Object().ReadAt(b, f.Object); err != nil {
			t.Fatal(err)
		}
		out, err := d.Decode(f, b, make([]byte, f.Size))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, out...)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("zstd -dc gives %d bytes, the frames %d", len(got), len(want))
	}
}

// TestSkopeoCopies has another OCI program move an image that shares a blob with another one.
func TestSkopeoCopies(t *testing.T) {
	skopeo := need.Tool(t, "skopeo")
	s, to := newStore(t), filepath.Join(t.TempDir(), "copy")
	disk := filled(4<<20, 9)
	take(t, s, "debian:12", disk)
	imagetest.Fill(disk[1<<20:2<<20], 10)
	r := take(t, s, "debian:13", disk)
	out, err := exec.Command(skopeo, "copy", "--insecure-policy", "oci:"+s.Dir()+":debian:13", "oci:"+to+
		":mine").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s2, err := image.OpenStore(to)
	if err != nil {
		t.Fatal(err)
	}
	m := open(t, s2, "mine")
	if m.Manifest() != r.Digest {
		t.Errorf("the copy is %s, not %s", m.Manifest(), r.Digest)
	}
	if err := m.Verify(context.Background(), nil); err != nil {
		t.Error(err)
	}
	if list, err := s2.List(); err != nil || len(list) != 1 || list[0].Name != "mine" {
		t.Errorf("list %v %v", list, err)
	}
	// A store that another program made is one of ours.
	take(t, s2, "third", filled(1<<20, 3))
}

// TestVerifyFindsEveryFlip flips bits at every kind of place of every blob.
func TestVerifyFindsEveryFlip(t *testing.T) {
	s := newStore(t)
	disk := filled(3<<20, 21)
	take(t, s, "old", disk)
	imagetest.Fill(disk[1<<20:2<<20], 22)
	take(t, s, "new", disk)
	m := open(t, s, "new")
	if err := m.Verify(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	type place struct {
		digest string
		off    int64
		frame  int // -1: not in a frame of this image
	}
	var places []place
	inFrame := func(blob int, off int64) int {
		for i, f := range m.Index().Frames {
			if f.Blob == blob && off >= f.Offset && off < f.Offset+f.Length {
				return i
			}
		}
		return -1
	}
	for i := range m.Index().Blobs {
		digest, size := m.DataBlob(i)
		for off := int64(0); off < size; off += size/97 + 1 {
			places = append(places, place{digest, off, inFrame(i, off)})
		}
		places = append(places, place{digest, size - 1, inFrame(i, size-1)})
	}
	for _, f := range m.Index().Frames { // frame headers, the first block's header, the last byte
		digest, _ := m.DataBlob(f.Blob)
		for _, off := range []int64{0, 4, 5, 9, f.Length - 1} {
			places = append(places, place{digest, f.Offset + off, inFrame(f.Blob, f.Offset+off)})
		}
	}
	config, configSize := m.ConfigBlob()
	index, indexSize := m.IndexBlob()
	places = append(places, place{m.Manifest(), 40, -1}, place{config, 0, -1}, place{config, configSize - 1, -1},
		place{index, 30, -1}, place{index, 60, -1}, place{index, indexSize - 1, -1})
	unseen := 0
	for _, p := range places {
		flip(t, blobFile(s, p.digest), p.off)
		err := verify(t, s, "new")
		flip(t, blobFile(s, p.digest), p.off)
		var d *image.DamageError
		if !errors.As(err, &d) {
			t.Fatalf("%+v: %v", p, err)
		}
		if d.Image != "new" || d.Blob != p.digest {
			t.Errorf("%+v: %+v", p, d)
		}
		if p.frame < 0 {
			unseen++
			if d.Chunk != -1 {
				t.Errorf("%+v: blamed on chunk %d", p, d.Chunk)
			}
			continue
		}
		f := m.Index().Frames[p.frame]
		if d.Chunk != int(f.Chunks[0]) || d.Offset != f.Offset || d.Object != f.Object {
			t.Errorf("%+v: %+v", p, d)
		}
	}
	if unseen < 7 {
		t.Error("no place in a shared blob outside of the image's own frames was tried")
	}
	if err := verify(t, s, "new"); err != nil {
		t.Fatal(err)
	}
}

// verify does it in both ways, which say the same.
func verify(t *testing.T, s *image.Store, ref string) error {
	t.Helper()
	m, err := s.Open(ref)
	if err == nil {
		defer m.Close()
		err = m.Verify(context.Background(), nil)
	}
	if got := s.Verify(context.Background(), ref, nil); fmt.Sprint(got) != fmt.Sprint(err) {
		t.Errorf("Store.Verify says %v, Image.Verify %v", got, err)
	}
	return err
}

func flip(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

func TestTruncatedAndMissingBlobs(t *testing.T) {
	for _, c := range []struct {
		name string
		blob func(*image.Image) string
	}{
		{"data", func(m *image.Image) string { d, _ := m.DataBlob(0); return d }},
		{"index", func(m *image.Image) string { d, _ := m.IndexBlob(); return d }},
		{"config", func(m *image.Image) string { d, _ := m.ConfigBlob(); return d }},
		{"manifest", func(m *image.Image) string { return m.Manifest() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStore(t)
			take(t, s, "a", filled(2<<20, 30))
			m := open(t, s, "a")
			path := blobFile(s, c.blob(m))
			st, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, st.Size()*2/3); err != nil {
				t.Fatal(err)
			}
			_ = verify(t, s, "a")
			var d *image.DamageError
			if _, err := s.Open("a"); !errors.As(err, &d) || d.Image != "a" || d.Blob != c.blob(m) {
				t.Errorf("truncated: %v", err)
			} else if c.name == "data" && d.Chunk < 0 {
				t.Errorf("the first chunk that is lost is not named: %v", err)
			}
			if c.name == "data" {
				if _, err := m.Object().ReadAt(make([]byte, m.ObjectSize()), 0); err == nil || err == io.EOF {
					t.Errorf("reading an open image of which the blob was cut: %v", err)
				}
				if err := m.Verify(context.Background(), nil); !errors.As(err, &d) {
					t.Errorf("verifying it: %v", err)
				}
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			d = nil
			if _, err := s.Open("a"); !errors.As(err, &d) || !d.Missing || d.Image != "a" || d.Blob != c.blob(m) ||
				errors.Is(err, image.ErrNotFound) {
				t.Errorf("missing: %v", err)
			} else if (c.name == "data") != (d.Chunk >= 0) {
				t.Errorf("missing: chunk %d is named", d.Chunk)
			}
			if _, err := s.Open("nothing"); !errors.Is(err, image.ErrNotFound) || errors.As(err, &d) &&
				d.Image == "nothing" {
				t.Errorf("an image that is not there: %v", err)
			}
		})
	}
}

// A capture makes an encoder for each worker, of a disk of zeros too: the tables come with the first frame.
func TestEncoderWithoutFrames(t *testing.T) {
	for _, level := range []string{image.Fast, image.Default, image.Small} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		e, err := image.NewEncoder(level)
		if err != nil {
			t.Fatal(err)
		}
		e.Sum([]byte("x"))
		runtime.ReadMemStats(&after)
		if got, want := after.TotalAlloc-before.TotalAlloc, uint64(64<<10); got > want {
			t.Errorf("%s: an encoder that made no frame took %d bytes, want %d at most", level, got, want)
		}
		frame := e.Encode(nil, []byte("x"))
		if got, want := e.Encode(nil, []byte("x")), frame; !bytes.Equal(got, want) {
			t.Errorf("%s: the second frame is %x, want %x", level, got, want)
		}
	}
}
