// Package capture reads a disk into an image: it finds the partition table and the allocated bytes of each file system,
// cuts them into chunks, and stores the chunks that the store does not have yet.
package capture

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/diskcast/diskcast/internal/image"
)

// Levels of compression.
const (
	Fast    = "fast"
	Default = "default"
	Small   = "small"
)

// Options of Capture. The zero value of a field is its default.
type Options struct {
	Store *image.Store // required
	Name  string       // the name that the image gets; empty: none
	// Level is Fast, Default or Small.
	Level string
	// Grid is the size of a cell in bytes, a power of two; 4 MiB by default.
	Grid int64
	// Workers is the number of goroutines that hash and compress; one for each CPU by default.
	Workers int
	// Memory bounds, in bytes, the buffers and encoders; 256 MiB by default.
	Memory int64
	// Parent is the image whose chunks are looked at first when the store has a chunk more than once.
	Parent string
	// Created is written beside the name in the store, not into the image.
	Created  time.Time
	Log      *slog.Logger
	Progress image.Progress
}

// Result is what a capture gave.
type Result struct {
	Digest string        // of the manifest
	Config *image.Config // as stored
	Read   int64         // bytes read from the source
	Stored int64         // bytes that this capture added to the store's data blobs
	Reused int64         // compressed bytes that the store had already
}

// Capture reads the disk src of size bytes into the store. The same disk gives the same digest, whatever the number of workers.
func Capture(ctx context.Context, src io.ReaderAt, size int64, sectorSize int, o Options) (*Result, error) {
	return nil, errors.New("not built yet")
}
