package volumetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/uml"
)

// The host's kernel lacks many file systems. User-mode Linux has them (package uml).

// What a guest does.
const (
	GuestFill  = "fill"  // fills, unmounts
	GuestCrash = "crash" // fills, syncs, writes and syncs some more, and goes down without unmounting
	GuestList  = "list"  // lists, unmounts
	// GuestReadOnly lists what is mounted read-only.
	GuestReadOnly = "list-ro"
)

// callPrefix is before the name of a function of the test's own.
const callPrefix = "call:"

func init() {
	for _, do := range []string{GuestFill, GuestCrash, GuestList, GuestReadOnly} {
		uml.Handle(do, guestWork)
	}
}

// InGuest is for a test's init function: it makes f what Guest("call:"+name, ...) does with its disk inside of the
// guest, where it is root with all capabilities on a kernel of its own.
func InGuest(name string, f func(device, fstype string) (string, error)) {
	uml.Handle(callPrefix+name, func(t uml.Task) (string, error) { return f(uml.Disk, t.FS) })
}

// Guest runs a guest with the image as its disk and returns the listing it made.
func Guest(t testing.TB, do, image, fstype, options string, megabytes int) string {
	t.Helper()
	need.Tools(t, uml.Program)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	// Not in t.TempDir: what is in its name could mean something to the guest.
	listing, err := uml.Run(ctx, "",
		uml.Task{Name: do, Disk: image, FS: fstype, Args: []string{options, strconv.Itoa(megabytes)}})
	switch {
	case errors.Is(err, uml.ErrAbsent):
		need.Skip(t, "%v", err)
	case err != nil:
		t.Fatalf("guest to %s %s: %v", do, fstype, err)
	}
	return listing
}

func guestWork(t uml.Task) (string, error) {
	dir, do, options := uml.Mounts, t.Name, t.Args[0]
	var flags uintptr
	if do == GuestReadOnly {
		flags = unix.MS_RDONLY
	}
	if err := unix.Mount(uml.Disk, dir, t.FS, flags, options); err != nil {
		return "", fmt.Errorf("mount %s: %w", t.FS, err)
	}
	if do == GuestFill || do == GuestCrash {
		megabytes, err := strconv.Atoi(t.Args[1])
		if err != nil {
			return "", err
		}
		if err := fill(dir, megabytes); err != nil {
			return "", err
		}
	}
	if do == GuestCrash {
		if err := late(dir); err != nil {
			return "", err
		}
	}
	listing, err := list(dir)
	if err != nil || do == GuestCrash {
		return listing, err
	}
	if err := unix.Unmount(dir, 0); err != nil {
		return "", fmt.Errorf("umount: %w", err)
	}
	unix.Sync()
	return listing, nil
}

// late writes what a journal then holds: some files come, some go, everything synced.
func late(dir string) error {
	if err := syncFS(dir); err != nil {
		return err
	}
	for i := range 5 {
		f, err := os.Create(filepath.Join(dir, "late"+strconv.Itoa(i)))
		if err != nil {
			return err
		}
		_, err = f.WriteString(strings.Repeat("written last", 40_000))
		err = errors.Join(err, f.Sync(), f.Close())
		if err != nil {
			return err
		}
	}
	return syncFS(dir)
}
