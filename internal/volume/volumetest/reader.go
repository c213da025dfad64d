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
	return read(t, f, size, open)
}

func read[F volume.FileSystem](t testing.TB, r io.ReaderAt, size int64, open func(io.ReaderAt, int64) (F, error)) (F,
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

// SeedsRead wants a reader to understand every seed in testdata.
func SeedsRead[F volume.FileSystem](t *testing.T, open func(io.ReaderAt, int64) (F, error)) {
	t.Helper()
	Seeds(t, func(t *testing.T, r io.ReaderAt, size int64) { read(t, r, size, open) })
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
