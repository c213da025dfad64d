package image

import (
	"errors"
	"fmt"
)

// ErrNotFound is wrapped by errors about a name or digest that the store does not have.
var ErrNotFound = errors.New("not in the store")

// ErrNoStore is wrapped by the error of FindStore about a directory that has no store.
var ErrNoStore = errors.New("there is no image store")

// ErrFormat is wrapped by errors about a manifest, config or index that is not what the format allows.
var ErrFormat = errors.New("not a valid image")

// DamageError says that a frame of an image is not what the index says, that a blob of it is missing or not what its
// name says, or that the list of the images is not whole.
type DamageError struct {
	Image  string // name or digest of the image
	Server string // whose store the image is in; empty for one here
	Chunk  int    // the first chunk that is made of the frame, -1 when the damage is not in a frame
	Disk   int64  // where that chunk begins on the disk, bytes
	Blob   string // digest of the blob, when it is known
	Offset int64  // of the frame in the blob
	Object int64  // of the frame in the object
	Length int64  // of the frame as stored
	Reason string // what is wrong
	File   string // what is damaged is this file of the store, and no blob
	// Missing says that the blob is not in the store at all. That is not ErrNotFound: the image is there, and is not
	// whole.
	Missing bool
}

func (e *DamageError) Error() string {
	if e.File != "" {
		return fmt.Sprintf("%s is damaged: %s", e.File, e.Reason)
	}
	name := e.Image
	if name == "" {
		name = "image"
	}
	if e.Server != "" {
		name += " at " + e.Server
	}
	if e.Missing && e.Chunk < 0 {
		return fmt.Sprintf("%s: blob %s is missing: %s", name, e.Blob, e.Reason)
	}
	if e.Missing {
		return fmt.Sprintf("%s: blob %s, which chunk %d (disk offset %d) and others are in, is missing: %s", name,
			e.Blob, e.Chunk, e.Disk, e.Reason)
	}
	if e.Chunk < 0 && e.Offset == 0 { // it is about the blob as a whole
		return fmt.Sprintf("%s: blob %s is damaged: %s", name, e.Blob, e.Reason)
	}
	if e.Chunk < 0 {
		return fmt.Sprintf("%s: blob %s is damaged at offset %d: %s", name, e.Blob, e.Offset, e.Reason)
	}
	where := fmt.Sprintf("object offset %d", e.Object)
	if e.Blob != "" {
		where = fmt.Sprintf("offset %d of blob %s", e.Offset, e.Blob)
	}
	return fmt.Sprintf("%s: chunk %d (disk offset %d, %s, %d bytes) is damaged: %s", name, e.Chunk, e.Disk, where,
		e.Length, e.Reason)
}
