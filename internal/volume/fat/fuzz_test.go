package fat

import (
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestRecordSeeds makes the seeds for FuzzOpen.
func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, args := range map[string]string{"fat12": "-F 12 -s 2", "fat16": "-F 16 -s 1", "fat32": "-F 32 -s 1"} {
		record(t, name, mkfs(t, 4*mib, args))
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
