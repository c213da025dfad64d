package ext

import (
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestRecordSeeds makes the seeds for FuzzOpen. They have no checksums, so that a change is not noticed
// before it can do harm.
func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, args := range map[string]string{
		"ext2":     "-t ext2 -b 1024",
		"ext4":     "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,uninit_bg -g 1024",
		"meta-bg":  "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^uninit_bg,^resize_inode,meta_bg -g 256 -N 512",
		"bigalloc": "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^uninit_bg,bigalloc -C 4096",
		"csum":     "-t ext4 -b 1024 -O ^has_journal",
	} {
		record(t, name, mkfs(t, 8*mib, args, ""))
	}
	for name, args := range map[string]string{
		"crashed":          "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg -g 512",
		"crashed-indirect": "-t ext3 -b 1024",
	} {
		image, _ := crashWith(t, mkfs(t, 8*mib, args, ""), 10, func(p []byte) { clear(p) }, "")
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
