package kernel

import (
	"archive/tar"
	"testing"
)

// TestRoom: neither large files nor many small ones fill a disk.
func TestRoom(t *testing.T) {
	for name, c := range map[string]struct{ size, fit int64 }{
		"a GiB each": {1 << 30, 16}, "empty": {0, maxNames}, "a MiB": {1 << 20, 16 << 10},
	} {
		left, n := room(maxUnpacked), int64(0)
		for n <= c.fit && left.take(&tar.Header{Size: c.size}) == nil {
			n++
		}
		if n != c.fit {
			t.Errorf("%s: %d fit, want %d", name, n, c.fit)
		}
	}
}
