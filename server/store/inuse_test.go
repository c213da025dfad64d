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
