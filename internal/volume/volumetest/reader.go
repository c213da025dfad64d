package volumetest

import (
	"io"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
)

// What the tests of all readers do with their Open.

// Load opens the file system in an image and reads its allocation map.
func Load[F volume.FileSystem](t testing.TB, image string, open func(io.ReaderAt, int64) (F, error)) (F,
	[]volume.Extent) {
	t.Helper()
	f, size := Open(t, image)
	return Map(t, f, size, open)
}

// Map opens the file system in the size bytes of r and reads its allocation map.
func Map[F volume.FileSystem](t testing.TB, r io.ReaderAt, size int64, open func(io.ReaderAt, int64) (F, error)) (F,
	[]volume.Extent) {
	t.Helper()
	fs, err := open(r, size)
	if err != nil {
		t.Fatal(err)
	}
	extents, err := fs.Extents()
	if err != nil {
		t.Fatal(err)
	}
	Check(t, extents, size)
	return fs, extents
}

// Refuses wants the map of the file system in an image not to be believed, with an error that contains why.
func Refuses[F volume.FileSystem](t testing.TB, image string, open func(io.ReaderAt, int64) (F, error), why string) {
	t.Helper()
	f, size := Open(t, image)
	fs, err := open(f, size)
	if err == nil {
		if !fs.Info().Clean {
			t.Error("it is not clean, which would be reason enough")
		}
		_, err = fs.Extents()
	}
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("error %v, want %q", err, why)
	}
}

// Poke changes up to 64 KiB of an image from a byte on.
func Poke(t testing.TB, image string, at int64, change func(p []byte)) {
	t.Helper()
	f, size := Open(t, image)
	p := make([]byte, min(64<<10, size-at))
	if _, err := f.ReadAt(p, at); err != nil {
		t.Fatal(err)
	}
	change(p)
	if _, err := f.WriteAt(p, at); err != nil {
		t.Fatal(err)
	}
}

// Reads is a use for Record: all that a reader reads.
func Reads[F volume.FileSystem](open func(io.ReaderAt, int64) (F, error)) func(r io.ReaderAt, size int64) {
	return func(r io.ReaderAt, size int64) {
		if fs, err := open(r, size); err == nil {
			_, _ = fs.Extents()
		}
	}
}

// Patched is an image of which some bytes are others.
type Patched struct {
	io.ReaderAt
	At   int64
	Data []byte
}

// ReadAt reads the image, and over it what is patched.
func (p Patched) ReadAt(b []byte, off int64) (int, error) {
	n, err := p.ReaderAt.ReadAt(b, off)
	if from, to := max(off, p.At), min(off+int64(n), p.At+int64(len(p.Data))); from < to {
		copy(b[from-off:to-off], p.Data[from-p.At:to-p.At])
	}
	return n, err
}

// FuzzReader fuzzes a reader: it may refuse what it is given, and what it says of the rest must be in order.
func FuzzReader[F volume.FileSystem](f *testing.F, open func(io.ReaderAt, int64) (F, error)) {
	f.Helper()
	Fuzz(f, func(t *testing.T, r io.ReaderAt, size int64) {
		fs, err := open(r, size)
		if err != nil {
			return
		}
		_ = fs.Info()
		if extents, err := fs.Extents(); err == nil {
			Check(t, extents, size)
		}
	})
}
