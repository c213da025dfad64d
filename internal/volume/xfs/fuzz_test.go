package xfs

import (
	"bytes"
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func reader(p []byte) io.ReaderAt { return bytes.NewReader(p) }

func FuzzOpen(f *testing.F) {
	volumetest.Fuzz(f, func(t *testing.T, r io.ReaderAt, size int64) {
		fs, err := open(r, size, false)
		if err != nil {
			return
		}
		_ = fs.Info()
		if extents, err := fs.Extents(); err == nil {
			volumetest.Check(t, extents, size)
		}
	})
}

// recordSeed keeps what the reader reads of image as a seed.
func recordSeed(t *testing.T, name, image string) {
	volumetest.Record(t, name, image, func(r io.ReaderAt, size int64) {
		if fs, err := Open(r, size); err == nil {
			_, _ = fs.Extents()
		}
	})
}

func TestSeeds(t *testing.T) {
	volumetest.Seeds(t, func(t *testing.T, r io.ReaderAt, size int64) {
		fs, err := Open(r, size)
		if err != nil {
			t.Fatal(err)
		}
		extents, err := fs.Extents()
		if err != nil {
			t.Fatal(err)
		}
		volumetest.Check(t, extents, size)
	})
}
