package image_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/testenv/need"

	"golang.org/x/sys/unix"
)

// TestFullStore: in a store on a file system without one free byte, an image can be removed, and what it took is free
// after a garbage collection.
func TestFullStore(t *testing.T) {
	dir := t.TempDir()
	need.SmallDisk(t, dir, "8m")
	s, err := image.OpenStore(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	digest := take(t, s, "one", bytes.Repeat([]byte("diskcast"), 1<<16)).Digest
	for _, name := range []string{"two", "kept"} {
		if err := s.Tag(digest, name); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, filepath.Join(dir, "fill"))
	for _, name := range []string{"one", "two"} {
		if err := s.Remove(name); err != nil {
			t.Fatalf("rm %s: %v", name, err)
		}
		fill(t, filepath.Join(dir, "fill-"+name))
	}
	// Without a reserve it is said what needs no room; nothing has changed.
	if err := os.Remove(filepath.Join(dir, "store", ".diskcast", "reserve")); err != nil {
		t.Error(err)
	}
	fill(t, filepath.Join(dir, "fill-reserve"))
	err = s.Tag(digest, "three")
	if err == nil || !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "gc --partial") {
		t.Errorf("tag: %v", err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 || list[0].Name != "kept" {
		t.Errorf("the list after a change that failed: %+v, %v", list, err)
	}
	if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove("kept"); err != nil {
		t.Fatal(err)
	}
	if r := gc(t, s, image.GCOptions{Unnamed: true}); r.Blobs == 0 {
		t.Errorf("nothing was freed: %+v", r)
	}
}

// fill writes until nothing fits.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		return // not even a name
	}
	defer f.Close()
	for b := make([]byte, 64<<10); len(b) > 0; {
		if _, err := f.Write(b); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			b = b[:len(b)/2]
		}
	}
}
