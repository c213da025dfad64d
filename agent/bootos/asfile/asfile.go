// Package asfile shows what a program can read to its kernel, as a file that cannot be written to: of such a file a
// loop device can be made, and what is in it mounted. It is a file system of FUSE with its root alone, which is the
// file.
package asfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// File is one of the kernel's files, whose bytes a reader of ours has.
type File struct {
	Path   string
	r      io.ReaderAt
	size   int64
	device int           // /dev/fuse
	done   chan struct{} // closed when the kernel asks for nothing any more
}

// Mount makes the file, which must not be there. It wants root.
func Mount(path string, r io.ReaderAt, size int64) (f *File, err error) {
	device, err := open()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			unix.Close(device)
		}
	}()
	at, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	at.Close()
	defer func() {
		if err != nil {
			os.Remove(path)
		}
	}()
	const flags = unix.MS_RDONLY | unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC
	options := fmt.Sprintf("fd=%d,rootmode=100000,user_id=%d,group_id=%d", device, os.Geteuid(), os.Getegid())
	if err := unix.Mount("diskcast", path, "fuse", flags, options); err != nil {
		return nil, fmt.Errorf("showing the kernel a file of ours: %w", err)
	}
	f = &File{Path: path, r: r, size: size, device: device, done: make(chan struct{})}
	go f.serve()
	if err := f.settle(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// open opens FUSE's device. It has a number of its own (Linux, devices.txt: 10, 229), so that opening a node of it
// loads the driver, which makes the node where no udev did.
func open() (int, error) {
	const name, major, minor = "/dev/fuse", 10, 229
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) {
		err = unix.Mknod(name, unix.S_IFCHR|0o600, int(unix.Mkdev(major, minor)))
		if err == nil || errors.Is(err, fs.ErrExist) {
			fd, err = unix.Open(name, unix.O_RDWR|unix.O_CLOEXEC, 0)
		}
	}
	if err != nil {
		return -1, fmt.Errorf("opening %s (is the module fuse in the boot directory?): %w", name, err)
	}
	return fd, nil
}

// settle has the kernel ask whether the file can be polled, to which the answer is never again. Go's runtime asks that
// of each file that it opens, in a way in which no other goroutine runs on a machine with one CPU: serve neither.
func (f *File) settle() error {
	fd, err := unix.Open(f.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Close takes the file away. Who has it open still reads it; serve ends with the last of them.
func (f *File) Close() error {
	if err := unix.Unmount(f.Path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	return os.Remove(f.Path)
}

// The kernel's requests (Linux, include/uapi/linux/fuse.h).
const (
	opForget      = 2
	opGetattr     = 3
	opOpen        = 14
	opRead        = 15
	opRelease     = 18
	opFlush       = 25
	opInit        = 26
	opInterrupt   = 36
	opDestroy     = 38
	opBatchForget = 42
)

const (
	inHeader  = 40      // bytes before a request: length, operation, number, and who asks
	outHeader = 16      // bytes before an answer: length, error, number
	maxRead   = 1 << 20 // bytes that are read at once
)

// serve answers the kernel until the file system is gone.
func (f *File) serve() {
	defer close(f.done)
	defer unix.Close(f.device)
	in := make([]byte, 128<<10)
	for {
		n, err := unix.Read(f.device, in)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.ENOENT), errors.Is(err, unix.EAGAIN):
			continue // ENOENT: who asked has been killed
		case err != nil:
			return // ENODEV: it was unmounted, and nobody has it open
		case n < inHeader:
			continue
		}
		operation := binary.NativeEndian.Uint32(in[4:])
		if operation == opForget || operation == opBatchForget || operation == opInterrupt {
			continue // these are not answered
		}
		answer, errno := f.answer(operation, in[inHeader:n])
		out := make([]byte, outHeader, outHeader+len(answer))
		binary.NativeEndian.PutUint32(out, uint32(outHeader+len(answer)))
		binary.NativeEndian.PutUint32(out[4:], uint32(-int32(errno)))
		copy(out[8:], in[8:16])
		// An answer that nobody waits for any more is refused with ENOENT.
		_, _ = unix.Write(f.device, append(out, answer...))
	}
}

// answer is what comes of a request.
func (f *File) answer(operation uint32, in []byte) (out []byte, errno unix.Errno) {
	ne := binary.NativeEndian
	switch operation {
	case opInit:
		if len(in) < 8 || ne.Uint32(in) < 7 {
			return nil, unix.EPROTO
		}
		out = make([]byte, 64)
		ne.PutUint32(out, 7)      // version 7.23, the first with an answer of this length
		ne.PutUint32(out[4:], 23) // and of Linux 3.15
		ne.PutUint32(out[8:], 128<<10)
		ne.PutUint32(out[20:], 4096) // the longest write, of which there is none
		ne.PutUint32(out[24:], 1)
		return out, 0
	case opGetattr:
		out = make([]byte, 16+88)
		ne.PutUint64(out, 3600) // seconds for which it is true
		a := out[16:]
		ne.PutUint64(a, 1)
		ne.PutUint64(a[8:], uint64(f.size))
		ne.PutUint64(a[16:], uint64(f.size+511)/512)
		ne.PutUint32(a[60:], unix.S_IFREG|0o400)
		ne.PutUint32(a[64:], 1)
		ne.PutUint32(a[68:], uint32(os.Geteuid()))
		ne.PutUint32(a[72:], uint32(os.Getegid()))
		ne.PutUint32(a[80:], 4096)
		return out, 0
	case opOpen:
		return make([]byte, 16), 0
	case opRead:
		if len(in) < 20 {
			return nil, unix.EINVAL
		}
		return f.read(int64(ne.Uint64(in[8:])), ne.Uint32(in[16:]))
	case opRelease, opFlush, opDestroy:
		return nil, 0
	}
	return nil, unix.ENOSYS
}

func (f *File) read(at int64, size uint32) ([]byte, unix.Errno) {
	if at < 0 || at >= f.size {
		return nil, 0
	}
	p := make([]byte, min(int64(size), f.size-at, maxRead))
	if n, err := f.r.ReadAt(p, at); n < len(p) && err != nil {
		return nil, unix.EIO
	}
	return p, 0
}
