package drive

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/fs.h whose argument is the offset and the length of a range, in bytes.
const (
	blkDiscard    = 0x1277
	blkSecDiscard = 0x127d
	blkZeroOut    = 0x127f
)

func (v *Drive) onRange(request uintptr, off, n int64) error {
	r := [2]uint64{uint64(off), uint64(n)}
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, v.f.Fd(), request, uintptr(unsafe.Pointer(&r)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return errno
	}
}

// CanDiscard says whether the kernel discards on this disk.
func (v *Drive) CanDiscard() bool {
	if v.file {
		return true
	}
	b, err := os.ReadFile(filepath.Join(v.sys, "queue/discard_max_bytes"))
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return err == nil && n > 0
}

// CanSecureDiscard asks with a range that no sector begins at: the kernel looks first whether the disk can, and then
// refuses the range (block/ioctl.c, since 5.19; nothing in sysfs says it).
func (v *Drive) CanSecureDiscard() bool {
	return !v.file && errors.Is(v.onRange(blkSecDiscard, 1, 512), unix.EINVAL)
}

// Discard tells the disk that it may forget a range.
func (v *Drive) Discard(off, n int64) error {
	if v.file {
		return unix.Fallocate(int(v.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	}
	return v.onRange(blkDiscard, off, n)
}

// SecureDiscard has the disk forget a range and every copy of it.
func (v *Drive) SecureDiscard(off, n int64) error { return v.onRange(blkSecDiscard, off, n) }

// Zero makes a range zero, and deallocates none of it.
func (v *Drive) Zero(off, n int64) error {
	if !v.file {
		return v.onRange(blkZeroOut, off, n)
	}
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		w, err := v.f.WriteAt(zeros[:min(n, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off, n = off+int64(w), n-int64(w)
	}
	return nil
}
