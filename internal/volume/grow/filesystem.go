package grow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/volume/ext"
	"github.com/diskcast/diskcast/internal/volume/xfs"
)

// ErrNoDriver is wrapped by the error of FileSystem when the running kernel cannot mount the file system. The restored
// system is sound then, and smaller than its partition.
var ErrNoDriver = errors.New("the running kernel has no driver for it")

// kinds are the file systems that FileSystem can grow.
var kinds = []string{"ext2", "ext3", "ext4", "xfs", "btrfs"}

// Can says whether file systems of this type can be grown.
func Can(kind string) bool { return slices.Contains(kinds, kind) }

// Command is what grows a file system of this type in the system that has it mounted, for a message.
func Command(kind string) string {
	switch kind {
	case "xfs":
		return "xfs_growfs MOUNTPOINT"
	case "btrfs":
		return "btrfs filesystem resize max MOUNTPOINT"
	}
	return "resize2fs DEVICE"
}

// FileSystem grows the file system of the given type on the block device to the size of the device. It mounts it for
// that in a directory of its own, where nothing can be executed, so the device must not be in use. A file system that
// fills its device already is left alone. Growing is atomic in all of them: after a crash it has the old size or the
// new one.
//
// It needs root with CAP_SYS_ADMIN and, for ext2, ext3 and ext4, CAP_SYS_RESOURCE, which some containers do not have.
func FileSystem(ctx context.Context, device, kind string) (err error) {
	if !Can(kind) {
		return fmt.Errorf("growing %s: %q is not one of %s", device, kind, strings.Join(kinds, ", "))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("growing the %s on %s: %w", kind, device, err)
		}
	}()
	want, err := size(device)
	if err != nil {
		return err
	}
	// What is to be known of the file system is read before it is mounted.
	request, err := prepare(device, kind, want)
	if err != nil || request == nil {
		return err
	}
	dir, err := os.MkdirTemp("", "diskcast-grow-")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := mount(device, dir, kind); err != nil {
		return err
	}
	defer func() {
		if e := unix.Unmount(dir, 0); e != nil && err == nil {
			err = fmt.Errorf("unmounting it: %w", e)
		}
	}()
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := request(d.Fd()); err != nil {
		if errors.Is(err, unix.EPERM) && strings.HasPrefix(kind, "ext") {
			return fmt.Errorf("the kernel refuses: %w; it wants CAP_SYS_RESOURCE, and a file system without errors "+
				"(e2fsck)", err)
		}
		return fmt.Errorf("the kernel refuses: %w", err)
	}
	return unix.Syncfs(int(d.Fd()))
}

// prepare returns the request to the kernel, nil if there is nothing to grow.
func prepare(device, kind string, size int64) (func(fd uintptr) error, error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	switch kind {
	case "xfs":
		fs, err := xfs.Open(f, size)
		if err != nil {
			return nil, err
		}
		block := fs.Info().BlockSize
		if size/block <= fs.Info().Size/block {
			return nil, nil
		}
		// The superblock has at byte 127 how many percent of the space inodes may take; the request sets it anew.
		var percent [1]byte
		if _, err := f.ReadAt(percent[:], 127); err != nil {
			return nil, err
		}
		return func(fd uintptr) error {
			arg := struct {
				blocks  uint64
				percent uint32
				_       uint32
			}{uint64(size / block), uint32(percent[0]), 0}
			return ioctl(fd, xfsGrowData, unsafe.Pointer(&arg))
		}, nil
	case "btrfs":
		return func(fd uintptr) error {
			var arg struct {
				fd   int64
				name [4088]byte
			}
			copy(arg.name[:], "max")
			return ioctl(fd, btrfsResize, unsafe.Pointer(&arg))
		}, nil
	default:
		fs, err := ext.Open(f, size)
		if err != nil {
			return nil, err
		}
		block := fs.Info().BlockSize
		if size/block <= fs.Info().Size/block {
			return nil, nil
		}
		return func(fd uintptr) error {
			blocks := uint64(size / block)
			return ioctl(fd, ext4Resize, unsafe.Pointer(&blocks))
		}, nil
	}
}

// The requests, as ioctl(2) numbers: direction 1 (write), size, type, number.
const (
	ext4Resize  = 1<<30 | 8<<16 | 'f'<<8 | 16    // EXT4_IOC_RESIZE_FS: u64 blocks
	xfsGrowData = 1<<30 | 16<<16 | 'X'<<8 | 110  // XFS_IOC_FSGROWFSDATA: u64 blocks, u32 percent
	btrfsResize = 1<<30 | 4096<<16 | 0x94<<8 | 3 // BTRFS_IOC_RESIZE: s64 fd, name[4088]
)

func ioctl(fd, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

func mount(device, dir, kind string) error {
	options := ""
	if kind == "xfs" {
		options = "nouuid" // the source, with the same UUID, may be mounted on the machine that restores
	}
	// The ext4 driver serves all three.
	drivers := []string{kind}
	if kind != "ext4" && strings.HasPrefix(kind, "ext") {
		drivers = []string{"ext4", kind}
	}
	var err error
	for _, d := range drivers {
		err = unix.Mount(device, dir, d, unix.MS_NOATIME|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, options)
		if !errors.Is(err, unix.ENODEV) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%w (%s)", ErrNoDriver, kind)
	case err != nil:
		return fmt.Errorf("mounting it: %w", err)
	}
	return nil
}

func size(device string) (int64, error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st.Mode()&os.ModeDevice == 0 {
		return 0, errors.New("it is not a block device")
	}
	return f.Seek(0, io.SeekEnd)
}
