package xfs

import (
	"bytes"
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func reader(p []byte) io.ReaderAt { return bytes.NewReader(p) }

func FuzzOpen(f *testing.F) {
	volumetest.FuzzReader(f, func(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, false) })
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }
