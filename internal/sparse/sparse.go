// Package sparse is about disk images as files with holes, in which what is zero takes no room: it tells where the
// holes are, and makes and copies such files for tests and benches.
package sparse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// grain is the length of what is found to be zero or not.
const grain = 64 << 10

// Create makes a file of so many zeros.
func Create(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// Copy copies a file or a device into a new file.
func Copy(ctx context.Context, from, to string) error { return Extract(ctx, from, 0, -1, to) }

// Extract copies n bytes at off of a file or a device, such as a partition of a disk, into a new file; with a negative
// n all from there.
func Extract(ctx context.Context, from string, off, n int64, to string) error {
	in, end, err := open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if n < 0 {
		n = end - off
	}
	if off > end || n > end-off {
		return fmt.Errorf("%s has %d bytes, not %d at %d", from, end, n, off)
	}
	if err := Create(to, n); err != nil {
		return err
	}
	return move(ctx, in, off, n, to, 0)
}

// Insert copies a file to a place in another, where that is all zeros, such as a file system to its partition.
func Insert(ctx context.Context, from, to string, at int64) error {
	in, end, err := open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return move(ctx, in, 0, end, to, at)
}

func open(path string) (f *os.File, size int64, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	if size, err = f.Seek(0, io.SeekEnd); err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, size, nil
}

// move writes what is not zero of n bytes at off of in to the file of that name, from at on.
func move(ctx context.Context, in *os.File, off, n int64, to string, at int64) (err error) {
	out, err := os.OpenFile(to, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	buf, zeros := make([]byte, 1<<20), make([]byte, grain)
	for done := int64(0); done < n; {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		// Holes need not be read. Who does not know them (EINVAL) reads them.
		data, err := in.Seek(off+done, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil // from here on there is nothing
		}
		if err == nil && data > off+done {
			done = data - off
			continue
		}
		p := buf[:min(int64(len(buf)), n-done)]
		if _, err := io.ReadFull(io.NewSectionReader(in, off+done, int64(len(p))), p); err != nil {
			return fmt.Errorf("reading %s at %d: %w", in.Name(), off+done, err)
		}
		for len(p) > 0 {
			k := min(len(p), grain)
			if !bytes.Equal(p[:k], zeros[:k]) {
				if _, err := out.WriteAt(p[:k], at+done); err != nil {
					return err
				}
			}
			p, done = p[k:], done+int64(k)
		}
	}
	return nil
}
