package image_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/private"
)

// An image holds the password hashes of every machine made from it, wherever its store lies.
func TestStoreIsPrivate(t *testing.T) {
	root, err := os.MkdirTemp("", "diskcast-store-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "store")
	s, err := image.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	take(t, s, "x", filled(5<<20, 1))
	n := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		n++
		if st, err := d.Info(); err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v, %v", path, st.Mode(), err)
		}
		return nil
	})
	if err != nil || n < 8 {
		t.Errorf("%d files, %v", n, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var open *private.OpenError
	if _, err := image.OpenStore(dir); !errors.As(err, &open) {
		t.Errorf("a store that all can read: %v", err)
	}
	// What another program made may be read by all: it is only copied from.
	if _, err := image.OpenLayout(dir); err != nil {
		t.Error(err)
	}
}
