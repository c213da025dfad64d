package reiserfs

import (
	"errors"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 80<<20 + 512

func mkfs(t *testing.T, image, options string) {
	t.Helper()
	need.Tools(t, "mkreiserfs", "reiserfsck", "blkid")
	args := append([]string{"-q", "-ff", "-l", "dc-test"}, strings.Fields(options)...)
	volumetest.Run(t, "mkreiserfs", append(args, image)...)
}

func TestAgainstLinux(t *testing.T) {
	for _, options := range []string{"", "-b 1024"} {
		t.Run("mkreiserfs "+options, func(t *testing.T) {
			t.Parallel()
			image := volumetest.Sparse(t, size)
			mkfs(t, image, options)
			list := volumetest.Guest(t, volumetest.GuestFill, image, "reiserfs", "", 12)
			fs, extents := volumetest.Load(t, image, Open)
			info := fs.Info()
			if blkid := volumetest.Run(t, "blkid", "-p", image); !info.Clean || len(info.Notes) != 0 ||
				!strings.Contains(blkid, info.UUID) || !strings.Contains(blkid, info.Label) {
				t.Errorf("%+v, blkid says %s", info, blkid)
			}
			if used := volume.Bytes(extents); used > size*3/4 {
				t.Errorf("%d bytes are used", used)
			}
			if options == "" {
				volumetest.Record(t, "filled", image, volumetest.Reads(Open))
			}
			restored := volumetest.Restore(t, image, extents)
			volumetest.Run(t, "reiserfsck", "--check", "-y", "-q", restored)
			volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestList, restored, "reiserfs", "", 0))
		})
	}
}

func TestCrash(t *testing.T) {
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	list := volumetest.Guest(t, volumetest.GuestCrash, image, "reiserfs", "", 4)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || volume.Bytes(extents) != size || len(fs.Info().Notes) != 1 {
		t.Errorf("%v %+v", extents, fs.Info())
	}
	volumetest.Same(t, list,
		volumetest.Guest(t, volumetest.GuestList, volumetest.Restore(t, image, extents), "reiserfs", "", 0))
}

func TestRefusals(t *testing.T) {
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	f, _ := volumetest.Open(t, image)
	if _, err := Open(f, size/2); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a short partition: %v", err)
	}
	if _, err := Open(strings.NewReader(strings.Repeat("x", 90000)), 90000); !errors.Is(err, volume.ErrNotThis) {
		t.Errorf("no magic: %v", err)
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// TestContradiction frees the root of the tree in the bitmap, and the journal, and a free block for each is used: the
// count is right.
func TestContradiction(t *testing.T) {
	for want, block := range map[string]func(fs *FS) int64{
		"the root of its tree": func(fs *FS) int64 { return fs.root },
		"its journal":          func(fs *FS) int64 { return fs.journal + 5 },
	} {
		image := volumetest.Sparse(t, 64<<20)
		mkfs(t, image, "")
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
