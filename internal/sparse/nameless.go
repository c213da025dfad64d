package sparse

import (
	"os"

	"golang.org/x/sys/unix"
)

// Nameless makes a file in a directory that is gone with the program, however that ends. The empty directory is the one
// for temporary files. Errors call it (what); pattern, as os.CreateTemp has it, is its name where it must have one
// for a moment.
func Nameless(dir, what, pattern string) (*os.File, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	fd, err := unix.Open(dir, unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir+"/("+what+")"), nil
	}
	// Some file systems, NFS among them, have no such files. Killed between the two calls, the program leaves an empty
	// one.
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
