package nilfs2

import (
	"bytes"
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

func mkfs(t *testing.T, options string) string {
	t.Helper()
	need.Tools(t, "mkfs.nilfs2", "blkid")
	image := volumetest.Sparse(t, size)
	volumetest.Run(t, "mkfs.nilfs2", append(strings.Fields("-q -L dc-test "+options), image)...)
	return image
}

func TestAgainstLinux(t *testing.T) {
	for _, options := range []string{"-B 64", "-B 128 -b 1024"} {
		t.Run("mkfs.nilfs2 "+options, func(t *testing.T) {
			t.Parallel()
			image := mkfs(t, options)
			list := volumetest.Guest(t, volumetest.GuestFill, image, "nilfs2", "", 12)
			fs, extents := volumetest.Load(t, image, Open)
			info := fs.Info()
			if blkid := volumetest.Run(t, "blkid", "-p", image); !info.Clean || len(info.Notes) != 0 ||
				info.Label != "dc-test" || !strings.Contains(blkid, `"`+info.UUID+`"`) {
				t.Errorf("%+v, blkid says %s", info, blkid)
			}
			if used := volume.Bytes(extents); used > size*3/4 || used < 8<<20 {
				t.Errorf("%d bytes are used", used)
			}
			if options == "-B 64" {
				volumetest.Record(t, "filled", image, volumetest.Reads(Open))
			}
			restored := volumetest.Restore(t, image, extents)
			volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestList, restored, "nilfs2", "", 0))
		})
	}
}

func TestCrash(t *testing.T) {
	t.Parallel()
	image := mkfs(t, "-B 64")
	list := volumetest.Guest(t, volumetest.GuestCrash, image, "nilfs2", "", 4)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || volume.Bytes(extents) != size || len(fs.Info().Notes) != 1 {
		t.Errorf("%v %+v", extents, fs.Info())
	}
	volumetest.Same(t, list,
		volumetest.Guest(t, volumetest.GuestList, volumetest.Restore(t, image, extents), "nilfs2", "", 0))
}

func TestRefusals(t *testing.T) {
	image := mkfs(t, "-B 64")
	_, extents := volumetest.Load(t, image, Open)
	if used := volume.Bytes(extents); used > 4<<20 {
		t.Errorf("an empty one has %d bytes", used)
	}
	f, _ := volumetest.Open(t, image)
	if _, err := Open(f, size/2); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a short partition: %v", err)
	}
	p, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	p[superAt+100] ^= 1
	if _, err := Open(bytes.NewReader(p), size); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a damaged superblock: %v", err)
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

// FuzzOpen fixes the superblock's checksum, so that what is behind it is reached.
func FuzzOpen(f *testing.F) {
	volumetest.Fuzz(f, func(t *testing.T, r io.ReaderAt, size int64) {
		if fs, err := Open(r, size); err == nil {
			if extents, err := fs.Extents(); err == nil {
				volumetest.Check(t, extents, size)
			}
		}
		sb := make([]byte, 1024)
		if _, err := r.ReadAt(sb, superAt); err != nil {
			return
		}
		fs := &FS{r: r, size: size, seed: le.Uint32(sb[12:])}
		if size < 3*tailSize || fs.super(sb) != nil {
			return
		}
		extents, err := fs.Extents()
		if err == nil {
			volumetest.Check(t, extents, size)
		}
	})
}
