package ufs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// TestContradiction has a group that counts a free block too few; and one whose bitmap calls a block of inodes free,
// and another block used for it: the counts are right.
func TestContradiction(t *testing.T) {
	tree := t.TempDir()
	volumetest.Fill(t, tree, 16)
	if err := os.Remove(filepath.Join(tree, "long-soft")); err != nil {
		t.Fatal(err)
	}
	image := volumetest.Makefs(t, "le", "version=2", tree)
	fs, _ := volumetest.Load(t, image, Open)
	header := (fs.perGroup + fs.header) * fs.fragment // of group 1
	volumetest.Poke(t, image, header, func(p []byte) { fs.order.PutUint32(p[28:], fs.order.Uint32(p[28:])-1) })
	volumetest.Refuses(t, image, Open, "free fragments, and its header counts")

	image = volumetest.Makefs(t, "le", "version=2", tree)
	volumetest.Poke(t, image, header, func(p []byte) {
		bitmap, n := p[fs.order.Uint32(p[96:]):], fs.dataAt-1
		bitmap[n/8] |= 1 << (n % 8)
		for i := n + 1; ; i++ {
			if bitmap[i/8]>>(i%8)&1 == 1 {
				bitmap[i/8] &^= 1 << (i % 8)
				return
			}
		}
	})
	volumetest.Refuses(t, image, Open, "superblock and inodes of a group")
}
