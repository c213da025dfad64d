package image

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"
)

// chunkWriter makes the chunk records of an index, and the sum of the content, as the chunks come. It keeps no chunk:
// of a large disk there are millions, and a row of cells that are all zero costs no more than its records.
type chunkWriter struct {
	disk, grid    int64
	cell          int64 // of the last chunk, -1 before the first
	chunks        int
	stored, zeros int64 // bytes of the disk
	records       []byte
	content       *contentSum
}

func newChunkWriter(disk, grid int64) chunkWriter {
	return chunkWriter{disk: disk, grid: grid, cell: -1, content: newContentSum(disk, grid)}
}

// add takes the next chunk. sum is that of its frame.
func (w *chunkWriter) add(c *Chunk, sum [32]byte) {
	w.records = appendChunk(w.records, c, w.cell, w.grid)
	w.content.add(c, sum)
	for _, e := range c.Extents {
		w.stored += e.Length
	}
	for _, e := range c.Zeros {
		w.zeros += e.Length
	}
	w.cell = c.Cell
	w.chunks++
}

// addZeros takes n whole cells of zeros in a row.
func (w *chunkWriter) addZeros(first, n int64) {
	record := zeroRecord(w.grid)
	w.records = binary.AppendUvarint(w.records, uint64(first-w.cell-1))
	w.records = append(w.records, record[1:]...)
	from, want := len(w.records), int(n-1)*len(record)
	if want > 0 {
		w.records = append(w.records, record...)
	}
	for have := len(w.records) - from; have < want; have = len(w.records) - from {
		w.records = append(w.records, w.records[from:from+min(have, want-have)]...)
	}
	w.content.addZeros(first, n, w.grid)
	w.zeros += n * w.grid
	w.cell = first + n - 1
	w.chunks += int(n)
}

// next says why a row of n cells from first on cannot come next.
func (w *chunkWriter) next(first, n int64) error {
	if first <= w.cell {
		return fmt.Errorf("cell %d after cell %d", first, w.cell)
	}
	if whole := w.disk / w.grid; n < 1 || n > whole-first {
		return fmt.Errorf("%d whole cells from cell %d on, of a disk of %d", n, first, whole)
	}
	return nil
}

// zeroRecord is the chunk record of a whole cell of zeros that follows the cell of the chunk before it: distance 0, no
// frame, one run that begins at 0 and is as long as the cell. It is 7 or 8 bytes.
func zeroRecord(grid int64) []byte {
	return binary.AppendUvarint([]byte{0, 0, 1, 0}, uint64(grid)<<1|1)
}

// appendChunk writes the record of a chunk; last is the cell of the chunk before it.
func appendChunk(b []byte, c *Chunk, last, grid int64) []byte {
	b = binary.AppendUvarint(b, uint64(c.Cell-last-1))
	b = binary.AppendUvarint(b, uint64(c.Frame+1))
	return appendRuns(b, c, c.Cell*grid)
}

// appendRuns writes the stored and zero extents of a chunk in the order of the disk.
func appendRuns(b []byte, c *Chunk, at int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(c.Extents)+len(c.Zeros)))
	e, z := c.Extents, c.Zeros
	for len(e)+len(z) > 0 {
		var run Extent
		var zero uint64
		if len(z) == 0 || len(e) > 0 && e[0].Offset < z[0].Offset {
			run, e = e[0], e[1:]
		} else {
			run, z, zero = z[0], z[1:], 1
		}
		b = binary.AppendUvarint(b, uint64(run.Offset-at))
		b = binary.AppendUvarint(b, uint64(run.Length)<<1|zero)
		at = run.End()
	}
	return b
}

// contentSum is BLAKE3-256 of what the disk holds, wherever and however the frames are stored.
type contentSum struct {
	h    *blake3.Hasher
	grid int64
	buf  []byte
}

// contentBuf is how many bytes are hashed at once.
const contentBuf = 16 << 10

func newContentSum(disk, grid int64) *contentSum {
	s := &contentSum{h: blake3.New(), grid: grid, buf: make([]byte, 0, contentBuf+4<<10)}
	s.buf = append(s.buf, "diskcast content 1\n"...)
	s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(disk))
	s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(grid))
	return s
}

// add takes the next chunk. sum is that of its frame, zeros without one.
func (s *contentSum) add(c *Chunk, sum [32]byte) {
	s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(c.Cell))
	s.buf = append(s.buf, sum[:]...)
	if s.buf = appendRuns(s.buf, c, c.Cell*s.grid); len(s.buf) >= contentBuf {
		s.put()
	}
}

// addZeros takes n whole cells of zeros in a row.
func (s *contentSum) addZeros(first, n, grid int64) {
	var tail [32 + 8]byte
	rest := append(tail[:32], zeroRecord(grid)[2:]...) // no frame's sum, and the runs as the record has them
	for cell := first; cell < first+n; cell++ {
		s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(cell))
		if s.buf = append(s.buf, rest...); len(s.buf) >= contentBuf {
			s.put()
		}
	}
}

func (s *contentSum) put() {
	_, _ = s.h.Write(s.buf)
	s.buf = s.buf[:0]
}

func (s *contentSum) sum() [32]byte {
	s.put()
	return [32]byte(s.h.Sum(nil))
}
