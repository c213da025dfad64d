package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// tmpfs is a file system in memory that all programs read the object from and write it to.
type tmpfs struct{ dir string }

// newTmpfs mounts one, of huge pages if asked for. In small ones a write costs mostly the kernel's handling of each
// page, which is the same for every program and, for a fast one, most of what a receiver does.
func newTmpfs(huge bool) (*tmpfs, error) {
	dir, err := os.MkdirTemp("", "dc-cast-bench-")
	if err != nil {
		return nil, err
	}
	options := "mode=0700,huge=never"
	if huge {
		options = "mode=0700,huge=always"
	}
	if err := unix.Mount("diskcast-bench", dir, "tmpfs", 0, options); err != nil {
		return nil, errors.Join(fmt.Errorf("mounting a tmpfs with %s on %s: %w (it takes root, and huge pages take a "+
			"kernel with transparent huge pages)", options, dir, err),
			os.Remove(dir))
	}
	return &tmpfs{dir}, nil
}

func (t *tmpfs) close() error {
	if err := unix.Unmount(t.dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting %s: %w", t.dir, err)
	}
	return os.Remove(t.dir)
}

// settle sees to n bytes of free memory that cost the same as any other. A guest tells its hypervisor which large pages
// it has left free, 2 s after it freed the first (Linux, free page reporting), and the first writing to a page that was
// taken back costs seven times as much: 1.7 s instead of 0.24 for 512 MiB. So the memory is taken, what was free before
// is reported meanwhile, and then it is given back, for the next program to write to.
func (t *tmpfs) settle(ctx context.Context, n int64) error {
	name := filepath.Join(t.dir, "settle")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer os.Remove(name)
	defer f.Close()
	for buf := make([]byte, 1<<20); n > 0; n -= int64(len(buf)) {
		if _, err := f.Write(buf); err != nil {
			return err
		}
	}
	select {
	case <-ctx.Done():
	case <-time.After(reporting):
	}
	return ctx.Err()
}

const reporting = 2500 * time.Millisecond
