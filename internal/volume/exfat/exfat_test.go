package exfat

import (
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestBadCluster marks clusters bad in the FAT that the bitmap calls free: the first and the last of the heap's free
// ones.
func TestBadCluster(t *testing.T) {
	image := volumetest.Mkfs(t, "exfat", 16<<20, "-c 4K")
	fs, before := volumetest.Load(t, image, Open)
	f, _ := volumetest.Open(t, image)
	for _, n := range []int64{fs.clusters / 2, fs.clusters + 1} {
		at, err := fs.offset(n)
		if err != nil || volume.Require(before, "", at, 1) == nil {
			t.Fatalf("cluster %d is in use: %v", n, err)
		}
		if _, err := f.WriteAt([]byte("\xf7\xff\xff\xff"), fs.fat+4*n); err != nil {
			t.Fatal(err)
		}
	}
	fs, after := volumetest.Load(t, image, Open)
	for _, n := range []int64{fs.clusters / 2, fs.clusters + 1} {
		at, _ := fs.offset(n)
		if err := volume.Require(after, "a bad cluster", at, fs.cluster); err != nil {
			t.Error(err)
		}
	}
	if bad := fs.Info().Bad; volume.Bytes(bad) != 2*fs.cluster {
		t.Errorf("bad: %v", bad)
	}
	if more := volume.Bytes(after) - volume.Bytes(before); more != 2*fs.cluster {
		t.Errorf("%d bytes more, not two clusters", more)
	}
}

func FuzzOpen(f *testing.F) {
	volumetest.FuzzReader(f, func(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, false) })
}

// TestContradiction frees in the bitmap what the root directory names, which fsck.exfat does not look for.
func TestContradiction(t *testing.T) {
	for bit := range 3 { // the bitmap, the up-case table, the root directory
		image := volumetest.Mkfs(t, "exfat", 128<<20+512, "-c 128K")
		fs, _ := volumetest.Load(t, image, Open)
		at, err := fs.offset(fs.bitmaps[0].first)
		if err != nil {
			t.Fatal(err)
		}
		volumetest.Poke(t, image, at, func(p []byte) { p[0] &^= 1 << bit })
		volumetest.Refuses(t, image, Open, "what its root directory names")
	}
}
