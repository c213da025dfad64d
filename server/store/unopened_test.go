package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestUnopened: a state file that the system did not let us open is not called damaged, and nobody is told to put a
// copy in its place.
func TestUnopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := OpenBolt(path)
	if err == nil || errors.As(err, new(*DamagedError)) || !strings.Contains(err.Error(), "directory is in its place") {
		t.Errorf("a directory: %v", err)
	}
	for errno, want := range map[syscall.Errno]string{syscall.EROFS: "writable", syscall.EIO: "its disk fails",
		syscall.ENOSPC: "make room", syscall.EMFILE: "raise the limit", syscall.ESTALE: "dmesg"} {
		err := unopened(path, &fs.PathError{Op: "open", Path: path, Err: errno})
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "mv ") || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}
