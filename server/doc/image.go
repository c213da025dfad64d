package doc

import (
	"time"

	"github.com/diskcast/diskcast/internal/image"
)

// ImageRow is an image in a list, or the reason why it cannot be used.
type ImageRow struct {
	Name    string    `json:"name"`
	Digest  string    `json:"digest"`
	Created time.Time `json:"created,omitzero"`
	// Disk is the size of the captured disk, Object what a restore sends; bytes. Both are 0 where Problem is set.
	Disk     int64  `json:"disk"`
	Object   int64  `json:"object"`
	Firmware string `json:"firmware,omitempty"`
	// Notes are what its capture found that the operator should know; Problem is why the image cannot be opened, or
	// that its bytes were found damaged. Either does not go with the other.
	Notes   []string `json:"notes,omitempty"`
	Problem string   `json:"problem,omitempty"`
}

// Image is an image as shown.
type Image struct {
	Name        string        `json:"name"` // that it was asked for by
	Digest      string        `json:"digest"`
	Object      int64         `json:"object"` // bytes that a restore sends
	Chunks      int           `json:"chunks"`
	Frames      int           `json:"frames"`
	Grid        int64         `json:"grid"` // bytes
	Blobs       []ImageBlob   `json:"blobs"`
	Shared      []ImageShared `json:"shared"`       // other images with chunks of this one
	SharedBytes int64         `json:"shared_bytes"` // as stored, of the frames that any of them has
	Config      *image.Config `json:"config"`
	Notes       []string      `json:"notes"`
	Map         []ImagePart   `json:"map,omitzero"` // the disk in equal parts, where that was asked for
}

// DataBlobs is how many of the blobs hold frames.
func (m *Image) DataBlobs() int {
	n := 0
	for _, b := range m.Blobs {
		if b.MediaType == image.DataType {
			n++
		}
	}
	return n
}

// ImageBlob is a blob of an image.
type ImageBlob struct {
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	MediaType string `json:"media_type"`
}

// ImageShared is another image that has chunks of this one.
type ImageShared struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Frames int    `json:"frames"`
	Bytes  int64  `json:"bytes"` // as stored
}

// ImagePart is one of the equal parts of a disk: how many of its bytes are what.
type ImagePart struct {
	Size   int64 `json:"size"`
	Used   int64 `json:"used"`   // stored, and no other image has them
	Shared int64 `json:"shared"` // stored, and another image of the store has them too
	Zero   int64 `json:"zero"`
}

// MaxImageParts bounds the parts that a disk is cut into for Image.Map.
const MaxImageParts = 1 << 16

// ImageDiff compares two images. All numbers are bytes of the disk, but for Object and New, which are bytes as stored.
type ImageDiff struct {
	SameDisk bool  `json:"same_disk"` // both hold the same disk
	Same     int64 `json:"same"`      // at the same place
	Moved    int64 `json:"moved"`     // of the new one, which the old one has elsewhere
	Changed  int64 `json:"changed"`
	Added    int64 `json:"added"`   // of the new one, where the old one has nothing
	Removed  int64 `json:"removed"` // of the old one, where the new one has nothing
	New      int64 `json:"new"`     // what a delta restore sends
	Object   int64 `json:"object"`  // what a full restore of the new one sends
	// Extents are where on the disk they differ, if that was asked for.
	Extents []ImageExtent `json:"extents,omitzero"`
}

// ImageExtent is a run of bytes of a disk.
type ImageExtent struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// ImageName is the name that an image was given, and the image.
type ImageName struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// ImageRemoved is what was removed, and which names the image still has; without any it is out of the store.
type ImageRemoved struct {
	Removed   string   `json:"removed"`
	Digest    string   `json:"digest"`
	NamesLeft []string `json:"names_left"`
}

// ImageExported is what an image was written to.
type ImageExported struct {
	Image   string  `json:"image"`
	Digest  string  `json:"digest"`
	Target  string  `json:"target"`
	Format  string  `json:"format"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// Words for programs of what is wrong with an image.
const (
	KindDamaged  = "damaged"   // an image of the store is damaged, or a file of it is missing
	KindNotFound = "not_found" // there is no such image
	KindBusy     = "busy"      // somebody else works on the store
	KindEnded    = "ended"     // of a job: the server ended; asked for again, the work goes on where it was
)
