// Package private makes and checks directories that only their owner may look into: the server's key, the operator's
// token, and images, which hold the password hashes and keys of every machine made from them.
package private

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Modes of what is made in a private directory.
const (
	DirMode  fs.FileMode = 0o700
	FileMode fs.FileMode = 0o600
)

// OpenError says that others than its owner may look into a directory.
type OpenError struct {
	Dir  string
	What string // what the directory holds, for the message
	Mode fs.FileMode
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("%s has mode %04o, so others can read %s: `chmod 700 %s` closes it", e.Dir, e.Mode, e.What,
		e.Dir)
}

// Dir makes the directory dir with DirMode, parents included. An empty directory is closed to others. One with
// something in it that others can reach is an *OpenError, because somebody may rely on its mode. what names the content
// in the error.
func Dir(dir, what string) error {
	st, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, DirMode)
	}
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	mode := st.Mode().Perm()
	if mode&0o077 == 0 {
		return nil
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return os.Chmod(dir, DirMode)
	}
	reach, err := reachable(dir)
	if err != nil || !reach {
		return err
	}
	return &OpenError{Dir: dir, What: what, Mode: mode}
}

// reachable says whether others may pass through all directories above dir.
func reachable(dir string) (bool, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	for err == nil && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		var st fs.FileInfo
		if st, err = os.Stat(dir); err == nil && st.Mode().Perm()&0o011 == 0 {
			return false, nil
		}
	}
	return true, err
}
