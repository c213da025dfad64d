package reiserfs

import (
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// TestContradiction frees the root of the tree in the bitmap, and the journal, and a free block for each is used: the
// count is right.
func TestContradiction(t *testing.T) {
	for want, block := range map[string]func(fs *FS) int64{
		"the root of its tree": func(fs *FS) int64 { return fs.root },
		"its journal":          func(fs *FS) int64 { return fs.journal + 5 },
	} {
		image := volumetest.Mkfs(t, "reiserfs", 64<<20, "")
		fs, _ := volumetest.Load(t, image, Open)
		n, spare := block(fs), fs.blocks-2
		volumetest.Poke(t, image, superAt+fs.block, func(p []byte) {
			if p[n/8]>>(n%8)&1 != 1 || p[spare/8]>>(spare%8)&1 != 0 {
				t.Fatalf("block %d is free, or %d is not", n, spare)
			}
			p[n/8] &^= 1 << (n % 8)
			p[spare/8] |= 1 << (spare % 8)
		})
		if out, err := volumetest.Try(t, "reiserfsck", "--check", "-y", "-f", image); err == nil {
			t.Errorf("reiserfsck finds nothing wrong: %s", out)
		}
		volumetest.Refuses(t, image, Open, want)
	}
}
