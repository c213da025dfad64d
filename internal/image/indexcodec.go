package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/zeebo/blake3"
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
)

// maxStored is the largest length that a frame of size decoded bytes may be stored in. zstd's own bound is lower;
// a frame longer than this was not made by compressing.
func maxStored(size int64) int64 { return size + size>>7 + 512 }

// AppendBinary appends the index blob to b.
func (x *Index) AppendBinary(b []byte) ([]byte, error) {
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
	b = le.AppendUint32(b, uint32(len(x.Chunks)))
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
	cell := int64(-1)
	for i := range x.Chunks {
		c := &x.Chunks[i]
		b = binary.AppendUvarint(b, uint64(c.Cell-cell-1))
		b = binary.AppendUvarint(b, uint64(c.Frame+1))
		b = appendRuns(b, c, c.Cell*x.Grid)
		cell = c.Cell
	}
	if len(b) > MaxIndex {
		return nil, x.tooLarge()
	}
	return b, nil
}

// AddFrame appends a frame and returns its number.
func (x *Index) AddFrame(f Frame) int32 {
	x.least += frameFixed + 4
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

// Content is BLAKE3-256 of what the disk holds, wherever and however the frames are stored.
func (x *Index) Content() [32]byte {
	h := blake3.New()
	buf := make([]byte, 0, 20<<10)
	put := func() {
		_, _ = h.Write(buf)
		buf = buf[:0]
	}
	var none [32]byte // the sum of a chunk without a frame
	le := binary.LittleEndian
	buf = append(buf, "diskcast content 1\n"...)
	buf = le.AppendUint64(buf, uint64(x.DiskSize))
	buf = le.AppendUint64(buf, uint64(x.Grid))
	for i := range x.Chunks {
		c := &x.Chunks[i]
		buf = le.AppendUint64(buf, uint64(c.Cell))
		if c.Frame >= 0 {
			buf = append(buf, x.Frames[c.Frame].Sum[:]...)
		} else {
			buf = append(buf, none[:]...)
		}
		if buf = appendRuns(buf, c, c.Cell*x.Grid); len(buf) >= 16<<10 {
			put()
		}
	}
	put()
	return [32]byte(h.Sum(nil))
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
	b   []byte
	off int
	err error
}

var errShort = errors.New("it ends in the middle of a record")

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *cursor) left() int { return len(c.b) - c.off }

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
