package swap

import (
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestRecordSeeds makes the seeds for FuzzOpen.
func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, page := range map[string]string{"4k": "4096", "64k": "65536"} {
		image := volumetest.Sparse(t, mib)
		volumetest.Run(t, "mkswap", "-p", page, image)
		record(t, name, image)
	}
}

func record(t *testing.T, name, image string) {
	t.Helper()
	volumetest.Record(t, name, image, func(r io.ReaderAt, size int64) {
		if fs, err := Open(r, size); err == nil {
			_, _ = fs.Extents()
		}
	})
}

func TestSeeds(t *testing.T) {
	volumetest.Seeds(t, func(t *testing.T, r io.ReaderAt, size int64) {
		fs, err := Open(r, size)
		if err == nil {
			_, err = fs.Extents()
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	volumetest.Fuzz(f, func(t *testing.T, r io.ReaderAt, size int64) {
		fs, err := Open(r, size)
		if err != nil {
			return
		}
		_ = fs.Info()
		if extents, err := fs.Extents(); err == nil {
			volumetest.Check(t, extents, size)
		}
	})
}
