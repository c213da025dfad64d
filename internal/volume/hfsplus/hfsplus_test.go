package hfsplus

import (
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// TestContradiction changes the header's count of free blocks, and frees the catalog in the allocation file.
func TestContradiction(t *testing.T) {
	image := volumetest.HFSPlus(t, 24<<20)
	volumetest.Poke(t, image, headerAt, func(p []byte) { be.PutUint32(p[48:], be.Uint32(p[48:])-1) })
	volumetest.Refuses(t, image, Open, "blocks are free, and the volume header counts")

	image = volumetest.HFSPlus(t, 24<<20)
	fs, _ := volumetest.Load(t, image, Open)
	_, catalog, err := fs.fork(catalogFork)
	if err != nil {
		t.Fatal(err)
	}
	_, bitmap, err := fs.fork(allocationFork)
	if err != nil {
		t.Fatal(err)
	}
	n := catalog[0].start
	volumetest.Poke(t, image, bitmap[0].start*fs.block, func(p []byte) { p[n/8] &^= 0x80 >> (n % 8) })
	volumetest.Poke(t, image, headerAt, func(p []byte) { be.PutUint32(p[48:], be.Uint32(p[48:])+1) })
	volumetest.Refuses(t, image, Open, "where it has its catalog")
}
