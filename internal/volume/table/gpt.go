package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
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
}

// readGPT reads the GPT that the protective mbr announces. Without a sound one it returns nil and why.
func readGPT(r io.ReaderAt, size int64, sectorSize int, mbr []byte) (*volume.Table, string, error) {
	var why []error
	sizes := []int{sectorSize}
	for _, s := range []int{512, 4096} {
		if s != sectorSize {
			sizes = append(sizes, s)
		}
	}
	for _, ss := range sizes {
		sector := int64(ss)
		last := size/sector - 1
		primary, perr := readHeader(r, size, sector, 1)
		if perr == nil {
			backup, berr := readHeader(r, size, sector, int64(primary.otherLBA))
			t := gptTable(primary, size, ss, mbr)
			switch {
			case berr != nil:
				t.Notes = append(t.Notes, fmt.Sprintf("The backup GPT is missing or damaged (%v). A restore writes a new one.", berr))
			case !bytes.Equal(primary.array, backup.array) || primary.guid != backup.guid:
				t.Notes = append(t.Notes, "The backup GPT differs from the primary one, which counts. A restore writes both alike.")
			case int64(primary.otherLBA) != last:
				t.Notes = append(t.Notes, "The backup GPT is not at the end of the disk. A restore puts it there.")
			}
			note(t, sectorSize)
			return t, "", nil
		}
		backup, berr := readHeader(r, size, sector, last)
		if berr == nil {
			backup.entriesLBA = 2 // where the primary array was is not known
			t := gptTable(backup, size, ss, mbr)
			t.Notes = append(t.Notes, fmt.Sprintf("The primary GPT is damaged (%v); the backup at the end of the disk was used. "+
				"A restore writes both.", perr))
			note(t, sectorSize)
			return t, "", nil
		}
		if ss == sectorSize {
			why = []error{perr, berr}
		}
	}
	return nil, fmt.Sprintf("Its boot sector announces a GPT, but the primary one is not sound (%v), and neither is the backup (%v). "+
		"The disk is captured whole; sgdisk or gdisk can repair it.", why[0], why[1]), nil
}

func note(t *volume.Table, sectorSize int) {
	if t.SectorSize != sectorSize {
		t.Notes = append(t.Notes, fmt.Sprintf("The GPT was written for sectors of %d bytes, the disk has %d.", t.SectorSize, sectorSize))
	}
	if hybrid(t.MBR) {
		t.Notes = append(t.Notes, "The MBR is a hybrid one: it lists partitions beside the GPT. It is kept.")
	}
}

// readHeader reads and checks the header at sector lba and its entry array.
func readHeader(r io.ReaderAt, size, sector, lba int64) (*header, error) {
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
		guid:       [16]byte(b[56:72]),
		entriesLBA: le.Uint64(b[72:]), entryCount: le.Uint32(b[80:]), entrySize: le.Uint32(b[84:]), entriesCRC: le.Uint32(b[88:]),
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
	var err error
	h.array, err = volume.Read(r, size, int64(h.entriesLBA)*sector, int64(h.entryCount)*int64(h.entrySize), maxArray)
	if err != nil {
		return nil, err
	}
	if got := crc32.ChecksumIEEE(h.array); got != h.entriesCRC {
		return nil, fmt.Errorf("the entries' checksum is %08x instead of %08x", got, h.entriesCRC)
	}
	return h, nil
}

func gptTable(h *header, size int64, ss int, mbr []byte) *volume.Table {
	sector := int64(ss)
	t := &volume.Table{
		Kind: KindGPT, SectorSize: ss, DiskSize: size, DiskID: guidText(h.guid[:]), MBR: mbr,
		GPT: &volume.GPT{
			EntryCount: int(h.entryCount), EntrySize: int(h.entrySize), Entries: int64(h.entriesLBA) * sector,
			FirstUsable: int64(h.firstUsable) * sector, UsableEnd: (int64(h.lastUsable) + 1) * sector,
		},
	}
	le := binary.LittleEndian
	for i := range int(h.entryCount) {
		e := h.array[i*int(h.entrySize):]
		if zero(e[:16]) {
			continue
		}
		p := volume.Partition{Number: i + 1, Type: guidText(e), UUID: guidText(e[16:]), Attributes: le.Uint64(e[48:]), Name: name(e[56:128])}
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		// Numbers beyond the disk become a place that check refuses.
		if limit := uint64(size/sector) * 2; first > limit || last > limit || last < first {
			p.Start, p.Size = -1, -1
		} else {
			p.Start, p.Size = int64(first)*sector, int64(last-first+1)*sector
		}
		t.Partitions = append(t.Partitions, p)
	}
	return t
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
