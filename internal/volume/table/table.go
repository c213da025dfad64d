// Package table reads and writes partition tables: GPT and MBR ("dos"), on disks of 512- and 4096-byte sectors.
package table

import (
	"errors"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

// ReadWriterAt is what Write needs of a disk: it reads nothing but what it is going to overwrite in part.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Piece is a run of bytes that belongs to the partition table of one disk.
type Piece struct {
	Offset int64
	Data   []byte
}

// Read returns the partition table of a disk of size bytes. A disk without one, or with one that this package does not
// understand, gives a Table of Kind "none" whose Notes say why; it is then captured as one partition.
// An error means that the disk cannot be read.
func Read(r io.ReaderAt, size int64, sectorSize int) (*volume.Table, error) {
	return nil, errors.ErrUnsupported
}

// Layout returns the bytes that Write puts on a disk of targetSize bytes with sectors of targetSectorSize. Whatever can
// make Write fail, apart from the disk, makes Layout fail: a partition beyond the end, one that the sector size cannot
// address. All pieces lie outside the partitions and outside t.Regions.
func Layout(t *volume.Table, targetSize int64, targetSectorSize int) ([]Piece, error) {
	return nil, errors.ErrUnsupported
}

// Write makes t on w, a disk of targetSize bytes with sectors of targetSectorSize.
func Write(w ReadWriterAt, t *volume.Table, targetSize int64, targetSectorSize int) error {
	return errors.ErrUnsupported
}
