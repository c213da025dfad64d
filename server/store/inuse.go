package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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

// imagesFile has the directory of the images of the server that runs on the state, where that is not images in it.
const imagesFile = "images.elsewhere"

// SayImages notes where the images of the server are that now runs on the state directory, for ImagesOf.
func SayImages(dir, images string) error {
	path := filepath.Join(dir, imagesFile)
	err := os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	whole, err := filepath.Abs(images)
	if err != nil || images == filepath.Join(dir, "images") {
		return err
	}
	return os.WriteFile(path, []byte(whole+"\n"), 0o600)
}

// ImagesOf is where the server that runs on the state directory has its images, as far as it noted that they are
// elsewhere than in there; empty where they are not, or no server runs.
func ImagesOf(dir string) (string, error) {
	if served, err := InUse(dir); err != nil || !served {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(dir, imagesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSuffix(string(b), "\n"), err
}
