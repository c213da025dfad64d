package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// MaxIndex bounds, in bytes, an index blob. It is the one limit of all who write, store, send or take one: builder,
// store, registry, server and node. It is room for 2^22 chunks of 60 bytes; GridFor keeps a disk at half of that.
const MaxIndex = 256 << 20

// maxDisk bounds the size of a disk so that no sum of offsets can overflow.
const maxDisk = 1 << 60

const (
	indexMagic   = "DCIMGIDX"
	indexVersion = 1
	indexHeader  = 48
	frameFixed   = 36 // sum and CRC of a frame record
	frameLeast   = frameFixed + 4
)

// maxStored is the largest length that a frame of size decoded bytes may be stored in. zstd's own bound is lower;
// a frame longer than this was not made by compressing.
func maxStored(size int64) int64 { return size + size>>7 + 512 }

// AppendBinary appends the index blob to b.
func (x *Index) AppendBinary(b []byte) ([]byte, error) {
	b, err := x.appendHead(b, len(x.Chunks))
	if err != nil {
		return nil, err
	}
	cell := int64(-1)
	for i := range x.Chunks {
		b = appendChunk(b, &x.Chunks[i], cell, x.Grid)
		cell = x.Chunks[i].Cell
	}
	if len(b) > MaxIndex {
		return nil, x.tooLarge()
	}
	return b, nil
}

// appendHead appends what comes before the records of so many chunks: the header and the frames.
func (x *Index) appendHead(b []byte, chunks int) ([]byte, error) {
	if err := CheckGrid(x.Grid); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	b = append(b, indexMagic...)
	b = le.AppendUint32(b, indexVersion)
	b = le.AppendUint32(b, uint32(bits.TrailingZeros64(uint64(x.Grid))))
	b = le.AppendUint64(b, uint64(x.DiskSize))
	b = le.AppendUint32(b, uint32(x.Blobs))
	b = le.AppendUint32(b, uint32(len(x.Frames)))
	b = le.AppendUint32(b, uint32(chunks))
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(x.ObjectSize()))
	next := make([]int64, x.Blobs) // where the next frame of each blob is expected
	for i := range x.Frames {
		f := &x.Frames[i]
		b = append(b, f.Sum[:]...)
		b = le.AppendUint32(b, f.CRC)
		b = binary.AppendUvarint(b, uint64(f.Blob))
		b = binary.AppendVarint(b, f.Offset-next[f.Blob])
		b = binary.AppendUvarint(b, uint64(f.Length))
		b = binary.AppendUvarint(b, uint64(f.Size))
		next[f.Blob] = f.Offset + f.Length
	}
	return b, nil
}

// AddFrame appends a frame and returns its number.
func (x *Index) AddFrame(f Frame) int32 {
	x.least += frameLeast
	x.Frames = append(x.Frames, f)
	return int32(len(x.Frames) - 1)
}

// AddChunk appends a chunk. It fails as soon as the index cannot become small enough any more, not when the whole disk
// was read.
func (x *Index) AddChunk(c Chunk) error {
	if x.least += 3 + 2*int64(len(c.Extents)+len(c.Zeros)); x.least > MaxIndex {
		return x.tooLarge()
	}
	x.Chunks = append(x.Chunks, c)
	return nil
}

// tooLarge tells the way out: fewer frames, or, where they cannot be fewer, fewer runs.
func (x *Index) tooLarge() error {
	way := fmt.Sprintf("capture the disk with a larger grid (--grid %dK)", 2*x.Grid>>10)
	if x.Grid >= MaxGrid {
		way = "the disk is too large or its data too scattered for one image; capture its partitions one by one"
	}
	return fmt.Errorf("the index of the image would have more than the %d MiB that stores and nodes take: %s",
		MaxIndex>>20, way)
}

// Content is BLAKE3-256 of what the disk holds, wherever and however the frames are stored.
func (x *Index) Content() [32]byte {
	s := newContentSum(x.DiskSize, x.Grid)
	for i := range x.Chunks {
		c := &x.Chunks[i]
		var sum [32]byte
		if c.Frame >= 0 {
			sum = x.Frames[c.Frame].Sum
		}
		s.add(c, sum)
	}
	return s.sum()
}

// CheckGrid says why no image can have cells of so many bytes.
func CheckGrid(grid int64) error {
	if grid < MinGrid || grid > MaxGrid || grid&(grid-1) != 0 {
		return fmt.Errorf("a grid of %d bytes is not a power of two from %d to %d", grid, MinGrid, MaxGrid)
	}
	return nil
}

// cursor reads an index blob. After the first error every read gives zero.
type cursor struct {
	b      []byte
	off    int
	err    error
	visits int // of chunk records
}

var errShort = errors.New("it ends in the middle of a record")

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *cursor) left() int { return len(c.b) - c.off }

// same passes over up to limit records in a row that are all alike, and returns how many those are.
func (c *cursor) same(record []byte, limit int64) (n int64) {
	for n < limit && c.err == nil && bytes.HasPrefix(c.b[c.off:], record) {
		c.off += len(record)
		n++
	}
	return n
}

func (c *cursor) bytes(n int) []byte {
	if c.err != nil || c.left() < n {
		c.fail(errShort)
		return make([]byte, n)
	}
	c.off += n
	return c.b[c.off-n : c.off]
}

// uvarint reads a number in its shortest form.
func (c *cursor) uvarint() uint64 {
	if c.err != nil {
		return 0
	}
	if c.off < len(c.b) && c.b[c.off] < 0x80 { // most are
		c.off++
		return uint64(c.b[c.off-1])
	}
	v, n := binary.Uvarint(c.b[c.off:])
	if n <= 0 {
		c.fail(errShort)
		return 0
	}
	if n > 1 && c.b[c.off+n-1] == 0 {
		c.fail(fmt.Errorf("a number at byte %d is not in its shortest form", c.off))
		return 0
	}
	c.off += n
	return v
}

// number reads a uvarint of at most limit.
func (c *cursor) number(limit int64, what string) int64 {
	v := c.uvarint()
	if c.err == nil && v > uint64(limit) {
		c.fail(fmt.Errorf("%s is %d, more than the %d possible", what, v, limit))
		return 0
	}
	return int64(v)
}
