package probe

import (
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

// Nearly all signatures lie here; some dozens of places are looked at, of a disk that may be far away or compressed.
const (
	cachedHead = 128 << 10
	cachedTail = 64 << 10
)

// edges reads from memory what lies in the first or the last bytes.
type edges struct {
	io.ReaderAt
	head, tail []byte
	tailAt     int64
}

// cache returns r, with its edges in memory when they can be read.
func cache(r io.ReaderAt, size int64) io.ReaderAt {
	if size < cachedHead+cachedTail {
		return r
	}
	e := &edges{ReaderAt: r, head: make([]byte, cachedHead), tail: make([]byte, cachedTail), tailAt: size - cachedTail}
	if volume.ReadAt(r, size, 0, e.head) != nil || volume.ReadAt(r, size, e.tailAt, e.tail) != nil {
		return r // a bad sector: only who wants it shall fail
	}
	return e
}

func (e *edges) ReadAt(p []byte, off int64) (int, error) {
	n := int64(len(p))
	switch {
	case off >= 0 && off+n <= int64(len(e.head)):
		return copy(p, e.head[off:]), nil
	case off >= e.tailAt && off+n <= e.tailAt+int64(len(e.tail)):
		return copy(p, e.tail[off-e.tailAt:]), nil
	}
	return e.ReaderAt.ReadAt(p, off)
}
