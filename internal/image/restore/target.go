package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/inuse"
	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// TargetOptions of OpenTarget.
type TargetOptions struct {
	// Size is the size that a regular file is made or grown to; 0: as it is. A block device has its own.
	Size int64
	// SectorSize of a regular file; 512 by default. A block device has its own.
	SectorSize int
	// Direct writes a regular file past the page cache, as a block device always is unless Buffered is set.
	Direct bool
	// Buffered keeps to the page cache where direct I/O would be used.
	Buffered bool
}

// OpenTarget opens a block device or a file for a restore. It fails when the device or file is in use: mounted, also by
// way of a loop device, or open for writing in another process.
func OpenTarget(path string, o TargetOptions) (Target, error) {
	st, err := os.Stat(path)
	var t *fileTarget
	switch {
	case err == nil && st.Mode()&os.ModeDevice != 0 && st.Mode()&os.ModeCharDevice == 0:
		t, err = openDevice(path)
	case err != nil && !os.IsNotExist(err):
		return nil, fmt.Errorf("target: %w", err)
	case err == nil && !st.Mode().IsRegular():
		return nil, fmt.Errorf("target %s is neither a block device nor a file", path)
	default:
		t, err = openFile(path, o)
	}
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", path, err)
	}
	if (t.device || o.Direct) && !o.Buffered {
		// Not every file system can; then all goes through the page cache.
		if d, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0); err == nil {
			t.direct = d
		}
	}
	return t, nil
}

// fileTarget is a block device or a regular file. Whole pages go past the page cache when direct is open, the rest
// through it; no page is ever written both ways at the same time, because chunks do not overlap and a page that two of
// them share is written through the cache by both.
type fileTarget struct {
	f      *os.File
	direct *os.File // nil: everything is buffered
	size   int64
	sector int
	device bool
}

func openDevice(path string) (*fileTarget, error) {
	// O_EXCL without O_CREAT: fails when the device, or a partition of it, is mounted or part of something (open(2)).
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("it is in use: unmount its file systems, stop the LVM, RAID or swap on it: %w", err)
	}
	if err != nil {
		return nil, err
	}
	t := &fileTarget{f: f, device: true}
	if t.size, t.sector, err = deviceGeometry(f); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

func deviceGeometry(f *os.File) (size int64, sector int, err error) {
	if size, err = f.Seek(0, io.SeekEnd); err != nil {
		return 0, 0, fmt.Errorf("its size: %w", err)
	}
	if sector, err = unix.IoctlGetInt(int(f.Fd()), unix.BLKSSZGET); err != nil {
		return 0, 0, fmt.Errorf("its sector size: %w", err)
	}
	return size, sector, nil
}

// Unused fails when something uses the block device or file at path, and says what. It is well with a path where
// nothing is.
func Unused(path string) error {
	h, err := inuse.Open(path)
	var used *inuse.Error
	switch {
	case errors.As(err, &used):
		return fmt.Errorf("%s is in use (%s) and would be overwritten under it: end that, or name another target", path,
			strings.Join(used.Users, "; "))
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return h.Close()
}

func openFile(path string, o TargetOptions) (*fileTarget, error) {
	// Before it is opened here: that would count as a use.
	if err := Unused(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, private.FileMode)
	if err != nil {
		return nil, err
	}
	t := &fileTarget{f: f, sector: o.SectorSize}
	if t.sector == 0 {
		t.sector = 512
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another program writes it: %w", err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() < o.Size {
		err = f.Truncate(o.Size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	t.size = max(st.Size(), o.Size)
	return t, nil
}

// Name is the path that the target was opened by.
func (t *fileTarget) Name() string    { return t.f.Name() }
func (t *fileTarget) Size() int64     { return t.size }
func (t *fileTarget) SectorSize() int { return t.sector }
func (t *fileTarget) Inline() bool    { return t.device }

func addr(p []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(p))) }

func osPageSize() int { return os.Getpagesize() }

// pages returns the part of len(p) bytes at off that direct I/O can move: from a to b.
func (t *fileTarget) pages(p []byte, off int64) (a, b int64) {
	n := int64(len(p))
	if t.direct == nil {
		return n, n
	}
	a = min(-off&(pageSize-1), n)
	b = max(a, (off+n)&^(pageSize-1)-off)
	if a < n && (int64(addr(p))+a)&(pageSize-1) != 0 {
		return n, n // memory and disk are not aligned to each other
	}
	return a, b
}

func (t *fileTarget) inside(n int, off int64) error {
	if off < 0 || off > t.size || int64(n) > t.size-off {
		return fmt.Errorf("bytes %d+%d lie beyond the target's %d bytes", off, n, t.size)
	}
	return nil
}

func (t *fileTarget) WriteAt(p []byte, off int64) (int, error) {
	if err := t.inside(len(p), off); err != nil {
		return 0, err
	}
	a, b := t.pages(p, off)
	if b > a {
		if _, err := t.direct.WriteAt(p[a:b], off+a); errors.Is(err, unix.EINVAL) {
			a, b = int64(len(p)), int64(len(p)) // a driver that wants more than page alignment
		} else if err != nil {
			return 0, err
		}
	}
	if a > 0 {
		if _, err := t.f.WriteAt(p[:a], off); err != nil {
			return 0, err
		}
	}
	if b < int64(len(p)) {
		if _, err := t.f.WriteAt(p[b:], off+b); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (t *fileTarget) ReadAt(p []byte, off int64) (int, error) {
	a, b := t.pages(p, off)
	if b > a {
		n, err := t.direct.ReadAt(p[a:b], off+a)
		if errors.Is(err, unix.EINVAL) {
			return t.f.ReadAt(p, off)
		}
		if err != nil {
			return int(a) + n, err
		}
	}
	if a > 0 {
		if n, err := t.f.ReadAt(p[:a], off); err != nil {
			return n, err
		}
	}
	if b < int64(len(p)) {
		n, err := t.f.ReadAt(p[b:], off+b)
		return int(b) + n, err
	}
	return len(p), nil
}

// WritevAt writes bufs one after another at off.
func (t *fileTarget) WritevAt(bufs [][]byte, off int64) error {
	var n int64
	aligned := off&(pageSize-1) == 0
	for _, b := range bufs {
		n += int64(len(b))
		aligned = aligned && int64(addr(b))&(pageSize-1) == 0 && int64(len(b))&(pageSize-1) == 0
	}
	if err := t.inside(int(n), off); err != nil {
		return err
	}
	f := t.f
	if t.direct != nil {
		if !aligned {
			return t.eachAt(bufs, off)
		}
		f = t.direct
	}
	got, err := unix.Pwritev(int(f.Fd()), bufs, off)
	if err == nil && int64(got) == n {
		return nil
	}
	if err != nil && err != unix.EINVAL && err != unix.EINTR {
		return &os.PathError{Op: "pwritev", Path: t.f.Name(), Err: err}
	}
	return t.eachAt(bufs, off) // a short write: the same bytes again, one by one
}

func (t *fileTarget) eachAt(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := t.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

func (t *fileTarget) Zero(off, n int64) error {
	if n <= 0 {
		return nil
	}
	if err := t.inside(0, off); err != nil || n > t.size-off {
		return fmt.Errorf("bytes %d+%d lie beyond the target's %d bytes", off, n, t.size)
	}
	if t.device {
		return t.zeroDevice(off, n)
	}
	err := unix.Fallocate(int(t.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		return writeZeros(t, off, n)
	}
	if err != nil {
		return &os.PathError{Op: "fallocate", Path: t.f.Name(), Err: err}
	}
	return nil
}

// zeroDevice lets the kernel zero whole pages: it uses what the device has for it, and writes where that is nothing.
func (t *fileTarget) zeroDevice(off, n int64) error {
	a := min(-off&(pageSize-1), n)
	b := max(a, (off+n)&^(pageSize-1)-off)
	if err := errors.Join(writeZeros(t.f, off, a), writeZeros(t.f, off+b, n-b)); err != nil {
		return err
	}
	if a == b {
		return nil
	}
	span := [2]uint64{uint64(off + a), uint64(b - a)}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, t.f.Fd(), unix.BLKZEROOUT, uintptr(unsafe.Pointer(&span)))
	if errno != 0 {
		return writeZeros(t, off+a, b-a)
	}
	return nil
}

// writeHint says what to look at when a write failed.
func writeHint(err error) string {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return "the file system that holds the target is full, or its quota is used up: make room and begin again"
	}
	return "the target disk may be failing: see dmesg"
}

func (t *fileTarget) Sync() error {
	if err := t.f.Sync(); err != nil {
		return fmt.Errorf("flushing %s: %w; %s", t.f.Name(), err, writeHint(err))
	}
	return nil
}

// Holes lists where a file is not backed by anything, and so reads as zero. A block device cannot tell.
func (t *fileTarget) Holes() []image.Extent {
	if t.device {
		return nil
	}
	return volume.Invert(sparse.Data(t.f, t.size), t.size)
}

func (t *fileTarget) dropCache() {
	if t.direct == nil {
		_ = unix.Fadvise(int(t.f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice: what is still cached is read from the cache
	}
}

func (t *fileTarget) Close() error {
	var err error
	if t.direct != nil {
		err = t.direct.Close()
	}
	return errors.Join(err, t.f.Close())
}

// rereadWithin bounds the wait for those who look into the partitions meanwhile. They take fractions of a second.
const rereadWithin = 10 * time.Second

// RereadTable makes the kernel read the partition table of a block device again. For a file, or a device that cannot
// have partitions, it does nothing. It works while the target is open, which keeps others from doing it, but not from
// opening a partition: it waits for their end some seconds.
func RereadTable(ctx context.Context, t Target) error {
	f, ok := t.(*fileTarget)
	if !ok || !f.device {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, rereadWithin)
	defer cancel()
	return table.Reread(ctx, f.f)
}
