package table

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// rereadEvery is how often the kernel is asked.
const rereadEvery = 100 * time.Millisecond

// Reread has the kernel read the partition table of a block device again. The kernel refuses as long as anybody has one
// of the partitions open, and right after a large write somebody does: udev looks into them, or the kernel itself. So
// it is asked again until it does or ctx ends. A device that cannot have partitions is left alone.
func Reread(ctx context.Context, disk *os.File) error {
	return reread(ctx, disk.Name(), rereadEvery,
		func() error { return unix.IoctlSetInt(int(disk.Fd()), unix.BLKRRPART, 0) })
}

func reread(ctx context.Context, name string, every time.Duration, ask func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ask()
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINVAL): // such as a loop device without max_part
			return nil
		case !errors.Is(err, unix.EBUSY):
			return fmt.Errorf("%s: the kernel does not read the partition table again: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: the kernel does not read the partition table again, something holds the disk: %w",
				name, err)
		case <-tick.C:
		}
	}
}
