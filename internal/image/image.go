// Package image is the image format of diskcast: what a captured disk looks like at rest.
//
// An image is an OCI artifact in an OCI image layout directory (a [Store]): a manifest names a config blob
// ([Config]: the disk, its partition table and file systems), an index blob ([Index]: which bytes of the disk are
// in which frame) and data blobs. A data blob is independent zstd frames one after another, so `zstd -dc` reads it.
//
// The disk is cut on a fixed grid of cells, 4 MiB each unless the image says otherwise. A chunk is the allocated bytes
// of one cell; the bytes of its stored extents, one after another, are what its frame decodes to and what the frame's
// BLAKE3-256 sum is of. Runs of zeros are recorded and not stored. What lies outside every chunk is not in the image.
//
// The object of an image is its distinct frames one after another in index order. It exists nowhere as a file:
// [Image.Object] reads it out of the data blobs. It is what a cast sends and what a restore takes in, in any order.
//
// docs/image-format.md is the specification.
package image

import "github.com/diskcast/diskcast/internal/volume"

// Extent is a run of bytes of the disk; in an index its Length is never 0.
type Extent = volume.Extent

// Limits of the grid, in bytes.
const (
	MinGrid     = 64 << 10
	DefaultGrid = 4 << 20
	MaxGrid     = 64 << 20
)

// Index says where on the disk the bytes of each frame belong.
type Index struct {
	DiskSize int64   // bytes of the source disk
	Grid     int64   // bytes of a cell, a power of two
	Frames   []Frame // in the order of the object
	Chunks   []Chunk // in the order of the disk, at most one for each cell
	Blobs    int     // number of data blobs that the frames lie in

	least  int64 // bytes that the blob of what was added has at the least
	visits int   // chunk records that were parsed one by one, not as one of a row
}

// GridFor is the size of a cell for a disk of so many bytes: DefaultGrid up to 8 TiB, then as much more as keeps the
// number of cells at 2^21, so that the index stays within MaxIndex and the memory of a node.
func GridFor(disk int64) int64 {
	grid := int64(DefaultGrid)
	for grid < MaxGrid && disk>>21 > grid {
		grid *= 2
	}
	return grid
}

// Frame is one stored zstd frame. Several chunks with the same bytes share one.
type Frame struct {
	Object int64    // offset in the object
	Length int64    // bytes as stored
	Size   int64    // bytes decoded, at most the grid
	Sum    [32]byte // BLAKE3-256 of the decoded bytes
	CRC    uint32   // CRC-32C of the stored bytes
	Chunks []int32  // the chunks made of this frame, at least one, ascending
	Blob   int      // data blob, an index into the manifest's layers after the index layer
	Offset int64    // offset in the blob
}

// Chunk is the allocated bytes of one cell of the grid.
type Chunk struct {
	Cell    int64    // the cell begins at byte Cell*Grid of the disk
	Frame   int32    // index of the frame, -1 when the chunk is only zeros
	Extents []Extent // the stored bytes, in the order of the disk and of the frame
	Zeros   []Extent // allocated and zero: not stored, but the target must read as zero there
}

// ObjectSize is the length of the object in bytes.
func (x *Index) ObjectSize() int64 {
	if len(x.Frames) == 0 {
		return 0
	}
	f := &x.Frames[len(x.Frames)-1]
	return f.Object + f.Length
}

// Progress is told how many bytes of how many are done. It is called from one goroutine at a time. A nil Progress is
// never called.
type Progress func(done, total int64)
