package table

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/volume"
)

func checkGPT(t *volume.Table, sector int64) error {
	g := t.GPT
	if g == nil {
		return fmt.Errorf("the GPT's own facts are missing")
	}
	switch {
	case g.EntrySize < gptEntrySize || g.EntrySize > 4096 || g.EntrySize&(g.EntrySize-1) != 0:
		return fmt.Errorf("GPT entries of %d bytes are not possible", g.EntrySize)
	case g.EntryCount < 1 || g.EntryCount > maxArray/g.EntrySize:
		return fmt.Errorf("a GPT with %d entries of %d bytes is not possible", g.EntryCount, g.EntrySize)
	case g.Entries < 0 || g.Entries > 1<<40:
		return fmt.Errorf("GPT entries at byte %d are not possible", g.Entries)
	case entriesStart(t, sector)%sector != 0:
		return fmt.Errorf("the GPT entries are at byte %d, which is not a multiple of the disk's sector size of %d",
			g.Entries, sector)
	case t.Extended != nil:
		return fmt.Errorf("a GPT has no extended partition")
	}
	if sector == int64(t.SectorSize) {
		for _, n := range []int64{g.FirstUsable, g.UsableEnd, g.Backup, g.BackupEntries} {
			if n < 0 || n%sector != 0 {
				return fmt.Errorf("the GPT names byte %d, which is not possible", n)
			}
		}
	}
	if g.Backup < 0 || g.Backup > 0 && (g.Backup > t.DiskSize-sector || g.BackupEntries < 2*sector ||
		g.BackupEntries > t.DiskSize-arraySectors(g, sector)*sector) {
		return fmt.Errorf("the backup GPT at byte %d, its entries at %d, is not possible", g.Backup, g.BackupEntries)
	}
	for _, s := range g.Slots {
		if s.Number < 1 || s.Number > g.EntryCount || len(s.Data) > g.EntrySize {
			return fmt.Errorf("slot %d with %d bytes is not possible in this GPT", s.Number, len(s.Data))
		}
	}
	for _, p := range t.Partitions {
		if p.Number < 1 || p.Number > g.EntryCount {
			return fmt.Errorf("partition number %d is not possible in a GPT with %d entries", p.Number, g.EntryCount)
		}
		if p.EBRStart != 0 {
			return fmt.Errorf("partition %d has a boot record, which a GPT does not know", p.Number)
		}
		if p.Start >= 0 && p.Start < 2*sector {
			return fmt.Errorf("partition %d starts inside the GPT", p.Number)
		}
	}
	return nil
}

// layoutGPT returns backup array, backup header, primary array, primary header, MBR.
func layoutGPT(t *volume.Table, size int64, ss int) ([]Piece, error) {
	sector := int64(ss)
	g := t.GPT
	array, err := gptArray(t, sector)
	if err != nil {
		return nil, err
	}
	guid, err := parseGUID(t.DiskID)
	if err != nil {
		return nil, fmt.Errorf("the disk's GUID: %w", err)
	}
	usableFrom, usableTo := usable(t, size, sector)
	head := func(raw []byte, my, other, entries int64) []byte {
		b := make([]byte, sector)
		le := binary.LittleEndian
		le.PutUint32(b[8:], gptRevision)
		le.PutUint32(b[12:], gptHeaderSize)
		hsize := gptHeaderSize
		if n := len(raw); n >= 16 && n <= len(b) {
			if size := le.Uint32(raw[12:]); size >= gptHeaderSize && int64(size) <= sector {
				copy(b, raw)
				hsize = int(size)
			}
		}
		copy(b, gptSignature)
		le.PutUint32(b[16:], 0)
		le.PutUint64(b[24:], uint64(my))
		le.PutUint64(b[32:], uint64(other))
		le.PutUint64(b[40:], uint64(usableFrom))
		le.PutUint64(b[48:], uint64(usableTo))
		copy(b[56:], guid[:])
		le.PutUint64(b[72:], uint64(entries))
		le.PutUint32(b[80:], uint32(g.EntryCount))
		le.PutUint32(b[84:], uint32(g.EntrySize))
		le.PutUint32(b[88:], crc32.ChecksumIEEE(array))
		le.PutUint32(b[16:], crc32.ChecksumIEEE(b[:hsize]))
		return b
	}
	mbr, err := gptMBR(t, size, sector)
	if err != nil {
		return nil, err
	}
	last := size/sector - 1
	backup, backupEntries, primary := last*sector, (last-arraySectors(g, sector))*sector, entriesStart(t, sector)
	if g.Backup > 0 && sameDisk(t, size, sector) {
		backup, backupEntries = g.Backup, g.BackupEntries
	}
	of := g.Header
	if len(g.BackupHeader) > 0 {
		of = g.BackupHeader
	}
	return []Piece{
		{backupEntries, array},
		{backup, head(of, backup/sector, 1, backupEntries/sector)},
		{primary, array},
		{sector, head(g.Header, 1, backup/sector, primary/sector)},
		{0, mbr},
	}, nil
}

// sameDisk says whether a disk is like the one that t was read from.
func sameDisk(t *volume.Table, size, sector int64) bool {
	return size == t.DiskSize && sector == int64(t.SectorSize)
}

// usable returns the first and last usable sector. On a disk of the same size they stay; on another one the last moves
// with the end of the disk. A value that would exclude a partition is widened.
func usable(t *volume.Table, size, sector int64) (from, to int64) {
	g := t.GPT
	if sameDisk(t, size, sector) && g.FirstUsable > 0 && g.FirstUsable < g.UsableEnd {
		return g.FirstUsable / sector, g.UsableEnd/sector - 1
	}
	lowest, highest := tableEnd(t, sector)/sector, size/sector-2-arraySectors(g, sector)
	if g.Entries > 2*int64(t.SectorSize) && g.FirstUsable < g.Entries {
		lowest = 2 // the array was moved behind some of the usable space
	}
	from, to = max((g.FirstUsable+sector-1)/sector, lowest), highest
	for _, p := range t.Partitions {
		from, to = max(min(from, p.Start/sector), lowest), max(to, p.End()/sector-1)
	}
	return min(from, to), to
}

func gptArray(t *volume.Table, sector int64) ([]byte, error) {
	g := t.GPT
	array := make([]byte, g.EntryCount*g.EntrySize)
	slot := func(number int) []byte { return array[(number-1)*g.EntrySize:][:g.EntrySize] }
	for _, s := range g.Slots {
		copy(slot(s.Number), s.Data)
	}
	for _, p := range t.Partitions {
		e, err := gptEntry(p, g.EntrySize, sector)
		if err != nil {
			return nil, err
		}
		copy(slot(p.Number), e)
	}
	return array, nil
}

// gptEntry makes the entry of a partition, of n bytes.
func gptEntry(p volume.Partition, n int, sector int64) ([]byte, error) {
	e := make([]byte, n)
	le := binary.LittleEndian
	kind, err := parseGUID(p.Type)
	if err != nil {
		return nil, fmt.Errorf("partition %d, type: %w", p.Number, err)
	}
	if kind == [16]byte{} {
		return nil, fmt.Errorf("partition %d has no type", p.Number)
	}
	id, err := parseGUID(p.UUID)
	if err != nil {
		return nil, fmt.Errorf("partition %d: %w", p.Number, err)
	}
	copy(e, p.Entry)
	copy(e, kind[:])
	copy(e[16:], id[:])
	le.PutUint64(e[32:], uint64(p.Start/sector))
	le.PutUint64(e[40:], uint64(p.End()/sector-1))
	le.PutUint64(e[48:], p.Attributes)
	if len(p.Entry) >= gptEntrySize && name(p.Entry[56:128]) == p.Name {
		return e, nil // as it is on the disk
	}
	units := utf16.Encode([]rune(p.Name))
	if len(units) > gptNameUnits {
		return nil, fmt.Errorf("partition %d: the name %q is longer than %d characters", p.Number, p.Name, gptNameUnits)
	}
	clear(e[56:128])
	for i, u := range units {
		le.PutUint16(e[56+2*i:], u)
	}
	return e, nil
}

// gptMBR adapts the protective or hybrid MBR. An entry of type 0xEE that reached to the end of the disk reaches to the
// end of the new one; the other entries name bytes that do not move.
func gptMBR(t *volume.Table, size, sector int64) ([]byte, error) {
	mbr := append([]byte(nil), t.MBR...)
	if sameDisk(t, size, sector) {
		return mbr, nil
	}
	old := int64(t.SectorSize)
	for i := range 4 {
		e := entryAt(mbr, i)
		if !e.used() {
			continue
		}
		start, end := e.start()*old, (e.start()+e.sectors())*old
		if e.kind() == typeProtective {
			// It starts at sector 1 whatever the size of a sector; some tools write the largest possible length.
			if e.start() <= 1 {
				start = e.start() * sector
			}
			full := min(size/sector-start/sector, 0xffffffff)
			if e.sectors() == 0xffffffff || end >= t.DiskSize/old*old {
				if e.sectors() == 0xffffffff {
					full = 0xffffffff
				}
				if err := setProtective(e, start/sector, full); err != nil {
					return nil, err
				}
				continue
			}
		}
		if start%sector != 0 || end%sector != 0 {
			return nil, fmt.Errorf("entry %d of the hybrid MBR covers bytes %d to %d, which sectors of %d cannot "+
				"address; "+
				"make the MBR a protective one (gdisk: x, n) and capture again", i+1, start, end, sector)
		}
		if end > size {
			return nil, &TooSmallError{Need: end, Have: size}
		}
		if err := e.set(e.kind(), start/sector, (end-start)/sector, 0); err != nil {
			return nil, fmt.Errorf("entry %d of the hybrid MBR: %w", i+1, err)
		}
	}
	return mbr, nil
}

// setProtective keeps the CHS addresses, which the UEFI specification fixes.
func setProtective(e entry, start, sectors int64) error {
	if start < 0 || start > 0xffffffff || sectors <= 0 {
		return fmt.Errorf("the protective MBR entry cannot be written")
	}
	binary.LittleEndian.PutUint32(e[8:], uint32(start))
	binary.LittleEndian.PutUint32(e[12:], uint32(sectors))
	return nil
}
