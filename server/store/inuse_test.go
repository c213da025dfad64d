package store

import (
	"path/filepath"
	"testing"
)

// TestInUse tells a directory with a server from one without, and leaves both as they are.
func TestInUse(t *testing.T) {
	dir := t.TempDir()
	want := func(want bool) {
		t.Helper()
		for range 2 {
			if got, err := InUse(dir); err != nil || got != want {
				t.Errorf("%v, %v; want %v", got, err, want)
			}
		}
	}
	want(false)
	b, err := OpenBolt(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	want(true)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	want(false)
}

// TestImagesElsewhere: a server's images are known to be elsewhere while it runs, and a later start with those of the
// state directory takes the word back.
func TestImagesElsewhere(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	want := func(want string) {
		t.Helper()
		if got, err := ImagesOf(dir); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	want("")
	b, err := OpenBolt(filepath.Join(dir, File))
	if err != nil {
		t.Fatal(err)
	}
	want("")
	if err := SayImages(dir, other); err != nil {
		t.Fatal(err)
	}
	want(other)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	want("")
	if b, err = OpenBolt(filepath.Join(dir, File)); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := SayImages(dir, filepath.Join(dir, "images")); err != nil {
		t.Fatal(err)
	}
	want("")
}
