package erase

import (
	"context"
	"io"

	"github.com/diskcast/diskcast/agent/erase/ata"
	"github.com/diskcast/diskcast/agent/erase/nvme"
	"github.com/diskcast/diskcast/internal/session"
)

// Device is a disk that nobody else uses as long as it is open. Offsets and lengths are whole sectors; reads and writes
// go past the page cache.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Size() int64
	SectorSize() int
	// CanDiscard and CanSecureDiscard say what the kernel offers for the disk.
	CanDiscard() bool
	CanSecureDiscard() bool
	Discard(off, n int64) error
	SecureDiscard(off, n int64) error
	// Zero makes bytes zero, by the disk's own command where it has one, else by writing; it never deallocates them.
	Zero(off, n int64) error
	// Flush has the disk write down what it keeps in its cache.
	Flush() error
	// ATA is nil where no ATA command reaches the disk.
	ATA() ata.Port
	// NVMe is nil where the disk is no NVMe namespace.
	NVMe() (c nvme.Controller, nsid uint32)
	Close() error
}

// Disks is the hardware.
type Disks interface {
	List() []session.Disk
	// InUse says what uses a disk; empty when nothing does.
	InUse(path string) (string, error)
	// Reread has the kernel take over the partition table that is on a disk now, none.
	Reread(ctx context.Context, path string, partitions []int) error
}
