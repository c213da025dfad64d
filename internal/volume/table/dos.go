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

// readDOS reads the table in mbr. Without a sound one it returns nil and why.
func readDOS(r io.ReaderAt, size int64, sectorSize int, mbr []byte) (*volume.Table, string, error) {
	sector := int64(sectorSize)
	id := binary.LittleEndian.Uint32(mbr[mbrDiskID:])
	t := &volume.Table{Kind: KindDOS, SectorSize: sectorSize, DiskSize: size, DiskID: fmt.Sprintf("0x%08x", id), MBR: mbr}
	for i := range 4 {
		e := entryAt(mbr, i)
		// The boot sector of a FAT or NTFS file system ends in the same two bytes and has code or text here.
		if e.flag()&0x7f != 0 {
			return nil, "Its first sector is a boot sector without a partition table.", nil
		}
		if !e.used() {
			continue
		}
		switch {
		case e.kind() == typeDynamic:
			return nil, "It is a Windows dynamic disk, whose volumes are described elsewhere. It is captured whole.", nil
		case e.start() == 0:
			return nil, "Its partition table describes the disk itself (a hybrid ISO image, or a file system with a table for show). " +
				"It is captured whole.", nil
		}
		p := volume.Partition{Number: i + 1, Start: e.start() * sector, Size: e.sectors() * sector,
			Type: fmt.Sprintf("0x%02x", e.kind()), Bootable: e.flag() == 0x80}
		if !e.extended() {
			p.UUID = fmt.Sprintf("%08x-%02x", id, i+1)
			t.Partitions = append(t.Partitions, p)
			continue
		}
		if t.Extended != nil {
			return nil, "Its partition table has two extended partitions. It is captured whole.", nil
		}
		t.Extended = &p
	}
	if len(t.Partitions) == 0 && t.Extended == nil {
		return nil, "Its partition table is empty.", nil
	}
	if t.Extended != nil {
		why, err := readLogicals(r, t)
		if err != nil || why != "" {
			return nil, why, err
		}
	}
	return t, "", nil
}

// readLogicals follows the chain of extended boot records.
func readLogicals(r io.ReaderAt, t *volume.Table) (why string, err error) {
	sector := int64(t.SectorSize)
	x := t.Extended
	bad := func(format string, a ...any) (string, error) {
		return "Its extended partition is damaged: " + fmt.Sprintf(format, a...) + ". The disk is captured whole.", nil
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
			return "", fmt.Errorf("reading the boot record at byte %d: %w", at, err)
		}
		if ebr[510] != 0x55 || ebr[511] != 0xaa {
			if at == x.Start {
				return "", nil // a container that was never used
			}
			return bad("there is no boot record at byte %d", at)
		}
		data, link := slots(ebr)
		if d := entryAt(ebr, data); d.used() && !d.extended() {
			number := 5
			for _, p := range t.Partitions {
				if p.Number >= number {
					number = p.Number + 1
				}
			}
			t.Partitions = append(t.Partitions, volume.Partition{Number: number, Start: at + d.start()*sector, Size: d.sectors() * sector,
				Type: fmt.Sprintf("0x%02x", d.kind()), Bootable: d.flag() == 0x80, UUID: fmt.Sprintf("%08x-%02x", id, number),
				EBRStart: at, EBR: ebr})
		} else if at == x.Start {
			x.EBRStart, x.EBR = at, ebr
		}
		next := entryAt(ebr, link)
		if !next.used() || !next.extended() {
			return "", nil
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
	if x == nil {
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
		} else {
			clear(entryAt(ebr, data))
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
	e[0] = 0
	if p.Bootable {
		e[0] = 0x80
	}
	return nil
}
