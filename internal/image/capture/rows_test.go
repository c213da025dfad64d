package capture_test

import (
	"context"
	"io"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/volume"
)

// nothing is a disk of holes. It counts what is read of it.
type nothing struct {
	size int64
	read int64
}

func (n *nothing) ReadAt(p []byte, off int64) (int, error) {
	if off >= n.size {
		return 0, io.EOF
	}
	clear(p)
	n.read += int64(len(p))
	return len(p), nil
}

func (n *nothing) Allocated() []volume.Extent { return nil }

// counting is a sink that counts how often it is called.
type counting struct{ chunks, rows, cells int64 }

func (c *counting) Has([32]byte, int64) bool { return false }

func (c *counting) Add(image.ChunkData) error {
	c.chunks++
	return nil
}

func (c *counting) AddZeros(_, n int64) error {
	c.rows++
	c.cells += n
	return nil
}

// TestEmptyDiskIsOneRow holds what an empty disk costs by counting: its cells go to the store in one step, whatever its
// size, and they are not read.
func TestEmptyDiskIsOneRow(t *testing.T) {
	for _, size := range []int64{100 << 30, 8 << 40} {
		src, sink := &nothing{size: size}, &counting{}
		d, err := capture.Survey(src, size, 512)
		if err != nil {
			t.Fatal(err)
		}
		surveyed := src.read
		var res capture.Result
		if err := capture.Chunks(context.Background(), src, d, sink, capture.Options{}, &res); err != nil {
			t.Fatal(err)
		}
		if sink.chunks != 0 || sink.rows != 1 || sink.cells != size/image.GridFor(size) || src.read != surveyed ||
			res.Holes != size || res.Zeros != size {
			t.Errorf("%d bytes: %d chunks and %d rows of %d cells, %d bytes read, %+v", size, sink.chunks, sink.rows,
				sink.cells, src.read-surveyed, res)
		}
	}
}
