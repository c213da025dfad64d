package library

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/units"
)

// RoomHelp adds to an error of a full disk where that is, how much is free, and what to do. What was kept so far may
// have been given up since the error, so that more is free than there was. scratch is where things are unpacked, if
// anywhere; need says how much is wanted.
func RoomHelp(err error, store, scratch, need string) error {
	if !full(err) {
		return err
	}
	words := fmt.Sprintf("the image store %s has %s free", store, freeWords(store))
	if scratch != "" && scratch != store {
		words += fmt.Sprintf(", and %s, where it is unpacked, %s", scratch, freeWords(scratch))
	}
	if need != "" {
		words += "; " + need
	}
	words += ". Make room with `diskcast image rm` and `diskcast image gc --unnamed --partial`, or name a store on a " +
		"larger disk with --store"
	if scratch != "" {
		words += ", and another place to unpack with --scratch"
	}
	return fmt.Errorf("%w: %s", err, words)
}

// TargetHelp is RoomHelp where an image is written to a file or folder elsewhere. dir is a folder that is there.
func TargetHelp(err error, dir, need string) error {
	if !full(err) {
		return err
	}
	words := fmt.Sprintf("%s has %s free", dir, freeWords(dir))
	if need != "" {
		words += "; " + need
	}
	return fmt.Errorf("%w: %s. Make room there, or name a target on a larger disk", err, words)
}

// full reports whether it is a file system that has no room.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func freeWords(dir string) string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "an unknown number of bytes"
	}
	return units.Bytes(int64(st.Bavail) * st.Bsize)
}
