// Package efivars reads and writes the variables of UEFI firmware through Linux' efivarfs, and the load options among
// them: the boot entries. It decides nothing. The agent's packages efiboot, which makes an entry, and bootos, which
// follows them, both read by it.
package efivars

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The vendor GUIDs of variables: of those that the UEFI specification defines (section 3.3), and of the Boot Loader
// Interface's.
const (
	global = "-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	loader = "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
)

// attributes of the variables written: non-volatile, seen by boot services and at run time (section 8.2).
const attributes = 0x7

// Dir is the specification's variables in a mounted efivarfs (Linux, Documentation/filesystems/efivarfs.rst): a file a
// variable, named name-GUID, whose first four bytes are the attributes. u-root's package efivarfs is not used because
// it drops the reason of a refusal, which the operator must hear, and cannot remove a file that the kernel has made
// immutable.
type Dir string

const immutable = 0x10 // FS_IMMUTABLE_FL of linux/fs.h

func (d Dir) file(name string) string { return filepath.Join(string(d), name+global) }

// Names lists the variables.
func (d Dir) Names() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(strings.ToLower(e.Name()), global); ok {
			out = append(out, e.Name()[:len(name)])
		}
	}
	return out, nil
}

// Get reads a variable: what it holds, without its attributes. The error wraps fs.ErrNotExist where there is none.
func (d Dir) Get(name string) ([]byte, error) { return read(d.file(name)) }

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxSize+5))
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0: // the kernel keeps the file of a variable that was removed by an empty write
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	case len(b) < 4 || len(b) > MaxSize+4:
		return nil, fmt.Errorf("%s: a variable of %d bytes", path, len(b))
	}
	return b[4:], nil
}

// Set writes a variable: one write(2), which the kernel hands to the firmware as a whole.
func (d Dir) Set(name string, data []byte) error {
	path := d.file(name)
	restore, err := mutable(path)
	if err != nil {
		return err
	}
	defer restore()
	_, err = os.Stat(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte{attributes, 0, 0, 0}, data...))
	if err == nil {
		// In efivarfs the file has this size already; elsewhere it may have been longer.
		err = f.Truncate(int64(len(data)) + 4)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil && fresh {
		_ = os.Remove(path) // an empty file, which is no variable
	}
	return err
}

// Remove removes a variable.
func (d Dir) Remove(name string) error {
	if _, err := mutable(d.file(name)); err != nil {
		return err
	}
	return os.Remove(d.file(name))
}

// mutable takes off the flag by which the kernel keeps careless programs from variables that it does not know to be
// harmless. restore puts it back.
func mutable(path string) (restore func(), err error) {
	restore = func() {}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return restore, nil
	}
	if err != nil {
		return restore, err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil || flags&immutable == 0 {
		return restore, nil // a file system without flags has none to take off
	}
	if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable); err != nil {
		return restore, &fs.PathError{Op: "take off the immutable flag", Path: path, Err: err}
	}
	return func() {
		if f, err := os.Open(path); err == nil {
			_ = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags) // set anew at the next start anyway
			f.Close()
		}
	}, nil
}

// Mount makes sure that the firmware's variables are mounted at dir and can be written. Its error says what the
// operator can do.
func Mount(dir string) (Dir, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", errors.New("the kernel offers no EFI variables: its EFI runtime services are off (noefi, " +
			"efi=noruntime, a real-time kernel) or broken in this firmware")
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	switch {
	case uint32(st.Type) != unix.EFIVARFS_MAGIC:
		if err := unix.Mount("efivarfs", dir, "efivarfs", flags, ""); err != nil {
			if errors.Is(err, unix.ENODEV) {
				return "", errors.New("this kernel has no efivarfs: make the boot directory with mkimage --modules " +
					"default, which has its module")
			}
			return "", fmt.Errorf("the firmware's variables cannot be mounted: %w", err)
		}
	case st.Flags&unix.ST_RDONLY != 0:
		if err := unix.Mount("efivarfs", dir, "efivarfs", unix.MS_REMOUNT|flags, ""); err != nil {
			return "", fmt.Errorf("the firmware's variables are read-only here, because its interface for setting "+
				"them does not work while an operating system runs: %w", err)
		}
	}
	return Dir(dir), nil
}
