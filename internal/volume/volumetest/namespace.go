package volumetest

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const envPrivate = "VOLUMETEST_PRIVATE"

// A test binary that imports this package and runs as root starts itself again in a mount namespace of its own. What it
// mounts is gone when it ends, however it ends. And nobody else can hold it: a program that makes a mount namespace (ip
// netns exec, a test of another package) gets a copy of all mounts there are, and then an umount here unmounts nothing:
// the file system stays alive in the copy, and its last blocks are not in the image. That was seen with XFS and
// ntfs-3g.
func init() {
	if os.Geteuid() != 0 || os.Getpid() == 1 || os.Getenv(envPrivate) != "" {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	// exec keeps the namespace of the thread that calls it.
	runtime.LockOSThread()
	if unix.Unshare(unix.CLONE_NEWNS) != nil {
		return // a container that does not allow it
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		panic(err)
	}
	if err := unix.Exec(self, os.Args, append(os.Environ(), envPrivate+"=1")); err != nil {
		panic(err) // this thread is in another namespace than the others
	}
}
