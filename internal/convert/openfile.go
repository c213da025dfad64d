package convert

import (
	"context"
	"fmt"
	"os"
)

// OpenFile is OpenContext of a file that has no name any more; name is what errors call it. The file stays open until
// the caller closes it, which it does after the disk.
func OpenFile(ctx context.Context, f *os.File, name string, o Options) (Disk, error) {
	if o.MaxSize <= 0 {
		o.MaxSize = DefaultMaxSize
	}
	// A piece of a split file is told by its name, and this one has none: it stands alone.
	d, err := open(ctx, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if d.Size() > o.MaxSize {
		d.Close()
		return nil, fmt.Errorf("%s: its disk has %d bytes, more than the limit of %d", name, d.Size(), o.MaxSize)
	}
	return d, nil
}
