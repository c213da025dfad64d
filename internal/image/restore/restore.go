// Package restore writes an image to a disk: it checks everything that can be refused before the first write, takes the bytes of the
// image's object in any order, decodes and hashes each frame before it is written, and reads the disk back.
package restore

import (
	"context"
	"errors"
	"io"

	"github.com/diskcast/diskcast/internal/image"
)

var errSoon = errors.New("not built yet")

// Range is a run of bytes of the object.
type Range struct{ Offset, Length int64 }

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

// TargetOptions of OpenTarget.
type TargetOptions struct {
	// Size is the size that a regular file is made or grown to; 0: as it is. It must be 0 or the device's size for a block device.
	Size int64
	// SectorSize of a regular file; 512 by default. A block device knows its own.
	SectorSize int
	// Buffered keeps to the page cache where direct I/O would be used.
	Buffered bool
}

// OpenTarget opens a block device or a file for a restore.
func OpenTarget(path string, o TargetOptions) (Target, error) { return nil, errSoon }

// Plan is a restore that was checked against its target and can no longer be refused.
type Plan struct{}

// PlanOption changes a plan.
type PlanOption func(*Plan)

// Grow gives the last partition the space that a larger target has after it.
func Grow() PlanOption { return func(*Plan) {} }

// NewPlan checks the image against a target of size bytes.
func NewPlan(cfg *image.Config, idx *image.Index, size int64, sectorSize int, o ...PlanOption) (*Plan, error) {
	return nil, errSoon
}

// Warnings are what the operator should know, in words.
func (p *Plan) Warnings() []string { return nil }

// WriteTable writes the partition table and flushes it.
func (p *Plan) WriteTable(t Target) error { return errSoon }

// SameTable reports whether the disk carries already what WriteTable would write.
func (p *Plan) SameTable(t Target) (bool, error) { return false, errSoon }

// Present hashes what is on the disk and returns the ranges of the object that are already in place.
func (p *Plan) Present(ctx context.Context, t Target, progress image.Progress) (have []Range, err error) {
	return nil, errSoon
}

// Verify reads the disk back and checks the table, every chunk and every zero.
func (p *Plan) Verify(ctx context.Context, t Target, progress image.Progress) error { return errSoon }

// WriterOptions of NewWriter. The zero value of a field is its default.
type WriterOptions struct {
	Name    string // of the image, for messages
	Workers int    // goroutines that decode, hash and write
	Memory  int64  // bytes of partial and queued frames, 96 MiB by default
	// Again is called, without any lock held, when object bytes that Block took were dropped: ask for them again.
	Again func(off, n int64)
	// Rejected is told of each frame whose bytes were not what the index says.
	Rejected func(*image.DamageError)
	Have     []Range // of the object: frames that lie wholly within are not needed
}

// Stats of a Writer. Bytes of the disk, unless said otherwise.
type Stats struct {
	Written   int64 // on the target, zeros included
	ToWrite   int64
	Needed    int64 // object bytes
	Received  int64 // object bytes of needed frames that are held or done
	FramesBad int64 // frames whose hash failed, each time
	Evicted   int64 // object bytes dropped for memory
}

// Writer takes the bytes of the object and puts them on the disk.
type Writer struct{}

// NewWriter starts the workers. Close must be called.
func NewWriter(p *Plan, t Target, o WriterOptions) (*Writer, error) { return nil, errSoon }

// Block takes object bytes, in any order, from any goroutine. It copies p. It blocks while the workers are behind.
func (w *Writer) Block(off int64, p []byte) error { return errSoon }

// Done is closed when every needed chunk is on the target.
func (w *Writer) Done() <-chan struct{} { return nil }

// Failed is closed when the restore cannot go on; Err says why.
func (w *Writer) Failed() <-chan struct{} { return nil }

// Err is the first error, nil while there is none.
func (w *Writer) Err() error { return errSoon }

// Stats may be called at any time.
func (w *Writer) Stats() Stats { return Stats{} }

// Close waits for what was taken in, writes the zero extents, flushes, and returns the first error. Object bytes that never came are an error.
func (w *Writer) Close() error { return errSoon }

// LocalOptions of Local.
type LocalOptions struct {
	Workers  int
	Delta    bool // hash the target first and write only what differs
	Verify   bool // read back
	Progress image.Progress
	Plan     []PlanOption
}

// Local restores an image of a local store.
func Local(ctx context.Context, im *image.Image, t Target, o LocalOptions) (Stats, error) {
	return Stats{}, errSoon
}
