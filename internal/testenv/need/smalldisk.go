package need

import (
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDisk wants a file system of the size, in tmpfs' words (8k, 2m), to be mounted on the directory until the test
// ends. Only root can.
func SmallDisk(t testing.TB, dir, size string) {
	t.Helper()
	Root(t)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		Skip(t, "a small file system cannot be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}
