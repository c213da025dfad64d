package diskview

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

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/volume/table"
)

const diskSize = 9<<20 + 5*512

// stored captures a disk with a partition table of which partition 1 is not understood, and so captured whole.
func stored(t *testing.T) (*image.Image, []byte, string) {
	t.Helper()
	b := make([]byte, diskSize)
	imagetest.Fill(b[1<<20:8<<20], 7)
	clear(b[3<<20 : 4<<20])
	m := imagetest.NewMemory(b, 512)
	if err := table.Write(m, imagetest.GPT(diskSize, 512, 7<<20), diskSize, 512); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	st, err := image.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := capture.Capture(t.Context(), bytes.NewReader(b), diskSize, 512,
		capture.Options{Store: st, Name: "disk", Grid: 256 << 10}); err != nil {
		t.Fatal(err)
	}
	im, err := st.Open("disk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { im.Close() })
	return im, b, dir
}

func TestReadsAsTheDisk(t *testing.T) {
	im, want, _ := stored(t)
	d, err := New(im)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	got, err := io.ReadAll(io.NewSectionReader(d, 0, d.Size()))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("the disk reads otherwise than what was captured (%v)", err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		off := r.Int64N(diskSize)
		p := make([]byte, r.Int64N(1<<20))
		n, err := d.ReadAt(p, off)
		if n < len(p) && !(errors.Is(err, io.EOF) && off+int64(n) == diskSize) ||
			!bytes.Equal(p[:n], want[off:off+int64(n)]) {
			t.Fatalf("%d bytes at %d: read %d, %v", len(p), off, n, err)
		}
	}
	// Everything outside of Stored is zero, and the zeros in a partition are part of what is allocated.
	at := int64(0)
	for _, e := range d.Stored() {
		if !image.IsZero(want[at:e.Offset]) {
			t.Errorf("bytes in %d-%d are not zero and not in Stored", at, e.Offset)
		}
		at = e.End()
	}
	if a := d.Allocated(1<<20, 7<<20); len(a) != 1 || a[0].Offset != 0 || a[0].Length != 7<<20 {
		t.Errorf("allocated of partition 1: %v", a)
	}
	if _, err := d.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("a read before the disk")
	}
}

// damageFirst changes a bit of the image's first blob.
func damageFirst(t *testing.T, im *image.Image, dir string) {
	t.Helper()
	digest, _ := im.DataBlob(0)
	path := filepath.Join(dir, "blobs", "sha256", digest[len("sha256:"):])
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 4
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamageIsNotRead(t *testing.T) {
	im, _, dir := stored(t)
	damageFirst(t, im, dir)
	d, err := New(im)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var damage *image.DamageError
	if _, err := d.ReadAt(make([]byte, diskSize), 0); !errors.As(err, &damage) {
		t.Errorf("read of a damaged image: %v", err)
	}
}

// elsewhere is an image whose object somebody else reads.
type elsewhere struct {
	*image.Image
	io.ReaderAt
}

func (e *elsewhere) Object() io.ReaderAt { return e }

func (e *elsewhere) ReadAt(p []byte, off int64) (int, error) { return e.ReaderAt.ReadAt(p, off) }

type failing struct{ err error }

func (f failing) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestUnreadIsNotDamaged: damage is what was read and is wrong, or too short, and not what could not be read.
func TestUnreadIsNotDamaged(t *testing.T) {
	im, _, _ := stored(t)
	for _, c := range []struct {
		err     error
		damaged bool
	}{
		{context.Canceled, false},
		{errors.New("the server does not answer"), false},
		{image.ErrNotFound, false},
		{unix.EIO, false},
		{io.EOF, true},
		{fmt.Errorf("object: %w", io.ErrUnexpectedEOF), true},
	} {
		d, err := New(&elsewhere{im, failing{c.err}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.ReadAt(make([]byte, diskSize), 0)
		d.Close()
		var damage *image.DamageError
		if errors.As(err, &damage) != c.damaged {
			t.Errorf("%v: read as %v, want damage: %v", c.err, err, c.damaged)
		}
		if !c.damaged && (!errors.Is(err, c.err) || !strings.Contains(err.Error(),
			"disk: chunk 4 (disk offset 1048576) could not be read: ")) {
			t.Errorf("%v: read as %v", c.err, err)
		}
	}
}
