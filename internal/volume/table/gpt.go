package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/volume"
)

// A GPT header, UEFI specification 2.10, table 5.5. All numbers are little endian.
const (
	gptSignature  = "EFI PART"
	gptRevision   = 0x00010000
	gptHeaderSize = 92
	gptEntrySize  = 128
	gptNameUnits  = 36 // UTF-16
)

type header struct {
	myLBA, otherLBA         uint64
	firstUsable, lastUsable uint64
	guid                    [16]byte
	entriesLBA              uint64
	entryCount, entrySize   uint32
	entriesCRC              uint32
	array                   []byte
	raw                     []byte // the sector, its checksum cleared
}

// readGPT reads the GPT that the protective mbr announces. repaired are the places of copies that are damaged.
func readGPT(r io.ReaderAt, size int64, sectorSize int, mbr []byte) (t *volume.Table, repaired []volume.Extent,
	err error) {
	var why []error
	for _, ss := range sectorSizes(sectorSize) {
		sector := int64(ss)
		primary, perr := readHeader(r, size, sector, 1)
		if perr == nil {
			t, repaired, err = fromPrimary(r, size, ss, mbr, primary)
		} else {
			backup, berr := readHeader(r, size, sector, size/sector-1)
			if ss == sectorSize {
				why = []error{perr, berr}
			}
			if berr != nil {
				continue
			}
			t, repaired, err = fromBackup(r, size, ss, mbr, backup, perr)
		}
		if err == nil {
			err = contradicted(t)
		}
		if err != nil {
			return nil, nil, err
		}
		note(t, sectorSize)
		return t, repaired, nil
	}
	if want, err := Claims(r, math.MaxInt64, sectorSize); err == nil && want > size {
		return nil, nil, refuse("Its GPT is of a disk of %d bytes, and there are %d: %d bytes are missing at its "+
			"end. It was cut, or is the copy of a larger disk.",
			want, size, want-size)
	}
	return nil, nil, refuse("Its boot sector announces a GPT, but the primary one is not sound (%v), and neither is "+
		"the backup (%v); "+
		"sgdisk or gdisk can repair it.", why[0], why[1])
}

// sectorSizes are the sizes for which a GPT may have been written, the likely one first.
func sectorSizes(first int) []int {
	sizes := []int{first}
	for _, s := range []int{512, 4096} {
		if s != first {
			sizes = append(sizes, s)
		}
	}
	return sizes
}

func fromPrimary(r io.ReaderAt, size int64, ss int, mbr []byte, primary *header) (*volume.Table, []volume.Extent,
	error) {
	sector := int64(ss)
	last := size/sector - 1
	t, err := gptTable(primary, size, ss, mbr)
	if err != nil {
		return nil, nil, err
	}
	header := func(lba int64) volume.Extent { return volume.Extent{Offset: lba * sector, Length: sector} }
	array := func(lba int64) volume.Extent {
		return volume.Extent{Offset: lba * sector, Length: int64(len(primary.array))}
	}
	backup, berr := readHeader(r, size, sector, int64(primary.otherLBA))
	if berr != nil {
		at := last - arraySectors(t.GPT, sector)
		if ok, err := ours(r, size, header(last), array(at), primary); err != nil {
			return nil, nil, err
		} else if !ok {
			return nil, nil, refuse("The backup of its GPT is missing (%v), and where it belongs, at the end of the "+
				"disk, is something else.", berr)
		}
		t.Notes = append(t.Notes,
			fmt.Sprintf("The backup GPT is missing or damaged (%v). A restore writes a new one.", berr))
		return t, []volume.Extent{header(last), array(at)}, nil
	}
	var repaired []volume.Extent
	if !bytes.Equal(primary.array, backup.array) || !sameFields(primary, backup) {
		if !samePlaces(primary, backup) {
			return nil, nil, refuse("The backup of its GPT has other partitions than the primary; sgdisk or gdisk " +
				"can make them alike.")
		}
		t.Notes = append(t.Notes,
			"The backup GPT differs from the primary one, which counts. A restore writes both alike.")
		repaired = []volume.Extent{header(int64(primary.otherLBA)), array(int64(backup.entriesLBA))}
	}
	if !bytes.Equal(primary.rest(), backup.rest()) {
		t.GPT.BackupHeader = bytes.TrimRight(backup.raw, "\x00")
	}
	if at := int64(primary.otherLBA); at != last || int64(backup.entriesLBA) != last-arraySectors(t.GPT, sector) {
		t.GPT.Backup, t.GPT.BackupEntries = at*sector, int64(backup.entriesLBA)*sector
		t.Notes = append(t.Notes,
			"The backup GPT is not at the end of the disk. It stays where it is on a disk of the same size; "+
				"on another one a restore puts it at the end.")
	}
	return t, repaired, nil
}

// fromBackup is for a damaged primary table.
func fromBackup(r io.ReaderAt, size int64, ss int, mbr []byte, backup *header, perr error) (*volume.Table,
	[]volume.Extent, error) {
	sector := int64(ss)
	end := backup.entriesLBA
	backup.entriesLBA = 2
	// The damaged header may still tell where its entries are, if they are not where they normally are.
	raw := make([]byte, sector)
	if err := volume.ReadAt(r, size, sector, raw); err != nil {
		return nil, nil, err
	}
	if lba := binary.LittleEndian.Uint64(raw[72:]); string(raw[:8]) == gptSignature && lba > 2 &&
		lba < backup.firstUsable {
		there, err := volume.Read(r, size, int64(lba)*sector, int64(len(backup.array)), maxArray)
		if err == nil && bytes.Equal(there, backup.array) {
			backup.entriesLBA = lba
		}
	}
	t, err := gptTable(backup, size, ss, mbr)
	if err != nil {
		return nil, nil, err
	}
	if int64(end) != size/sector-1-arraySectors(t.GPT, sector) {
		t.GPT.Backup, t.GPT.BackupEntries = (size/sector-1)*sector, int64(end)*sector
	}
	head := volume.Extent{Offset: sector, Length: sector}
	array := volume.Extent{Offset: entriesStart(t, sector), Length: int64(len(backup.array))}
	if ok, err := ours(r, size, head, array, backup); err != nil {
		return nil, nil, err
	} else if !ok {
		return nil, nil, refuse("The primary copy of its GPT is missing (%v), and where it belongs is something else.",
			perr)
	}
	t.Notes = append(t.Notes,
		fmt.Sprintf("The primary GPT is damaged (%v); the backup at the end of the disk was used. "+
			"A restore writes both.", perr))
	// The backup header keeps what only a header of its own says.
	return t, []volume.Extent{head, array, {Offset: (size/sector - 1) * sector, Length: sector}}, nil
}

// ours says whether the places of a copy of a GPT that cannot be read hold that copy, damaged, or nothing. want is the
// sound copy. Others keep their metadata there too: RAID at the end of the disk, boot loaders at its start.
func ours(r io.ReaderAt, size int64, head, array volume.Extent, want *header) (bool, error) {
	h, err := volume.Read(r, size, head.Offset, head.Length, 4096)
	if err != nil {
		return false, nil // the disk has no such place; Layout says so
	}
	if string(h[:8]) == gptSignature || bytes.Equal(h[56:72], want.guid[:]) {
		return true, nil
	}
	if !zero(h) {
		return false, nil
	}
	a, err := volume.Read(r, size, array.Offset, array.Length, maxArray)
	if err != nil {
		return false, nil
	}
	return zero(a) || bytes.Equal(a, want.array), nil
}

// samePlaces says whether two copies of a GPT name the same partitions.
func samePlaces(a, b *header) bool {
	if a.entryCount != b.entryCount || a.entrySize != b.entrySize {
		return false
	}
	for i := 0; i < len(a.array); i += int(a.entrySize) {
		x, y := a.array[i:], b.array[i:]
		if !bytes.Equal(x[:16], y[:16]) || !zero(x[:16]) && !bytes.Equal(x[32:48], y[32:48]) {
			return false
		}
	}
	return true
}

// contradicted refuses a GPT beside which the MBR names other places. What neither names is a gap; but a partition of
// the one in the middle of one of the other may hold a file system that is not seen.
func contradicted(t *volume.Table) error {
	sector := int64(t.SectorSize)
	for i := range 4 {
		e := entryAt(t.MBR, i)
		if e.sectors() == 0 || e.kind() == typeProtective {
			continue
		}
		at := volume.Extent{Offset: e.start() * sector, Length: e.sectors() * sector}
		for _, p := range t.Partitions {
			if at.Offset < p.End() && p.Start < at.End() && (at.Offset != p.Start || at.Length != p.Size) {
				return refuse("Entry %d of its MBR (%d bytes at %d) contradicts partition %d of its GPT (%d bytes at "+
					"%d).",
					i+1, at.Length, at.Offset, p.Number, p.Size, p.Start)
			}
		}
	}
	for _, p := range t.Partitions {
		if p.Type == typeLDMData || p.Type == typeLDMMetadata {
			return refuse("It is a Windows dynamic disk: partition %d is one of its database's, which says where the "+
				"volumes are.", p.Number)
		}
	}
	return nil
}

// Partition types of Windows dynamic disks.
const (
	typeLDMMetadata = "5808c8aa-7e8f-42e0-85d2-e1e90434cfb3"
	typeLDMData     = "af9b60a0-1431-4f62-bc68-3311714a69ad"
)

// strayGPT refuses a disk on which a GPT is found although its first sector announces none: the sector was overwritten,
// or the GPT is left over from before. t is the dos table, nil if there is none; a partition that both name alike is
// beyond doubt. The backup counts only where nothing else claims the first sector, as boot does, the boot sector of a
// file system.
func strayGPT(r io.ReaderAt, size int64, t *volume.Table, boot bool) error {
	if t != nil && t.Kind == KindGPT {
		return nil
	}
	for _, ss := range sectorSizes(512) {
		sector := int64(ss)
		h, err := readHeader(r, size, sector, 1)
		if err != nil && t == nil && !boot {
			h, err = readHeader(r, size, sector, size/sector-1)
		}
		if err != nil {
			continue
		}
		if t != nil {
			gpt, err := gptTable(h, size, ss, t.MBR)
			if err == nil && !disagree(gpt, t) {
				continue
			}
			return refuse("It has a dos partition table and beside it a GPT that names other places; wipefs shows " +
				"both and removes the one that is wrong.")
		}
		return refuse("Its first sector announces no GPT, but there is one at byte %d: either the sector was "+
			"overwritten (gdisk makes it again), "+
			"or the GPT is left over (wipefs removes it).", int64(h.myLBA)*sector)
	}
	return nil
}

// disagree says whether two tables name places that share bytes and are not the same.
func disagree(a, b *volume.Table) bool {
	for _, p := range a.Partitions {
		for _, q := range b.Partitions {
			if p.Start < q.End() && q.Start < p.End() && (p.Start != q.Start || p.Size != q.Size) {
				return true
			}
		}
	}
	return false
}

func note(t *volume.Table, sectorSize int) {
	if t.SectorSize != sectorSize {
		t.Notes = append(t.Notes,
			fmt.Sprintf("The GPT was written for sectors of %d bytes, the disk has %d.", t.SectorSize, sectorSize))
	}
	if hybrid(t.MBR) {
		t.Notes = append(t.Notes, "The MBR is a hybrid one: it lists partitions beside the GPT. It is kept.")
	}
}

// readHeader reads and checks the header at sector lba and its entry array.
func readHeader(r io.ReaderAt, size, sector, lba int64) (*header, error) {
	h, err := bareHeader(r, size, sector, lba)
	if err != nil {
		return nil, err
	}
	h.array, err = volume.Read(r, size, int64(h.entriesLBA)*sector, int64(h.entryCount)*int64(h.entrySize), maxArray)
	if err != nil {
		return nil, err
	}
	if got := crc32.ChecksumIEEE(h.array); got != h.entriesCRC {
		return nil, fmt.Errorf("the entries' checksum is %08x instead of %08x", got, h.entriesCRC)
	}
	return h, nil
}

// bareHeader reads and checks the header at sector lba, without its entry array.
func bareHeader(r io.ReaderAt, size, sector, lba int64) (*header, error) {
	if lba < 1 || lba >= size/sector {
		return nil, fmt.Errorf("it would be at sector %d, which the disk does not have", lba)
	}
	b := make([]byte, sector)
	if err := volume.ReadAt(r, size, lba*sector, b); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if string(b[:8]) != gptSignature {
		return nil, errors.New("there is no signature")
	}
	hsize := le.Uint32(b[12:])
	if hsize < gptHeaderSize || int64(hsize) > sector {
		return nil, fmt.Errorf("its header size is %d", hsize)
	}
	sum := le.Uint32(b[16:])
	clear(b[16:20])
	if got := crc32.ChecksumIEEE(b[:hsize]); got != sum {
		return nil, fmt.Errorf("the header's checksum is %08x instead of %08x", got, sum)
	}
	h := &header{
		myLBA: le.Uint64(b[24:]), otherLBA: le.Uint64(b[32:]),
		firstUsable: le.Uint64(b[40:]), lastUsable: le.Uint64(b[48:]),
		guid: [16]byte(b[56:72]), raw: b,
		entriesLBA: le.Uint64(b[72:]), entryCount: le.Uint32(b[80:]), entrySize: le.Uint32(b[84:]),
		entriesCRC: le.Uint32(b[88:]),
	}
	sectors := uint64(size / sector)
	switch {
	case h.myLBA != uint64(lba):
		return nil, fmt.Errorf("it was made for sector %d", h.myLBA)
	case h.entrySize < gptEntrySize || h.entrySize > 4096 || h.entrySize&(h.entrySize-1) != 0:
		return nil, fmt.Errorf("its entries have %d bytes", h.entrySize)
	case h.entryCount < 1 || uint64(h.entryCount)*uint64(h.entrySize) > maxArray:
		return nil, fmt.Errorf("it has %d entries", h.entryCount)
	case h.entriesLBA < 2 || h.entriesLBA >= sectors:
		return nil, fmt.Errorf("its entries are at sector %d", h.entriesLBA)
	case h.firstUsable > h.lastUsable || h.lastUsable >= sectors:
		return nil, fmt.Errorf("its usable space is from sector %d to %d", h.firstUsable, h.lastUsable)
	}
	return h, nil
}

func gptTable(h *header, size int64, ss int, mbr []byte) (*volume.Table, error) {
	sector := int64(ss)
	t := &volume.Table{
		Kind: KindGPT, SectorSize: ss, DiskSize: size, DiskID: guidText(h.guid[:]), MBR: mbr,
		GPT: &volume.GPT{
			EntryCount: int(h.entryCount), EntrySize: int(h.entrySize), Entries: int64(h.entriesLBA) * sector,
			FirstUsable: int64(h.firstUsable) * sector, UsableEnd: (int64(h.lastUsable) + 1) * sector,
		},
	}
	if !h.plain() {
		t.GPT.Header = bytes.TrimRight(h.raw, "\x00")
	}
	le := binary.LittleEndian
	for i := range int(h.entryCount) {
		e := h.array[i*int(h.entrySize):][:h.entrySize]
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		if zero(e[:16]) || last == first-1 {
			if !zero(e) {
				t.GPT.Slots = append(t.GPT.Slots, volume.Slot{Number: i + 1, Data: bytes.Clone(e)})
			}
			if !zero(e[:16]) {
				t.Notes = append(t.Notes, fmt.Sprintf("Partition %d has no length. Its entry is kept.", i+1))
			}
			continue
		}
		p := volume.Partition{Number: i + 1, Type: guidText(e), UUID: guidText(e[16:]), Attributes: le.Uint64(e[48:]),
			Name: name(e[56:128])}
		if limit := uint64(size / sector); last < first || last >= limit {
			return nil, refuse("Partition %d of its GPT is from sector %d to %d, and the disk has %d.", p.Number, first,
				last, limit)
		}
		p.Start, p.Size = int64(first)*sector, int64(last-first+1)*sector
		if made, err := gptEntry(p, len(e), sector); err != nil || !bytes.Equal(made, e) {
			p.Entry = bytes.Clone(e)
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t, nil
}

// sameFields says whether two headers of a GPT describe the same disk, each from its place.
func sameFields(primary, backup *header) bool {
	return primary.guid == backup.guid && primary.firstUsable == backup.firstUsable &&
		primary.lastUsable == backup.lastUsable &&
		primary.entryCount == backup.entryCount && primary.entrySize == backup.entrySize && backup.otherLBA == 1
}

// rest is what of a header's sector the fields of header do not tell: revision, length, reserved bytes, what lies
// behind.
func (h *header) rest() []byte {
	b := bytes.Clone(h.raw)
	clear(b[24:gptHeaderSize])
	return b
}

// plain says whether a header has nothing but what the fields of header tell.
func (h *header) plain() bool {
	le := binary.LittleEndian
	return le.Uint32(h.raw[8:]) == gptRevision && le.Uint32(h.raw[12:]) == gptHeaderSize && zero(h.raw[20:24]) &&
		zero(h.raw[gptHeaderSize:])
}

func name(b []byte) string {
	var u []uint16
	for i := 0; i+1 < len(b); i += 2 {
		c := binary.LittleEndian.Uint16(b[i:])
		if c == 0 {
			break
		}
		u = append(u, c)
	}
	return string(utf16.Decode(u))
}

// hybrid says whether a protective MBR lists other partitions too.
func hybrid(mbr []byte) bool {
	for i := range 4 {
		if e := entryAt(mbr, i); e.used() && e.kind() != typeProtective {
			return true
		}
	}
	return false
}

// arraySectors is how many sectors the entry array takes.
func arraySectors(g *volume.GPT, sector int64) int64 {
	return (int64(g.EntryCount)*int64(g.EntrySize) + sector - 1) / sector
}

// entriesStart is where the primary array begins, in bytes, on a disk with the given sector size. It is sector 2 unless
// somebody moved it to make room for a boot loader.
func entriesStart(t *volume.Table, sector int64) int64 {
	if t.GPT.Entries <= 2*int64(t.SectorSize) {
		return 2 * sector
	}
	return max(t.GPT.Entries, 2*sector)
}

// tableEnd is the first byte after the primary GPT.
func tableEnd(t *volume.Table, sector int64) int64 {
	return entriesStart(t, sector) + arraySectors(t.GPT, sector)*sector
}

// HybridStarts returns where the partitions begin, in bytes, that a hybrid MBR lists.
func HybridStarts(t *volume.Table) []int64 {
	if t.Kind != KindGPT || len(t.MBR) != mbrSize {
		return nil
	}
	var starts []int64
	for i := range 4 {
		if e := entryAt(t.MBR, i); e.used() && e.kind() != typeProtective {
			starts = append(starts, e.start()*int64(t.SectorSize))
		}
	}
	return starts
}
