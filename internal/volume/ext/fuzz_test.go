package ext

import (
	"flag"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

var update = flag.Bool("update", false, "make the samples in testdata again (needs root)")

// TestSamples makes the samples for FuzzOpen, when asked, and reads them: without checksums, so that a change is not
// noticed before it can do harm.
func TestSamples(t *testing.T) {
	if *update {
		for name, args := range map[string]string{
			"ext2":     "-t ext2 -b 1024",
			"ext4":     "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,uninit_bg -g 1024",
			"meta-bg":  "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^uninit_bg,^resize_inode,meta_bg -g 256 -N 512",
			"bigalloc": "-t ext4 -b 1024 -O ^metadata_csum,^has_journal,^uninit_bg,bigalloc -C 4096",
			"csum":     "-t ext4 -b 1024 -O ^has_journal",
		} {
			volumetest.SaveSample(t, name, mkfs(t, 8*mib, args, ""))
		}
		path := mkfs(t, 8*mib, "-t ext4 -b 1024 -O ^metadata_csum,^uninit_bg -g 512", "")
		crashed, _ := crashWith(t, path, 20, func(p []byte) { clear(p) })
		volumetest.SaveSample(t, "crashed", crashed)
		path = mkfs(t, 8*mib, "-t ext3 -b 1024 -O ^extents", "")
		crashed, _ = crashWith(t, path, 20, func(p []byte) { clear(p) })
		volumetest.SaveSample(t, "crashed-indirect", crashed)
	}
	for name, sample := range volumetest.Samples(t) {
		fs, err := Open(volumetest.Patch(sample, nil), int64(len(sample)))
		if err == nil {
			_, err = fs.Extents()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	volumetest.Fuzz(f, Open,
		1024+0x4, 1024+0x14, 1024+0x18, 1024+0x1c, 1024+0x20, 1024+0x24, 1024+0x28, 1024+0x3a, 1024+0x4c, 1024+0x58,
		1024+0x5c, 1024+0x60, 1024+0x64, 1024+0xce, 1024+0xe0, 1024+0xfe, 1024+0x104, 1024+0x150, 1024+0x24c,
		2048, 2048+4, 2048+8, 2048+0x12, 2048+0x20)
}
