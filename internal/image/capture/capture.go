// Package capture reads a disk into an image: it finds the partition table and the allocated bytes of each file system,
// cuts them into chunks, and stores the chunks that the store does not have yet.
//
// One goroutine reads the disk from its start to its end, workers find zeros, hash and compress, and one goroutine
// hands the chunks on in the order of the disk. So the image does not depend on the number of workers, and the disk
// sees long sequential reads. Memory is bounded by the number of cells under way.
package capture

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/partition"
)

// Levels of compression.
const (
	Fast    = image.Fast
	Default = image.Default
	Small   = image.Small
)

// Sink takes the chunks of a capture. *image.Builder is the one that stores them here.
type Sink interface {
	// Has reports whether the bytes with this sum and length need not be compressed. It is called from several
	// goroutines.
	Has(sum [32]byte, size int64) bool
	// Add takes the next chunk in the order of the disk; it keeps the extents and no other slice. image.ErrNeedStored
	// asks for the chunk again with its stored bytes.
	Add(image.ChunkData) error
	// AddZeros takes n whole cells of zeros in a row, from cell first on.
	AddZeros(first, n int64) error
}

// Options of Capture. The zero value of a field is its default.
type Options struct {
	Store *image.Store // required by Capture
	Name  string       // the name that the image gets; empty: none
	// Level is Fast, Default or Small.
	Level string
	// Grid is the size of a cell in bytes, a power of two; image.GridFor the disk by default.
	Grid int64
	// Workers is the number of goroutines that hash and compress; one for each CPU by default.
	Workers int
	// Memory bounds, in bytes, the buffers and encoders; 224 MiB by default. Fewer workers run when it does not suffice
	// for all.
	Memory int64
	// Parent is the image whose frames are preferred where the store has one more than once.
	Parent string
	// Without are damaged blobs of the store: their frames are stored anew.
	Without []string
	// Survey are the options of Survey.
	Survey []SurveyOption
	// Partition is the only one that is captured; nil: the whole disk.
	Partition *partition.By
	// Created is written beside the name in the store, not into the image.
	Created time.Time
	// Notes are annotations beside the name in the store, not in the image.
	Notes map[string]string
	// Users says who uses the disk while it is read, in words; it becomes a note of the image (see LiveNote).
	Users []string
	// Check, when it is not nil, is asked when the disk was read and before the image is made; its error ends the
	// capture.
	Check    func() error
	Log      *slog.Logger
	Progress image.Progress // bytes of the disk that are allocated
}

// Result is what a capture gave.
type Result struct {
	Digest string        // of the manifest
	Config *image.Config // as stored
	Read   int64         // allocated bytes that were read
	Holes  int64         // allocated bytes that were not read, because the source says that they are zero
	Zeros  int64         // of Read and Holes, bytes that were elided as zeros
	Added  int64         // compressed bytes that the store did not have
	Object int64         // length of the image's object
}

// Capture reads the disk src of size bytes into the store. What src knows to be zero (see Sparse) is not read. The same
// disk gives the same digest, whatever the number of workers, as long as the store has no other images whose chunks it
// shares.
func Capture(ctx context.Context, src io.ReaderAt, size int64, sectorSize int, o Options) (*Result, error) {
	d, src, err := Look(src, size, sectorSize, o.Partition, o.Survey...)
	if err != nil {
		return nil, err
	}
	return Store(ctx, src, d, o)
}

// Store is Capture of what a survey found. It reads src, which has d.Config.DiskSize bytes.
func Store(ctx context.Context, src io.ReaderAt, d *Disk, o Options) (*Result, error) {
	if o.Store == nil {
		return nil, fmt.Errorf("capture: no store to capture into")
	}
	if o.Name != "" {
		if err := o.Store.NameFree(o.Name); err != nil {
			return nil, err
		}
	}
	size := d.Config.DiskSize
	o.defaults(size)
	o.Log.Info("partition table", "kind", d.Table.Kind, "notes", d.Table.Notes)
	for _, p := range d.Config.Partitions {
		o.Log.Info("partition", "number", p.Number, "start", p.Start, "size", p.Size, "fs", p.FS, "used", p.Used,
			"allocated", p.Allocated, "notes", p.Notes)
	}
	if len(o.Users) > 0 {
		d.Table.Notes = append(d.Table.Notes, LiveNote(o.Users))
	}
	b, err := o.Store.NewBuilder(image.BuilderOptions{DiskSize: size, Grid: o.Grid, Parent: o.Parent,
		Without: o.Without})
	if err != nil {
		return nil, err
	}
	defer b.Abort()
	b.Expect(countCells(d.Extents, o.Grid))
	res := &Result{Config: d.Config}
	if err := Chunks(ctx, src, d, b, o, res); err != nil {
		return nil, err
	}
	if o.Check != nil {
		if err := o.Check(); err != nil {
			return nil, err
		}
	}
	res.Added, res.Object = b.Added(), b.ObjectSize()
	d.Config.Level = o.Level
	res.Digest, err = b.Commit(d.Config, o.Name, o.Created, o.Notes)
	if err != nil {
		return nil, fmt.Errorf("storing the image: %w", err)
	}
	return res, nil
}

// LiveNote tells the operator what an image of a disk in use is.
func LiveNote(users []string) string {
	return "The disk was in use while it was copied (" + strings.Join(users, "; ") +
		"): a file system that was written then is as after a pulled plug, " +
		"but of many different moments, so it may be damaged beyond what a check can mend."
}

func (o *Options) defaults(disk int64) {
	if o.Level == "" {
		o.Level = Default
	}
	if o.Grid == 0 {
		o.Grid = image.GridFor(disk)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Memory <= 0 {
		o.Memory = 224 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Disk is what a survey found.
type Disk struct {
	Config  *image.Config   // without what only the chunks tell
	Extents []volume.Extent // allocated bytes of the disk, in order, the table's own left out; some touch each other
	Table   *volume.Table
	Bad     []volume.Extent // bytes that the file systems call bad: who cannot read these loses nothing
}
