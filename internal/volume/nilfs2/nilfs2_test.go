package nilfs2

import (
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func TestEmpty(t *testing.T) {
	image := volumetest.Mkfs(t, "nilfs2", 128<<20, "-B 64")
	_, extents := volumetest.Load(t, image, Open)
	if used := volume.Bytes(extents); used > 4<<20 {
		t.Errorf("an empty one has %d bytes", used)
	}
}

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
