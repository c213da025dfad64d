package capture

import (
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

// Sparse is a source that knows which of its bytes read as zero. A capture asks once, before it reads, and records the
// zeros of the rest without reading them: the image is the same as if it had read them. *Source and the disks of
// internal/convert are such sources.
type Sparse interface {
	// Allocated returns the runs that may hold anything but zeros: in order, without overlap, within the source.
	// Whatever is in none of them reads as zero. A source that cannot tell returns all of itself.
	Allocated() []volume.Extent
}

var _ Sparse = (*Source)(nil)

// holesOf lists what of size bytes the source says is zero; nil when it says nothing.
func holesOf(src io.ReaderAt, size int64) []volume.Extent {
	s, ok := src.(Sparse)
	if !ok {
		return nil
	}
	return volume.Invert(volume.Merge(size, s.Allocated()), size)
}

// maxEmpty bounds how many cells that are all hole go to the collector at once.
const maxEmpty = 4096
