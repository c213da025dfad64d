package ext

import (
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
		volumetest.Record(t, name, mkfs(t, 8*mib, args, ""), volumetest.Reads(Open))
	}
	for name, args := range map[string]string{
		"crashed":          "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg -g 512",
		"crashed-indirect": "-t ext3 -b 1024",
	} {
		image, _ := crashWith(t, mkfs(t, 8*mib, args, ""), 10, func(p []byte) { clear(p) }, "")
		volumetest.Record(t, name, image, volumetest.Reads(Open))
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }
