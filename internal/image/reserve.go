package image

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/private"
	"github.com/diskcast/diskcast/internal/regular"
)

// A store whose disk is full must still be able to give room: removing an image begins with a new list of images, which
// is written before the old one goes. The store keeps a file that it gives up for that.
const (
	reserveFile = "reserve"
	minReserve  = 64 << 10 // bytes; also what the metadata of a small file may take
)

func (s *Store) reservePath() string { return filepath.Join(s.privateDir(), reserveFile) }

// noRoom reports whether the file system is what had no room.
func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// dropReserve gives the reserve up, and reports whether there was one.
func (s *Store) dropReserve() bool { return os.Remove(s.reservePath()) == nil }

// keepReserve sees to a reserve with room for twice a list of n bytes. Where there is no room for it there is none: the
// next change that finds room makes it.
func (s *Store) keepReserve(n int) {
	want := int64(2*n + minReserve)
	if st, err := os.Stat(s.reservePath()); err == nil && st.Size() >= want {
		return
	}
	f, err := regular.OpenFile(s.reservePath(), os.O_WRONLY|os.O_CREATE, private.FileMode)
	if err != nil {
		return
	}
	// Written, not fallocated: some file systems cannot do that, and a hole keeps nothing free.
	_, err = f.WriteAt(make([]byte, want), 0)
	if errors.Join(err, f.Close()) != nil {
		s.dropReserve()
	}
}
