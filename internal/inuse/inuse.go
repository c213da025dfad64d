// Package inuse says who uses a block device, or a file that holds a disk, and keeps it from coming into use while it
// is read.
//
// The kernel alone knows whether a device is in use, and says so without a race: an open with O_EXCL fails when the
// device, one of its partitions, or the disk that it is a partition of was claimed by a mount in any namespace, by
// swap, LVM, RAID or another such open (open(2)). It does not say by whom; that is looked up in sysfs, in the mounts of
// all namespaces, and in the open files of all processes, as far as this process may see them.
package inuse

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Error says that a device or file is in use.
type Error struct {
	Path  string
	Users []string // what uses it, in words; never empty
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s is in use (%s) and would change while it is read", e.Path, strings.Join(e.Users, "; "))
}

// Hold is a device or file that nobody else used when it was opened for reading. As long as it is open, a device stays
// so.
type Hold struct {
	*os.File
	// Users is what uses it, in words. Empty unless Live opened it.
	Users []string
	began os.FileInfo
}

// Open opens a block device or a regular file for reading, and fails with an *Error when it is in use.
func Open(path string) (*Hold, error) {
	h, err := open(path, false)
	for try := 1; try < tries && errors.As(err, new(*Error)); try++ {
		time.Sleep(pause)
		h, err = open(path, false)
	}
	return h, err
}

// Somebody who uses it for a moment only does not count: udev looking into a device, or a process between its fork and
// its exec, which has a copy of all that its parent has open. There is no event to wait for.
const (
	tries = 4
	pause = 100 * time.Millisecond
)

// Live opens what may be in use, and says by whom.
func Live(path string) (*Hold, error) { return open(path, true) }

func open(path string, live bool) (*Hold, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	h := &Hold{}
	switch mode := st.Mode(); {
	case mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0:
		err = h.device(path)
	case mode.IsRegular():
		err = h.file(path)
	default:
		return nil, fmt.Errorf("%s is neither a block device nor a file", path)
	}
	if err == nil && len(h.Users) > 0 && !live {
		err = &Error{path, h.Users}
	}
	if err == nil {
		h.began, err = h.Stat()
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// unnamed is what there is to say of a device that is claimed by nobody that can be found.
const unnamed = "the kernel says that it is busy: something that cannot be seen from here has it"

// device opens a block device, exclusively where nobody uses it.
func (h *Hold) device(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_EXCL, 0)
	claimed := errors.Is(err, unix.EBUSY)
	if err != nil && !claimed {
		return err
	}
	h.File = f
	if h.Users, err = Device("/", path); err != nil {
		return fmt.Errorf("cannot tell who uses %s: %w", path, err)
	}
	if !claimed {
		return nil
	}
	if len(h.Users) == 0 {
		h.Users = []string{unnamed}
	}
	h.File, err = os.Open(path)
	return err
}

// file opens a regular file and looks for whoever may write it: a lock, a loop device, a process that has it open for
// writing.
func (h *Hold) file(path string) (err error) {
	if h.File, err = os.Open(path); err != nil {
		return err
	}
	st, err := h.Stat()
	if err != nil {
		return err
	}
	if h.Users, err = loops("/", st); err != nil {
		return fmt.Errorf("cannot tell who uses %s: %w", path, err)
	}
	// A read lease is given only where nobody at all has the file open for writing, also no process that cannot be seen
	// (fcntl(2)). Where it is refused, or is not to be had, all open files of all processes are looked at to say who
	// does.
	_, lease := unix.FcntlInt(h.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if lease == nil {
		// Not kept: whoever opened the file for writing would have to wait for it.
		if _, err := unix.FcntlInt(h.Fd(), unix.F_SETLEASE, unix.F_UNLCK); err != nil {
			return fmt.Errorf("giving back a lease of %s: %w", path, err)
		}
	} else {
		h.Users = append(h.Users, writers("/", []os.FileInfo{st})...)
	}
	// A restore locks what it writes; this lock keeps one from beginning.
	if err := unix.Flock(int(h.Fd()), unix.LOCK_SH|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) &&
		len(h.Users) == 0 {
		h.Users = append(h.Users, "another program has locked it")
	}
	if errors.Is(lease, unix.EAGAIN) && len(h.Users) == 0 {
		h.Users = append(h.Users, "something that cannot be seen from here has it open for writing")
	}
	return nil
}

// Changed says whether a file was written since it was opened. One that was in use from the start may.
func (h *Hold) Changed() error {
	now, err := h.Stat()
	if err != nil {
		return err
	}
	if len(h.Users) > 0 || !now.Mode().IsRegular() || now.Size() == h.began.Size() &&
		now.ModTime().Equal(h.began.ModTime()) {
		return nil
	}
	return fmt.Errorf("%s was written while it was read (at %s): find the program that writes it, end it, and begin "+
		"again",
		h.Name(), now.ModTime().Format("15:04:05"))
}

// Close lets go.
func (h *Hold) Close() error {
	if h.File == nil {
		return nil
	}
	return h.File.Close()
}
