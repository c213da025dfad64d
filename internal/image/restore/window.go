package restore

import (
	"fmt"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/volume"
)

// Window is one run of bytes of a target, as a target of its own: it has no way to write any other byte. Its Close
// leaves the target open.
type Window struct {
	t           Target
	start, size int64
}

var (
	_ Target       = (*Window)(nil)
	_ vectorTarget = (*Window)(nil)
	_ uncached     = (*Window)(nil)
	_ holey        = (*Window)(nil)
)

// NewWindow returns the window of size bytes from start on.
func NewWindow(t Target, start, size int64) (*Window, error) {
	if start < 0 || size <= 0 || start > t.Size() || size > t.Size()-start {
		return nil, fmt.Errorf("%d bytes from %d do not lie on the target of %d bytes", size, start, t.Size())
	}
	return &Window{t: t, start: start, size: size}, nil
}

// inside refuses every access that is not wholly in the window.
func (w *Window) inside(off, n int64) error {
	if off < 0 || n < 0 || off > w.size || n > w.size-off {
		return fmt.Errorf("bytes %d+%d lie beyond the %d bytes that may be touched", off, n, w.size)
	}
	return nil
}

// Size is that of the window.
func (w *Window) Size() int64 { return w.size }

// SectorSize is the target's.
func (w *Window) SectorSize() int { return w.t.SectorSize() }

// ReadAt implements Target.
func (w *Window) ReadAt(p []byte, off int64) (int, error) {
	if err := w.inside(off, int64(len(p))); err != nil {
		return 0, err
	}
	return w.t.ReadAt(p, w.start+off)
}

// WriteAt implements Target.
func (w *Window) WriteAt(p []byte, off int64) (int, error) {
	if err := w.inside(off, int64(len(p))); err != nil {
		return 0, err
	}
	return w.t.WriteAt(p, w.start+off)
}

// WritevAt writes bufs one after another at off.
func (w *Window) WritevAt(bufs [][]byte, off int64) error {
	var n int64
	for _, b := range bufs {
		n += int64(len(b))
	}
	if err := w.inside(off, n); err != nil {
		return err
	}
	return writeAll(w.t, bufs, w.start+off)
}

// Inline is as the target has it.
func (w *Window) Inline() bool {
	v, ok := w.t.(vectorTarget)
	return ok && v.Inline()
}

// Zero implements Target.
func (w *Window) Zero(off, n int64) error {
	if err := w.inside(off, n); err != nil {
		return err
	}
	return w.t.Zero(w.start+off, n)
}

// Sync flushes the target.
func (w *Window) Sync() error { return w.t.Sync() }

// Close does nothing: the target is somebody else's.
func (w *Window) Close() error { return nil }

func (w *Window) dropCache() {
	if u, ok := w.t.(uncached); ok {
		u.dropCache()
	}
}

// Holes are those of the target that lie in the window.
func (w *Window) Holes() []image.Extent {
	h, ok := w.t.(holey)
	if !ok {
		return nil
	}
	var out []image.Extent
	for _, e := range h.Holes() {
		from, to := max(e.Offset, w.start), min(e.End(), w.start+w.size)
		if from < to {
			out = append(out, volume.Extent{Offset: from - w.start, Length: to - from})
		}
	}
	return out
}
