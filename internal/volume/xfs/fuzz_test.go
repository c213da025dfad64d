package xfs

import (
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func FuzzOpen(f *testing.F) {
	volumetest.FuzzReader(f, func(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, false) })
}
