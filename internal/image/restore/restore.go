// Package restore writes an image to a disk.
//
// A [Plan] checks everything that can be refused before the first write. A [Writer] takes the bytes of the image's
// object in any order, in bounded memory: it puts frames together, decodes and hashes them in parallel, and only then
// writes their chunks to their places. A frame whose hash is wrong is asked for again and never reaches the disk.
// [Plan.Present] hashes what is on a disk already, so that a restore that was interrupted, or one of an image that
// differs little, needs only the rest. [Local] does it all from a local store.
package restore

import (
	"io"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/span"
)

// Range is a run of bytes of the object.
type Range = span.Span

// Target is the disk to be written. All methods may be called from several goroutines.
type Target interface {
	io.ReaderAt
	io.WriterAt
	Size() int64
	SectorSize() int
	Zero(off, n int64) error // makes the bytes read as zero
	Sync() error             // returns when all is on the medium
	Close() error
}

// vectorTarget is a Target that writes several buffers to one run of the disk in one call.
type vectorTarget interface {
	WritevAt(bufs [][]byte, off int64) error
	// Inline reports whether short runs of zeros, and short gaps of which the content does not matter, are better
	// written along with the data around them than left to Zero, or left alone.
	Inline() bool
}

// uncached is a Target whose reads can come from memory instead of the medium.
type uncached interface{ dropCache() }

// holey is a Target that knows where it is zero without being read.
type holey interface{ Holes() []image.Extent }

// pageSize is the alignment of buffers, offsets and lengths for direct I/O: at least the page size of the machine. With
// sectors it would work too, but then a direct and a buffered write could meet in one page of the page cache, and the
// later write-back would undo the other.
var pageSize = int64(max(4096, osPageSize()))

// alignedBuffer returns n bytes that begin at a page.
func alignedBuffer(n int64) []byte {
	b := make([]byte, n+pageSize)
	skip := -int64(addr(b)) & (pageSize - 1)
	return b[skip : skip+n : skip+n]
}

var zeroBuffer = alignedBuffer(256 << 10)

func writeAll(t Target, bufs [][]byte, off int64) error {
	if v, ok := t.(vectorTarget); ok && len(bufs) > 1 {
		return v.WritevAt(bufs, off)
	}
	for _, b := range bufs {
		if _, err := t.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// writeZeros is Zero for targets that can do no better.
func writeZeros(w io.WriterAt, off, n int64) error {
	for n > 0 {
		k := min(n, int64(len(zeroBuffer)))
		// Up to the next page, so that all further writes are aligned.
		if r := off & (pageSize - 1); r != 0 {
			k = min(k, pageSize-r)
		}
		if _, err := w.WriteAt(zeroBuffer[:k], off); err != nil {
			return err
		}
		off += k
		n -= k
	}
	return nil
}

func bytesOf(ext []image.Extent) int64 {
	var n int64
	for _, e := range ext {
		n += e.Length
	}
	return n
}
