// Package table reads and writes partition tables: GPT and MBR ("dos"), on disks of 512- and 4096-byte sectors.
//
// A GPT disk begins with a protective MBR, followed by the primary header at sector 1 and an array of entries, normally
// 16 KiB at sector 2; the backup array and the backup header are the last sectors of the disk (UEFI specification 2.10,
// section 5.3). All addresses are counted in logical sectors, so a table that is moved to a disk of another sector size
// is another table, even when every partition stays at the same byte. A dos disk has four entries in sector 0, one of
// which may be a container: a linked list of extended boot records (EBR), each with one logical partition and a link.
//
// What Read returns is complete: Write makes the table again from it, bit for bit on the same disk, adapted on another.
// That includes the boot code in sector 0, hybrid MBR entries, attributes, names, reserved bytes, and the boot records
// of logical partitions. What else lies outside the partitions is in Table.Regions.
//
// A table is believed only if it is beyond doubt: what names less than what may be there (entries without a type, a
// hybrid MBR or an older table that contradicts a GPT), more than there is, or one place twice, is refused, and the
// disk is captured whole.
//
// This package does not use go-diskfs, whose tables have no logical partitions, which replaces a hybrid MBR by a
// protective one, hides the addresses of the entry array and of the usable space, and cannot convert between sector
// sizes.
package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/diskcast/diskcast/internal/volume"
)

// Kinds of a volume.Table.
const (
	KindGPT  = "gpt"
	KindDOS  = "dos"
	KindNone = "none"
)

// ReadWriterAt is what Write needs of a disk: it reads nothing but what it is going to overwrite in part.
type ReadWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// Piece is a run of bytes that belongs to the partition table of one disk.
type Piece struct {
	Offset int64
	Data   []byte
}

// notTable is why a disk has no partition table at all.
type notTable string

func (n notTable) Error() string { return string(n) }

// refusal is why something that looks like a partition table is not believed.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, a ...any) refusal { return refusal(fmt.Sprintf(format, a...)) }

// Read returns the partition table of a disk of size bytes. A disk without one gives a Table of Kind "none" whose Notes
// say so. One whose table is damaged, contradicts itself or is of a kind that this package does not understand gives a
// Table of Kind "none" that is Refused: the disk must be captured whole, whatever file system it seems to hold. An
// error means that the disk cannot be read.
//
// sectorSize is the disk's logical sector size. A GPT that was written for another one (an image file of a 4096-byte
// disk, or a USB bridge that changes the size) is found too; Table.SectorSize is then the table's. A dos table does not
// tell which size it was written for, so sectorSize must be right.
func Read(r io.ReaderAt, size int64, sectorSize int) (*volume.Table, error) {
	if err := checkSectorSize(sectorSize); err != nil {
		return nil, err
	}
	none := &volume.Table{Kind: KindNone, SectorSize: sectorSize, DiskSize: size}
	t, err := read(r, size, sectorSize)
	var no notTable
	var bad refusal
	switch {
	case err == nil:
		return t, nil
	case errors.As(err, &no):
		none.Notes = []string{string(no)}
	case errors.As(err, &bad):
		none.Refused = true
		none.Notes = []string{string(bad) +
			" The disk is captured whole, and no file system that it seems to hold is believed."}
	default:
		return nil, err
	}
	return none, nil
}

func read(r io.ReaderAt, size int64, sectorSize int) (*volume.Table, error) {
	if size < 2*int64(sectorSize) {
		return nil, notTable("The disk is too small for a partition table.")
	}
	mbr := make([]byte, mbrSize)
	if err := volume.ReadAt(r, size, 0, mbr); err != nil {
		return nil, fmt.Errorf("reading the first sector: %w", err)
	}
	var t *volume.Table
	var repaired []volume.Extent
	var err error
	switch {
	case mbr[510] != 0x55 || mbr[511] != 0xaa:
		err = notTable("It has no partition table.")
	case protective(mbr):
		t, repaired, err = readGPT(r, size, sectorSize, mbr)
	default:
		t, err = readDOS(r, size, sectorSize, mbr)
	}
	var no notTable
	if err == nil || errors.As(err, &no) {
		if stray := strayGPT(r, size, t, bootSector(mbr)); stray != nil {
			return nil, stray
		}
	}
	if err != nil {
		return nil, err
	}
	own, err := Layout(t, size, t.SectorSize)
	if err != nil {
		return nil, refuse("Its %s partition table is not sound: %v.", t.Kind, err)
	}
	if err := faithful(r, t, own, repaired); err != nil {
		return nil, err
	}
	t.Regions = gaps(t, own)
	return t, nil
}

// faithful makes sure that a table that is made again on the same disk is what was read, bit for bit, but for the
// places of damaged copies, which are repaired.
func faithful(r io.ReaderAt, t *volume.Table, own []Piece, repaired []volume.Extent) error {
	for _, p := range own {
		at := volume.Extent{Offset: p.Offset, Length: int64(len(p.Data))}
		if slices.ContainsFunc(repaired,
			func(e volume.Extent) bool { return e.Offset <= at.Offset && at.End() <= e.End() }) {
			continue
		}
		have := make([]byte, len(p.Data))
		if err := volume.ReadAt(r, t.DiskSize, p.Offset, have); err != nil {
			return fmt.Errorf("reading the partition table: %w", err)
		}
		if !bytes.Equal(have, p.Data) {
			return refuse("Its %s partition table has something at byte %d that could not be made again as it is.",
				t.Kind, p.Offset)
		}
	}
	return nil
}

// Layout returns the bytes that Write puts on a disk of targetSize bytes with sectors of targetSectorSize, in the order
// in which Write writes them. Whatever can make Write fail, apart from the disk, makes Layout fail: a partition beyond
// the end (a *TooSmallError), one that the sector size cannot address. All pieces lie outside the partitions; on the
// disk that was read, also outside t.Regions. Pieces are not always whole sectors.
func Layout(t *volume.Table, targetSize int64, targetSectorSize int) ([]Piece, error) {
	if err := checkSectorSize(targetSectorSize); err != nil {
		return nil, err
	}
	if t.Kind == KindNone {
		return nil, nil
	}
	if err := check(t, targetSize, targetSectorSize); err != nil {
		return nil, err
	}
	var pieces []Piece
	var err error
	switch t.Kind {
	case KindGPT:
		pieces, err = layoutGPT(t, targetSize, targetSectorSize)
	case KindDOS:
		pieces, err = layoutDOS(t, targetSectorSize)
	}
	if err != nil {
		return nil, err
	}
	return pieces, disjoint(t, pieces)
}

// Write makes t on w, a disk of targetSize bytes with sectors of targetSectorSize. For a GPT the backup is written
// first, so that a disk that was unplugged in between has one sound table. It does not flush w.
func Write(w ReadWriterAt, t *volume.Table, targetSize int64, targetSectorSize int) error {
	pieces, err := Layout(t, targetSize, targetSectorSize)
	if err != nil {
		return err
	}
	for _, p := range pieces {
		if err := writeSectors(w, p, int64(targetSectorSize)); err != nil {
			return fmt.Errorf("writing the partition table at byte %d: %w", p.Offset, err)
		}
	}
	return nil
}

// Same reports whether the disk r already carries what Write would write on it.
func Same(r io.ReaderAt, t *volume.Table, size int64, sectorSize int) (bool, error) {
	pieces, err := Layout(t, size, sectorSize)
	if err != nil {
		return false, err
	}
	for _, p := range pieces {
		have := make([]byte, len(p.Data))
		if err := volume.ReadAt(r, size, p.Offset, have); err != nil {
			return false, fmt.Errorf("reading the partition table: %w", err)
		}
		if !bytes.Equal(have, p.Data) {
			return false, nil
		}
	}
	return true, nil
}

// writeSectors writes whole sectors only, because a disk opened for direct I/O takes nothing else.
func writeSectors(w ReadWriterAt, p Piece, ss int64) error {
	start := p.Offset / ss * ss
	end := (p.Offset + int64(len(p.Data)) + ss - 1) / ss * ss
	buf := p.Data
	if start != p.Offset || end-start != int64(len(p.Data)) {
		buf = make([]byte, end-start)
		if n, err := w.ReadAt(buf, start); n < len(buf) && err != nil && err != io.EOF {
			return err
		}
		copy(buf[p.Offset-start:], p.Data)
	}
	_, err := w.WriteAt(buf, start)
	return err
}

func checkSectorSize(ss int) error {
	switch ss {
	case 512, 1024, 2048, 4096:
		return nil
	}
	return fmt.Errorf("a sector size of %d bytes is not supported: it must be 512, 1024, 2048 or 4096", ss)
}
