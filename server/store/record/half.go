package record

import (
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// Keys of half-written disks.
const (
	HalfPrefix  = "half/"       // + node: Half
	HalvesKnown = "meta/halves" // true once they were gathered from the sessions of a version that kept none
)

// Half is the mark of a machine whose disk is not to be started. It outlives the session that left it so, and the node.
type Half struct {
	Node  string  `json:"node"`
	Board DMI     `json:"board,omitzero"`
	Disk  *DiskID `json:"disk,omitempty"` // the first that was chosen
	// Partition is the only one that is half-written, in words; empty: the disk is.
	Partition string    `json:"partition,omitempty"`
	Session   string    `json:"session"`
	Made      time.Time `json:"made"` // when that session was created
	Why       string    `json:"why"`
}

// OfHalf is the record of a mark.
func OfHalf(h Half, disk *session.DiskID) *Half {
	h.Disk = to(disk, ofDiskID)
	return &h
}
