// Package regular opens files that must be regular ones. Opening what may lie in a file's place can take for ever: a
// FIFO waits for who writes to it, and no signal to the process ends that.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Error says that something else lies in the place of a file.
type Error struct {
	Path string
	What string // "a FIFO", "a directory", ...
}

func (e *Error) Error() string { return fmt.Sprintf("%s is %s, and no file", e.Path, e.What) }

// what names a mode that is not of a regular file; empty for one that is.
func what(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return ""
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a FIFO"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

// Open opens a regular file for reading; what is none is an *Error.
func Open(path string) (*os.File, error) { return OpenFile(path, os.O_RDONLY, 0) }

// OpenFile is os.OpenFile of a regular file, or of one that is made; what is none is an *Error, at once.
func OpenFile(path string, flags int, perm fs.FileMode) (*os.File, error) {
	// Asked before, because the opening of a device may do something, and after, because it may be another then.
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, &Error{path, what(st.Mode())}
	}
	f, err := os.OpenFile(path, flags|unix.O_NONBLOCK, perm)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &Error{path, what(st.Mode())}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// ReadFile is os.ReadFile of a regular file; what is none is an *Error.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}
