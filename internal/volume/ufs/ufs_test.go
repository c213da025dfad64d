package ufs

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// mkfs makes a UFS with makefs from a filled tree. Linux writes no UFS, so nothing is deleted in it; it has free space
// in every group all the same.
func mkfs(t *testing.T, options, order string) (image, tree string) {
	t.Helper()
	need.Tools(t, "makefs", "blkid")
	tree, image = t.TempDir(), filepath.Join(t.TempDir(), "disk.img")
	volumetest.Fill(t, tree, 16)
	_ = os.Remove(filepath.Join(tree, "long-soft"))
	volumetest.Run(t, "makefs", "-t", "ffs", "-B", order, "-s", "64m", "-o", options, image, tree)
	return image, tree
}

func TestAgainstMakefs(t *testing.T) {
	for _, c := range []struct{ name, options, order, mount string }{
		{"UFS1", "version=1", "le", "ufstype=44bsd"},
		{"UFS2", "version=2", "le", ""},
		{"UFS1 big endian", "version=1,bsize=8192,fsize=1024", "be", "ufstype=44bsd"},
		{"UFS2 large blocks", "version=2,bsize=32768,fsize=4096", "le", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			image, tree := mkfs(t, c.options, c.order)
			fs, extents := volumetest.Load(t, image, Open)
			info := fs.Info()
			if blkid := volumetest.Run(t, "blkid", "-p", image); !info.Clean || len(info.Notes) != 0 ||
				!strings.Contains(blkid, `"ufs"`) || !strings.Contains(blkid, info.UUID) {
				t.Errorf("%+v, blkid says %s", info, blkid)
			}
			if used := volume.Bytes(extents); used < info.Used || used > info.Used+1<<20 || used > 48<<20 {
				t.Errorf("%d bytes are used, the superblock counts %d", used, info.Used)
			}
			if strings.HasPrefix(c.name, "UFS1 ") || c.name == "UFS2" {
				volumetest.Record(t, strings.ToLower(strings.ReplaceAll(c.name, " ", "-")), image,
					volumetest.Reads(Open))
			}
			restored := volumetest.Restore(t, image, extents)
			contains(t, restored, tree)
			if c.mount == "" {
				return // makefs puts the superblock of UFS2 where Linux does not look for it
			}
			mount := c.mount
			list := volumetest.Guest(t, volumetest.GuestReadOnly, image, "ufs", mount, 0)
			if strings.Count(list, "\n") < 170 {
				t.Errorf("the guest sees %d lines", strings.Count(list, "\n"))
			}
			volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestReadOnly, restored, "ufs", mount, 0))
		})
	}
}

// contains checks that every sector of every file in tree is somewhere in the image.
func contains(t *testing.T, image, tree string) {
	t.Helper()
	p, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const sector = 512
	have := map[[sha256.Size]byte]bool{}
	for ; len(p) >= sector; p = p[sector:] {
		have[sha256.Sum256(p[:sector])] = true
	}
	err = filepath.WalkDir(tree, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "sparse" {
			return err
		}
		p, err := os.ReadFile(path)
		for ; len(p) >= sector; p = p[sector:] {
			if !have[sha256.Sum256(p[:sector])] {
				t.Fatalf("%s is not in the restored image", path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDirtyIsCapturedWhole(t *testing.T) {
	image, _ := mkfs(t, "version=2", "le")
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0}, 8<<10+209); err != nil {
		t.Fatal(err)
	}
	_, size := volumetest.Open(t, image)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || volume.Bytes(extents) != size || len(fs.Info().Notes) != 1 {
		t.Errorf("%+v", fs.Info())
	}
	if _, err := Open(f, size/2); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a short partition: %v", err)
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// TestContradiction has a group that counts a free block too few; and one whose bitmap calls a block of inodes free,
// and another block used for it: the counts are right.
func TestContradiction(t *testing.T) {
	image, _ := mkfs(t, "version=2", "le")
	fs, _ := volumetest.Load(t, image, Open)
	header := (fs.perGroup + fs.header) * fs.fragment // of group 1
	volumetest.Poke(t, image, header, func(p []byte) { fs.order.PutUint32(p[28:], fs.order.Uint32(p[28:])-1) })
	volumetest.Refuses(t, image, Open, "free fragments, and its header counts")

	image, _ = mkfs(t, "version=2", "le")
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
