package table

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/volume"
)

// readDOS reads the table in mbr. An entry that Linux would make a partition of, and that this does not understand,
// makes it refuse.
func readDOS(r io.ReaderAt, size int64, sectorSize int, mbr []byte) (*volume.Table, error) {
	sector := int64(sectorSize)
	if err := tableLike(mbr, size/sector); err != nil {
		return nil, err
	}
	id := binary.LittleEndian.Uint32(mbr[mbrDiskID:])
	t := &volume.Table{Kind: KindDOS, SectorSize: sectorSize, DiskSize: size, DiskID: fmt.Sprintf("0x%08x", id),
		MBR: mbr}
	for i := range 4 {
		e := entryAt(mbr, i)
		switch {
		case e.sectors() == 0:
			continue
		case e.flag()&0x7f != 0:
			return nil, refuse("Entry %d of its partition table is not one: it begins with the byte 0x%02x.", i+1,
				e.flag())
		case e.kind() == 0:
			return nil, refuse("Entry %d of its partition table has no type and names %d bytes at %d, as on hybrid "+
				"ISO images.",
				i+1, e.sectors()*sector, e.start()*sector)
		case e.kind() == typeDynamic:
			return nil, refuse("It is a Windows dynamic disk, whose volumes are described elsewhere.")
		case e.start() == 0:
			return nil, refuse("Its partition table describes the disk itself (a hybrid ISO image, or a file system " +
				"with a table for show).")
		}
		p := volume.Partition{Number: i + 1, Start: e.start() * sector, Size: e.sectors() * sector,
			Type: fmt.Sprintf("0x%02x", e.kind()), Bootable: e.flag() == 0x80}
		if !e.extended() {
			p.UUID = fmt.Sprintf("%08x-%02x", id, i+1)
			t.Partitions = append(t.Partitions, p)
			continue
		}
		if t.Extended != nil {
			return nil, refuse("Its partition table has two extended partitions.")
		}
		t.Extended = &p
	}
	if t.Extended != nil {
		if err := readLogicals(r, t); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// tableLike tells a partition table in a sector from the boot sector of a file system. What may be both is refused.
func tableLike(mbr []byte, sectors int64) error {
	named, possible, show := 0, 0, 0
	for i := range 4 {
		e := entryAt(mbr, i)
		if e.sectors() == 0 {
			continue
		}
		named++
		if e.plausible(sectors) {
			possible++
			if e.start() == 0 {
				show++
			}
		}
	}
	switch boot := bootSector(mbr); {
	case boot && possible == show: // mkfs.fat makes a table for show that describes the whole disk
		return notTable("Its first sector is the boot sector of a file system, without a partition table.")
	case boot:
		return refuse("Its first sector is the boot sector of a file system and has a partition table as well.")
	case named == 0 && zero(mbr[mbrDiskID:mbrEntries]):
		return notTable("It has no partition table: its first sector is a boot sector that names no partition.")
	case named == 0:
		return refuse("Its partition table names no partition.")
	case possible == 0:
		return refuse("Its first sector has something in place of a partition table that names no place on the disk.")
	}
	return nil
}

// readLogicals follows the chain of extended boot records.
func readLogicals(r io.ReaderAt, t *volume.Table) error {
	sector := int64(t.SectorSize)
	x := t.Extended
	bad := func(format string, a ...any) error {
		return refuse("Its extended partition is damaged: %s.", fmt.Sprintf(format, a...))
	}
	id := binary.LittleEndian.Uint32(t.MBR[mbrDiskID:])
	seen := map[int64]bool{}
	for at := x.Start; ; {
		if at < x.Start || at > x.End()-mbrSize || at > t.DiskSize-mbrSize {
			return bad("the chain leads to byte %d, which is outside it", at)
		}
		if seen[at] {
			return bad("the chain comes back to byte %d", at)
		}
		if len(seen) > maxLogicals {
			return bad("the chain has more than %d records", maxLogicals)
		}
		seen[at] = true
		ebr := make([]byte, mbrSize)
		if err := volume.ReadAt(r, t.DiskSize, at, ebr); err != nil {
			return fmt.Errorf("reading the boot record at byte %d: %w", at, err)
		}
		if ebr[510] != 0x55 || ebr[511] != 0xaa {
			if at == x.Start {
				return nil // a container that was never used
			}
			return bad("there is no boot record at byte %d", at)
		}
		data, link := slots(ebr)
		d, next := entryAt(ebr, data), entryAt(ebr, link)
		for i := range 4 {
			// Linux takes any entry with a size for a partition or a link.
			if e := entryAt(ebr, i); e.sectors() > 0 &&
				(i > 1 || i == data && (e.kind() == 0 || e.extended()) || i == link && !e.extended()) {
				return bad("entry %d of the boot record at byte %d names something that does not belong there", i+1, at)
			}
		}
		if d.used() {
			number := 5
			for _, p := range t.Partitions {
				if p.Number >= number {
					number = p.Number + 1
				}
			}
			t.Partitions = append(t.Partitions,
				volume.Partition{Number: number, Start: at + d.start()*sector, Size: d.sectors() * sector,
					Type: fmt.Sprintf("0x%02x", d.kind()), Bootable: d.flag() == 0x80,
					UUID:     fmt.Sprintf("%08x-%02x", id, number),
					EBRStart: at, EBR: ebr})
		} else if at == x.Start {
			x.EBRStart, x.EBR = at, ebr
		} else {
			return bad("the boot record at byte %d names no partition", at)
		}
		if !next.used() {
			return nil
		}
		at = x.Start + next.start()*sector
	}
}

// slots tells which entry of an extended boot record is the partition and which the link; by custom 0 and 1.
func slots(ebr []byte) (data, link int) {
	if e := entryAt(ebr, 0); e.used() && e.extended() {
		return 1, 0
	}
	return 0, 1
}

// layoutDOS returns the boot records from the last to the first, then the boot sector.
func layoutDOS(t *volume.Table, ss int) ([]Piece, error) {
	sector := int64(ss)
	mbr := append([]byte(nil), t.MBR...)
	if id, err := strconv.ParseUint(strings.TrimPrefix(t.DiskID, "0x"), 16, 32); err == nil {
		binary.LittleEndian.PutUint32(mbr[mbrDiskID:], uint32(id))
	}
	mbr[510], mbr[511] = 0x55, 0xaa
	var primaries, logicals []volume.Partition
	for _, p := range t.Partitions {
		if p.Number > 4 {
			logicals = append(logicals, p)
		} else {
			primaries = append(primaries, p)
		}
	}
	slices.SortFunc(logicals, func(a, b volume.Partition) int { return cmp.Compare(a.Number, b.Number) })
	if t.Extended != nil {
		primaries = append(primaries, *t.Extended)
	}
	var have [4]bool
	for _, p := range primaries {
		if p.Number < 1 || have[p.Number-1] {
			return nil, fmt.Errorf("partition number %d is not possible, or there twice", p.Number)
		}
		have[p.Number-1] = true
		if err := setEntry(entryAt(mbr, p.Number-1), p, p.Start, 0, sector); err != nil {
			return nil, err
		}
	}
	for i := range 4 {
		if e := entryAt(mbr, i); !have[i] && e.used() {
			clear(e)
		}
	}
	pieces, err := layoutLogicals(t.Extended, logicals, sector)
	if err != nil {
		return nil, err
	}
	return append(pieces, Piece{0, mbr}), nil
}

func layoutLogicals(x *volume.Partition, logicals []volume.Partition, sector int64) ([]Piece, error) {
	if x == nil || len(logicals) == 0 && len(x.EBR) == 0 { // a container that was never used has no record
		return nil, nil
	}
	chain := logicals
	if len(logicals) == 0 || logicals[0].EBRStart != x.Start {
		// The chain must begin at the start of the container: with a record for no partition.
		chain = append([]volume.Partition{{EBRStart: x.Start, EBR: x.EBR}}, logicals...)
	}
	var pieces []Piece
	for i, p := range chain {
		ebr := make([]byte, mbrSize)
		if len(p.EBR) == mbrSize {
			copy(ebr, p.EBR)
		}
		ebr[510], ebr[511] = 0x55, 0xaa
		data, link := slots(ebr)
		if p.Size > 0 {
			if p.Start < p.EBRStart {
				return nil, fmt.Errorf("partition %d starts before its boot record", p.Number)
			}
			if err := setEntry(entryAt(ebr, data), p, p.Start-p.EBRStart, p.EBRStart, sector); err != nil {
				return nil, err
			}
		} else if e := entryAt(ebr, data); e.used() {
			clear(e)
		}
		l := entryAt(ebr, link)
		if i+1 == len(chain) {
			if l.used() {
				clear(l)
			}
		} else {
			next := chain[i+1]
			kind, start := byte(typeExtended), (next.EBRStart-x.Start)/sector
			if l.extended() {
				kind = l.kind()
			}
			// How long the linked part is, nobody reads; an unchanged link keeps what it said.
			if !l.extended() || l.start() != start || l.sectors() == 0 {
				if err := l.set(kind, start, (next.End()-next.EBRStart)/sector, x.Start/sector); err != nil {
					return nil, fmt.Errorf("the link to partition %d: %w", next.Number, err)
				}
			}
		}
		pieces = append([]Piece{{p.EBRStart, ebr}}, pieces...)
	}
	return pieces, nil
}

// setEntry writes p, whose start is given relative to base, in bytes.
func setEntry(e entry, p volume.Partition, start, base, sector int64) error {
	kind, err := strconv.ParseUint(strings.TrimPrefix(p.Type, "0x"), 16, 8)
	if err != nil || kind == 0 {
		return fmt.Errorf("partition %d: %q is not a partition type of a dos table", p.Number, p.Type)
	}
	if err := e.set(byte(kind), start/sector, p.Size/sector, base/sector); err != nil {
		return fmt.Errorf("partition %d: %w", p.Number, err)
	}
	if p.Bootable != (e.flag() == 0x80) {
		e[0] ^= 0x80
	}
	return nil
}
