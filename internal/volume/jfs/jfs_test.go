package jfs

import (
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// TestContradiction has a page that counts a block too few, and the next one a block too many: the sum is right.
func TestContradiction(t *testing.T) {
	image := volumetest.Mkfs(t, "jfs", 96<<20, "")
	fs, _ := volumetest.Load(t, image, Open)
	file, err := fs.file()
	if err != nil {
		t.Fatal(err)
	}
	volumetest.Poke(t, image, (file[0].address*fs.block)+4*page, func(p []byte) {
		le.PutUint32(p[4:], le.Uint32(p[4:])-1)
		le.PutUint32(p[page+4:], le.Uint32(p[page+4:])+1)
	})
	if out, err := volumetest.Try(t, "fsck.jfs", "-n", "-f", image); err == nil {
		t.Errorf("fsck.jfs finds nothing wrong: %s", out)
	}
	volumetest.Refuses(t, image, Open, "free blocks, and counts")
}
