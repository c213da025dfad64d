package f2fs

import (
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func TestLargeBitmap(t *testing.T) {
	image := volumetest.Sparse(t, 4<<40) // its bitmap does not fit into the checkpoint block
	need.Tools(t, "mkfs.f2fs")
	volumetest.Run(t, "mkfs.f2fs", "-q", "-f", image)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.payload == 0 || !fs.Info().Clean || volume.Bytes(extents) != fs.Info().Used {
		t.Errorf("payload %d, %+v, %d bytes", fs.payload, fs.Info(), volume.Bytes(extents))
	}
}

func FuzzOpen(f *testing.F) {
	volumetest.FuzzReader(f, func(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, false) })
}
