package rule

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// partition is an entry of a table, in bytes. logical ones lie behind a boot record of their own at ebr.
type partition struct {
	start, size int64
	ebr         int64
}

var le = binary.LittleEndian

const (
	gptEntries = 128 * 128 // bytes of the array
	gptUsual   = "\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4"
)

// gptHead is how many bytes a GPT takes at the start of the disk: protective MBR, header, array. At the end it takes a
// sector less.
func gptHead(sector int64) int64 { return 2*sector + (gptEntries+sector-1)/sector*sector }

// putGPT writes both copies of a GPT by chapter 5 of the UEFI specification.
func putGPT(r *rand.Rand, disk []byte, sector int64, parts []partition) {
	size := int64(len(disk))
	last := size/sector - 1
	entries := make([]byte, gptEntries)
	for i, p := range parts {
		e := entries[128*i:]
		copy(e, gptUsual)
		fill16(r, e[16:32])
		le.PutUint64(e[32:], uint64(p.start/sector))
		le.PutUint64(e[40:], uint64((p.start+p.size)/sector-1))
		le.PutUint64(e[48:], r.Uint64()&(1<<2|0xff<<56))
		for c := range r.IntN(36) { // any code units, also what is no UTF-16
			le.PutUint16(e[56+2*c:], uint16(1+r.IntN(0xffff)))
		}
	}
	array := (gptEntries + sector - 1) / sector
	var id [16]byte
	fill16(r, id[:])
	put := func(at, other, entriesAt int64) {
		clear(disk[at*sector : (at+1)*sector])
		h := disk[at*sector:]
		copy(h, "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")
		le.PutUint64(h[24:], uint64(at))
		le.PutUint64(h[32:], uint64(other))
		le.PutUint64(h[40:], uint64(gptHead(sector)/sector))
		le.PutUint64(h[48:], uint64(last-array-1))
		copy(h[56:], id[:])
		le.PutUint64(h[72:], uint64(entriesAt))
		le.PutUint32(h[80:], 128)
		le.PutUint32(h[84:], 128)
		if r.IntN(2) == 0 { // reserved bytes, of each copy for itself
			fill16(r, h[92:sector])
		}
		le.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
		clear(disk[entriesAt*sector : (entriesAt+array)*sector])
		copy(disk[entriesAt*sector:], entries)
	}
	put(1, last, 2)
	put(last, 1, last-array)
	clear(disk[:sector])
	if r.IntN(2) == 0 {
		fill16(r, disk[:440]) // boot code
	}
	putEntry(disk[446:], 0xee, 1, min(last, 0xffffffff))
	copy(disk[510:], "\x55\xaa")
}

// fill16 makes random bytes.
func fill16(r *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
}

func putEntry(e []byte, typ byte, start, sectors int64) {
	copy(e, []byte{0, 0xfe, 0xff, 0xff, typ, 0xfe, 0xff, 0xff})
	le.PutUint32(e[8:], uint32(start))
	le.PutUint32(e[12:], uint32(sectors))
}

// putDOS writes an MBR and, for the partitions that have a place for one, a chain of extended boot records. The
// extended partition lies from extended to end.
func putDOS(r *rand.Rand, disk []byte, sector int64, parts []partition, extended, end int64) {
	clear(disk[:512])
	fill16(r, disk[:446])
	copy(disk[510:], "\x55\xaa")
	slot := disk[446:]
	var logical []partition
	for _, p := range parts {
		if p.ebr > 0 {
			logical = append(logical, p)
			continue
		}
		putEntry(slot, 0x83, p.start/sector, p.size/sector)
		slot = slot[16:]
	}
	if len(logical) == 0 {
		return
	}
	putEntry(slot, 0x0f, extended/sector, (end-extended)/sector)
	for i, p := range logical {
		e := disk[p.ebr : p.ebr+512]
		fill16(r, e[:446])
		clear(e[446:510])
		copy(e[510:], "\x55\xaa")
		putEntry(e[446:], 0x83, (p.start-p.ebr)/sector, p.size/sector)
		if i+1 < len(logical) {
			next := logical[i+1]
			putEntry(e[462:], 0x05, (next.ebr-extended)/sector, (next.start+next.size-next.ebr)/sector)
		}
	}
}
