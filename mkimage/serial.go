package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// overwrites refuses a file for a console that is one of the others, by whatever name, or that lies in an image store:
// all that is there belongs to the images.
func overwrites(serial string, others ...string) error {
	if serial == "" {
		return nil
	}
	if store, in := above(serial, isStore); in {
		return usageError{fmt.Errorf("--serial %s lies in the image store %s: name a file elsewhere", serial, store)}
	}
	st, err := os.Stat(serial)
	if err != nil {
		return nil // it is made
	}
	for _, name := range others {
		if other, err := os.Stat(name); err == nil && os.SameFile(st, other) {
			return usageError{fmt.Errorf("--serial %s is the file %s, which would be overwritten: name another", serial,
				name)}
		}
	}
	if st.Mode().IsRegular() && st.Sys().(*syscall.Stat_t).Nlink > 1 {
		return usageError{fmt.Errorf("--serial %s has other names (hard links), under which it would be overwritten "+
			"too: name another file", serial)}
	}
	return nil
}

// isStore tells whether a folder is an image store: by the file that every OCI image layout has, or, where that was
// lost, by the folder of its blobs.
func isStore(dir string) bool {
	layout, err := os.Stat(filepath.Join(dir, "oci-layout"))
	if err == nil && layout.Mode().IsRegular() {
		return true
	}
	blobs, err := os.Stat(filepath.Join(dir, "blobs", "sha256"))
	return err == nil && blobs.IsDir()
}

// createSerial makes the file for a console. A pipe that nobody reads is refused: opening it would wait for ever.
func createSerial(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NONBLOCK, 0o666)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("--serial %s is a pipe that nobody reads: start its reader first, or name a file", name)
	}
	if err != nil {
		return nil, fmt.Errorf("--serial: %w", err)
	}
	return f, nil
}
