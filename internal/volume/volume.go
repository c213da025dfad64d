// Package volume says what is on a disk: its partition table and, for every partition, which bytes the file
// system in it uses. It knows neither images nor the network.
//
// This package holds the words that its sub-packages share. Package table reads and writes partition tables.
// One package per file system (ext, fat, swap, ...) turns that file system's own allocation records into a list of
// Extents; package probe tries them all. All of it is read-only except table.Write and package grow.
//
// The promise of an allocation map is one-sided: every byte that the file system could ever read again is in it. It may
// hold more than that (a reader that is not sure about a block counts it as used), it may never hold less. A reader
// that meets something it does not know, such as an unknown incompatible feature flag, returns an error, and the whole
// partition is captured instead. So a wrong guess costs bytes in the image and never costs the operator's data.
package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/diskcast/diskcast/internal/span"
)

// ErrNotThis is wrapped by the error of a file system's Open when its signature is absent. Any other error of Open
// means that the signature is there and the rest is damaged or of a kind that the reader does not know.
var ErrNotThis = errors.New("signature not found")

// Extent is a run of bytes, Offset counted from the start of the partition (or of the disk, in a Table).
// In a list of extents they are in ascending order, do not overlap and do not touch.
type Extent = span.Span

// FileSystem is what a reader found in a partition, or on a disk without a partition table.
type FileSystem interface {
	// Type is the name that blkid prints: "ext4", "vfat", "swap", "xfs"; "raw" when it was not understood.
	Type() string
	// Info returns facts for the operator. It reads nothing more from the disk.
	Info() Info
	// Extents returns the allocated runs, relative to the start of the partition and within its size. It may read
	// a good part of the file system's metadata. It may be called several times.
	Extents() ([]Extent, error)
}

// Info describes a file system.
type Info struct {
	Label     string   `json:"label,omitempty"`
	UUID      string   `json:"uuid,omitempty"`       // as blkid prints it
	BlockSize int64    `json:"block_size,omitempty"` // bytes of an allocation unit
	Size      int64    `json:"size,omitempty"`       // bytes that the file system claims; at most the partition's
	Used      int64    `json:"used,omitempty"`       // bytes that the file system's own counters call used
	Clean     bool     `json:"clean"`                // it was unmounted in order
	Notes     []string `json:"notes,omitempty"`      // sentences for the operator
	// Bad are clusters or blocks that the file system itself calls bad: no file is in them, and the disk may not be
	// able to read them. In order.
	Bad []Extent `json:"-"`
}

// Clone returns a copy that shares nothing with the original.
func (i Info) Clone() Info {
	i.Notes = slices.Clone(i.Notes)
	return i
}

// TypeRaw is the Type of what no reader understood.
const TypeRaw = "raw"

// Table is a disk's partition table, with all that table.Write needs to make it again on another disk.
type Table struct {
	Kind       string      `json:"kind"`              // "gpt", "dos" or "none"
	SectorSize int         `json:"sector_size"`       // bytes; the unit of the addresses in the table
	DiskSize   int64       `json:"disk_size"`         // bytes
	DiskID     string      `json:"disk_id,omitempty"` // GUID in lower case, or 0x%08x for dos
	Partitions []Partition `json:"partitions,omitempty"`
	// Refused says, of a table of Kind "none", that the disk has something like a table that cannot be trusted. What
	// looks like a file system below it cannot be either: it may be left over from before the table.
	Refused bool `json:"refused,omitempty"`
	// Regions are all bytes outside the partitions and outside what is the table's own: gaps before, between and behind
	// partitions, where boot loaders and others keep what no table names.
	Regions []Extent `json:"regions,omitempty"`
	Notes   []string `json:"notes,omitempty"` // sentences for the operator

	// MBR is the first 512 bytes of the disk: boot code, disk signature, and the dos, protective or hybrid entries.
	MBR []byte `json:"mbr,omitempty"`
	// Extended is the dos partition that contains the logical ones; it is not among Partitions.
	Extended *Partition `json:"extended,omitempty"`
	// GPT holds the facts of a GPT that are not in the other fields.
	GPT *GPT `json:"gpt,omitempty"`
}

// GPT is the shape of a GUID partition table.
type GPT struct {
	EntryCount  int   `json:"entry_count"`   // slots in the entry array, normally 128
	EntrySize   int   `json:"entry_size"`    // bytes of a slot, normally 128
	Entries     int64 `json:"entries_start"` // bytes; where the primary entry array is, normally 2 sectors
	FirstUsable int64 `json:"first_usable"`  // bytes
	UsableEnd   int64 `json:"usable_end"`    // bytes; the first byte after the usable space
	// Backup is where the backup header lies, in bytes, when that is not the last sector (the disk was enlarged);
	// BackupEntries is where its array begins.
	Backup        int64 `json:"backup,omitempty"`
	BackupEntries int64 `json:"backup_entries,omitempty"`
	// Header is the sector of the primary header without the zeros at its end. It is kept only when it has something
	// that the other fields do not tell: another revision, a longer header, reserved bytes.
	Header []byte `json:"header,omitempty"`
	// BackupHeader is the same of the backup's header, kept only when it has something else there than the primary's.
	BackupHeader []byte `json:"backup_header,omitempty"`
	// Slots are entries that name no partition and are not empty: deleted ones, and ones of no length.
	Slots []Slot `json:"slots,omitempty"`
}

// Slot is an entry of a GPT as it is on the disk.
type Slot struct {
	Number int    `json:"number"` // from 1
	Data   []byte `json:"data"`
}

// Partition is one entry of a partition table.
type Partition struct {
	Number     int    `json:"number"` // as Linux numbers it; logical partitions begin at 5
	Start      int64  `json:"start"`  // bytes
	Size       int64  `json:"size"`   // bytes
	Type       string `json:"type"`   // type GUID in lower case, or 0x83
	UUID       string `json:"uuid,omitempty"`
	Name       string `json:"name,omitempty"`
	Attributes uint64 `json:"attributes,omitempty"` // GPT attribute bits
	Bootable   bool   `json:"bootable,omitempty"`   // dos active flag
	// EBRStart is where the extended boot record of a logical partition lies, in bytes; EBR is its 512 bytes. For
	// Table.Extended they are set when the chain begins with a record that describes no partition.
	EBRStart int64  `json:"ebr_start,omitempty"`
	EBR      []byte `json:"ebr,omitempty"`
	// Entry is the GPT entry as it is on the disk, kept only when the other fields do not tell all of it: bytes behind
	// the end of the name, a name that is not UTF-16, an entry of more than 128 bytes.
	Entry []byte `json:"entry,omitempty"`
}

// End returns the offset of the first byte after the partition.
func (p Partition) End() int64 { return p.Start + p.Size }

// ReadAt fills p from r at off, and says what was asked for when off and len(p) do not lie within size bytes.
// Readers use it for every address that came from the disk.
func ReadAt(r io.ReaderAt, size, off int64, p []byte) error {
	if off < 0 || off > size || int64(len(p)) > size-off {
		return fmt.Errorf("metadata points to bytes %d+%d, outside the %d bytes there are", off, len(p), size)
	}
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("reading %d bytes at %d: %w", len(p), off, err)
}

// Read is ReadAt into a new slice of n bytes; n must not exceed limit, the most that a sound file system could want.
func Read(r io.ReaderAt, size, off, n, limit int64) ([]byte, error) {
	if n < 0 || n > limit {
		return nil, fmt.Errorf("metadata asks for %d bytes at %d, more than the %d that are possible", n, off, limit)
	}
	if off < 0 || off > size || n > size-off {
		return nil, fmt.Errorf("metadata points to bytes %d+%d, outside the %d bytes there are", off, n, size)
	}
	p := make([]byte, n)
	return p, ReadAt(r, size, off, p)
}

// AnyNonZero says whether any byte of an extent of the size bytes of r is not zero. It reads no further than it must.
func AnyNonZero(r io.ReaderAt, size int64, e Extent) (bool, error) {
	b := make([]byte, min(e.Length, 1<<20))
	zeros := make([]byte, len(b))
	for at := e.Offset; at < e.End(); at += int64(len(b)) {
		b = b[:min(int64(len(b)), e.End()-at)]
		if err := ReadAt(r, size, at, b); err != nil {
			return false, err
		}
		if !bytes.Equal(b, zeros[:len(b)]) {
			return true, nil
		}
	}
	return false, nil
}

// Whole returns a FileSystem of the given type all of whose size bytes count as used.
func Whole(typ string, size int64, info Info) FileSystem {
	if info.Size == 0 {
		info.Size = size
	}
	info.Used = size
	return whole{typ: typ, size: size, info: info}
}

type whole struct {
	typ  string
	size int64
	info Info
}

func (w whole) Type() string { return w.typ }
func (w whole) Info() Info   { return w.info }
func (w whole) Extents() ([]Extent, error) {
	if w.size <= 0 {
		return nil, nil
	}
	return []Extent{{Offset: 0, Length: w.size}}, nil
}
