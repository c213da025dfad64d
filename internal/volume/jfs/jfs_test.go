package jfs

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
	need.Tools(t, "mkfs.jfs", "fsck.jfs", "blkid")
	args := append([]string{"-q", "-L", "dc-test"}, strings.Fields(options)...)
	volumetest.Run(t, "mkfs.jfs", append(args, image)...)
}

func TestAgainstLinux(t *testing.T) {
	for _, options := range []string{"", "-O"} {
		t.Run("mkfs.jfs "+options, func(t *testing.T) {
			t.Parallel()
			image := volumetest.Sparse(t, size)
			mkfs(t, image, options)
			list := volumetest.Guest(t, volumetest.GuestFill, image, "jfs", "", 12)
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
			volumetest.Run(t, "fsck.jfs", "-n", "-f", restored)
			volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestList, restored, "jfs", "", 0))
		})
	}
}

func TestCrash(t *testing.T) {
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	list := volumetest.Guest(t, volumetest.GuestCrash, image, "jfs", "", 4)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || volume.Bytes(extents) != size || len(fs.Info().Notes) != 1 {
		t.Errorf("%v %+v", extents, fs.Info())
	}
	restored := volumetest.Restore(t, image, extents)
	// replays the log; it reports what it changed by its exit status
	_, _ = volumetest.Try(t, "fsck.jfs", "-a", restored)
	volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestList, restored, "jfs", "", 0))
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

// TestContradiction has a page that counts a block too few, and the next one a block too many: the sum is right.
func TestContradiction(t *testing.T) {
	image := volumetest.Sparse(t, 96<<20)
	mkfs(t, image, "")
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
