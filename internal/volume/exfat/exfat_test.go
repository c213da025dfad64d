package exfat

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 128<<20 + 512

func mkfs(t *testing.T, image, options string) {
	t.Helper()
	need.Tools(t, "mkfs.exfat", "fsck.exfat", "blkid")
	args := append([]string{"-L", "dc test ä"}, strings.Fields(options)...)
	volumetest.Run(t, "mkfs.exfat", append(args, image)...)
}

func TestAgainstExfatprogs(t *testing.T) {
	for _, options := range []string{"", "-c 512", "-c 4K", "-c 128K", "-c 1M", "-b 4M"} {
		t.Run("mkfs.exfat "+options, func(t *testing.T) {
			t.Parallel()
			need.Tools(t, "mount.exfat-fuse")
			image := volumetest.Sparse(t, size)
			mkfs(t, image, options)
			device, detach := volumetest.Loop(t, image, 512)
			dir, unmount := volumetest.FUSE(t, device, "mount.exfat-fuse")
			if options == "-c 1M" {
				if err := os.WriteFile(dir+"/file", []byte(strings.Repeat("data", 1<<20)), 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				volumetest.Fill(t, dir, 16)
			}
			list := volumetest.List(t, dir)
			unmount()
			detach()
			fs, extents := volumetest.Load(t, image, Open)
			info := fs.Info()
			if blkid := volumetest.Run(t, "blkid", "-p", image); !info.Clean || len(info.Notes) != 0 ||
				info.Label != "dc test ä" || !strings.Contains(blkid, `"`+info.UUID+`"`) {
				t.Errorf("info is %+v, blkid says %s", info, blkid)
			}
			if strings.Contains(options, "128K") {
				compare(t, image, fs, extents)
			}
			restored := volumetest.Restore(t, image, extents)
			volumetest.Run(t, "fsck.exfat", "-n", restored)
			device, _ = volumetest.Loop(t, restored, 512)
			dir, _ = volumetest.FUSE(t, device, "mount.exfat-fuse", "-o", "ro")
			volumetest.Same(t, list, volumetest.List(t, dir))
		})
	}
}

// compare allows for the sectors behind the last whole cluster, which partclone leaves out.
func compare(t *testing.T, image string, fs *FS, ours []volume.Extent) {
	need.Tools(t, "partclone.exfat")
	theirs, _ := volumetest.Partclone(t, "exfat", image)
	more, less := volumetest.Compare(ours, theirs)
	t.Logf("partclone %d bytes, ours %d: %d only ours, %d only theirs", volume.Bytes(theirs), volume.Bytes(ours), more,
		less)
	if tail := fs.info.Size - fs.heap - fs.clusters*fs.cluster; more > tail || less > 0 {
		t.Errorf("the maps differ by %d and %d bytes", more, less)
	}
}

// TestBadCluster marks clusters bad in the FAT that the bitmap calls free: the first and the last of the heap's free
// ones.
func TestBadCluster(t *testing.T) {
	image := volumetest.Sparse(t, 16<<20)
	mkfs(t, image, "-c 4K")
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

func TestDirtyIsCapturedWhole(t *testing.T) {
	image := volumetest.Sparse(t, 16<<20)
	mkfs(t, image, "")
	f, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{flagDirty}, 106); err != nil {
		t.Fatal(err)
	}
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || volume.Bytes(extents) != 16<<20 || len(fs.Info().Notes) != 1 {
		t.Errorf("%v %+v", extents, fs.Info())
	}
	if _, err := f.WriteAt([]byte{1}, 200); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f, 16<<20); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged boot sector: %v", err)
	}
	if _, err := Open(f, 8<<20); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a short partition: %v", err)
	}
}

func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, options := range map[string]string{"small": "-c 512", "default": "", "large": "-c 128K"} {
		image := volumetest.Sparse(t, 16<<20)
		mkfs(t, image, options)
		volumetest.Record(t, name, image, volumetest.Reads(Open))
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) {
	volumetest.FuzzReader(f, func(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, false) })
}

// TestContradiction frees in the bitmap what the root directory names, which fsck.exfat does not look for.
func TestContradiction(t *testing.T) {
	for bit := range 3 { // the bitmap, the up-case table, the root directory
		image := volumetest.Sparse(t, size)
		mkfs(t, image, "-c 128K")
		fs, _ := volumetest.Load(t, image, Open)
		at, err := fs.offset(fs.bitmaps[0].first)
		if err != nil {
			t.Fatal(err)
		}
		volumetest.Poke(t, image, at, func(p []byte) { p[0] &^= 1 << bit })
		volumetest.Refuses(t, image, Open, "what its root directory names")
	}
}
