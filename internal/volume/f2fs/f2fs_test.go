package f2fs

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 112 << 20

func mkfs(t *testing.T, image, options string) {
	t.Helper()
	need.Tools(t, "mkfs.f2fs", "fsck.f2fs", "blkid")
	args := append([]string{"-q", "-f", "-l", "dc-test"}, strings.Fields(options)...)
	volumetest.Run(t, "mkfs.f2fs", append(args, image)...)
}

func TestAgainstF2fsTools(t *testing.T) {
	for _, options := range []string{"", "-O extra_attr,inode_checksum,sb_checksum,compression -i"} {
		t.Run("mkfs.f2fs "+options, func(t *testing.T) {
			t.Parallel()
			image := volumetest.Sparse(t, size)
			mkfs(t, image, options)
			list := volumetest.Guest(t, volumetest.GuestFill, image, "f2fs", "", 12)
			fs, extents := volumetest.Load(t, image, Open)
			info := fs.Info()
			if blkid := volumetest.Run(t, "blkid", "-p", image); !info.Clean || len(info.Notes) != 0 ||
				info.Label != "dc-test" || !strings.Contains(blkid, `"`+info.UUID+`"`) {
				t.Errorf("info is %+v, blkid says %s", info, blkid)
			}
			if options == "" {
				compare(t, image, extents)
				volumetest.Record(t, "filled", image, volumetest.Reads(Open))
			}
			restored := volumetest.Restore(t, image, extents)
			if out := volumetest.Run(t, "fsck.f2fs", "--dry-run", restored); !strings.Contains(out, "[Ok..]") ||
				strings.Contains(out, "[Fail]") {
				t.Errorf("fsck.f2fs: %s", out)
			}
			volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestList, restored, "f2fs", "", 0))
		})
	}
}

func compare(t *testing.T, image string, ours []volume.Extent) {
	need.Tools(t, "partclone.f2fs")
	theirs, _ := volumetest.Partclone(t, "f2fs", image)
	more, less := volumetest.Compare(ours, theirs)
	t.Logf("partclone %d bytes, ours %d: %d only ours, %d only theirs", volume.Bytes(theirs), volume.Bytes(ours), more,
		less)
	if more > 0 || less > 0 {
		t.Errorf("the maps differ by %d and %d bytes", more, less)
	}
}

// TestCrash goes down after an fsync: the files are found by rolling forward only.
func TestCrash(t *testing.T) {
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	list := volumetest.Guest(t, volumetest.GuestCrash, image, "f2fs", "", 4)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || volume.Bytes(extents) != size || len(fs.Info().Notes) != 1 {
		t.Errorf("%v %+v", extents, fs.Info())
	}
	volumetest.Same(t, list,
		volumetest.Guest(t, volumetest.GuestList, volumetest.Restore(t, image, extents), "f2fs", "", 0))
}

func TestLargeBitmap(t *testing.T) {
	image := volumetest.Sparse(t, 4<<40) // its bitmap does not fit into the checkpoint block
	need.Tools(t, "mkfs.f2fs")
	if _, err := volumetest.Try(t, "mkfs.f2fs", "-q", "-f", image); err != nil {
		t.Skipf("this file system does not hold a sparse file of 4 TiB: %v", err)
	}
	fs, extents := volumetest.Load(t, image, Open)
	if fs.payload == 0 || !fs.Info().Clean || volume.Bytes(extents) != fs.Info().Used {
		t.Errorf("payload %d, %+v, %d bytes", fs.payload, fs.Info(), volume.Bytes(extents))
	}
}

func TestRefusals(t *testing.T) {
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	f, _ := volumetest.Open(t, image)
	if _, err := Open(f, size/2); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a short partition: %v", err)
	}
	if _, err := Open(strings.NewReader(strings.Repeat("x", 9000)), 9000); !errors.Is(err, volume.ErrNotThis) {
		t.Errorf("no magic: %v", err)
	}
}

func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	image := volumetest.Sparse(t, 64<<20)
	mkfs(t, image, "")
	volumetest.Record(t, "empty", image, volumetest.Reads(Open))
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) {
	volumetest.FuzzReader(f, func(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, false) })
}
