package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// File is the name of a server's state in its state directory.
const File = "state.db"

// InUse reports whether a server runs on the state directory: it holds the lock of the state's file. A directory that
// has no state has no server. It opens the file for reading only, and leaves everything as it is.
func InUse(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, File))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
