package grow

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Loop makes a block device of size bytes from byte off of a file or of another block device. Closing the result
// removes it. It is for a partition that the kernel does not know as one: of a regular file, or of a device that cannot
// have partitions.
func Loop(path string, off, size int64, sectorSize int) (device *os.File, err error) {
	return loop(path, off, size, sectorSize, os.O_RDWR, 0)
}

// LoopReadOnly is as Loop, and nothing can be written through it.
func LoopReadOnly(path string, off, size int64, sectorSize int) (device *os.File, err error) {
	return loop(path, off, size, sectorSize, os.O_RDONLY, unix.LO_FLAGS_READ_ONLY)
}

// loopControl opens what gives loop devices. It has a number of its own (Linux, miscdevice.h and devices.txt: 10, 237),
// so that opening a node of it loads the driver, which makes the node where no udev did.
func loopControl() (*os.File, error) {
	const name, major, minor = "/dev/loop-control", 10, 237
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	err = unix.Mknod(name, unix.S_IFCHR|0o600, int(unix.Mkdev(major, minor)))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("making %s: %w", name, err)
	}
	return os.OpenFile(name, os.O_RDWR, 0)
}

func loop(path string, off, size int64, sectorSize, mode int, flags uint32) (device *os.File, err error) {
	back, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return nil, err
	}
	defer back.Close() // the loop device holds the file itself
	control, err := loopControl()
	if err != nil {
		return nil, fmt.Errorf("a loop device: %w", err)
	}
	defer control.Close()
	for range 100 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("a loop device: %w", err)
		}
		d, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), mode, 0)
		if err != nil {
			return nil, fmt.Errorf("a loop device: %w", err)
		}
		err = unix.IoctlLoopConfigure(int(d.Fd()), &unix.LoopConfig{Fd: uint32(back.Fd()), Size: uint32(sectorSize),
			Info: unix.LoopInfo64{Offset: uint64(off), Sizelimit: uint64(size),
				Flags: unix.LO_FLAGS_AUTOCLEAR | flags}})
		if err == nil {
			return d, nil
		}
		d.Close()
		// Somebody else took it between the two calls.
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("a loop device over %s: %w", path, err)
		}
	}
	return nil, errors.New("every free loop device was taken by others at once")
}
