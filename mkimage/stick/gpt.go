package stick

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"unicode/utf16"
)

// A GPT (UEFI 2.10, 5.3) of 128 entries with 128 bytes: sectors of the entries, bytes of the copy at the disk's end.
const (
	entries     = 128
	entrySize   = 128
	tableSize   = entries * entrySize / sector
	backupSize  = (tableSize + 1) * sector
	headerSize  = 92
	firstUsable = 2 + tableSize
)

// espType is the type of an EFI system partition, C12A7328-F81F-11D2-BA4B-00A0C93EC93B, as it is stored.
var espType = [16]byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}

// guid makes an id of a sum, which stays the same for the same content; it is marked as one of a hash (RFC 9562, 5.8).
func guid(sum [32]byte, what string) (g [16]byte) {
	s := sha256.Sum256(append(sum[:], what...))
	copy(g[:], s[:])
	g[7] = g[7]&0x0f | 0x80 // the third field is stored with its low byte first
	g[8] = g[8]&0x3f | 0x80
	return g
}

// nameAt is where a partition's name stands in its entry (UEFI 2.10, 5.3.3).
const nameAt = 56

// partitionName is that of the one partition, as it is stored.
func partitionName() (name []byte) {
	for _, c := range utf16.Encode([]rune("diskcast\x00")) {
		name = binary.LittleEndian.AppendUint16(name, c)
	}
	return name
}

// Made tells whether a disk or an image is one of this package, by the name of its first partition.
func Made(r io.ReaderAt) bool {
	table := make([]byte, entrySize)
	if _, err := r.ReadAt(table, 2*sector); err != nil {
		return false
	}
	return bytes.Equal(table[:16], espType[:]) && bytes.HasPrefix(table[nameAt:], partitionName())
}

// writeGPT writes both copies of a table with one partition, from start on, of size bytes.
func writeGPT(disk []byte, start, size int, sum [32]byte) error {
	if start%sector != 0 || size%sector != 0 || len(disk)%sector != 0 || start/sector < firstUsable ||
		start+size > len(disk)-backupSize || len(disk)/sector > math.MaxUint32 {
		return fmt.Errorf("a partition of %d bytes at %d does not fit a disk of %d", size, start, len(disk))
	}
	last := len(disk)/sector - 1
	le := binary.LittleEndian
	table := make([]byte, entries*entrySize)
	partition := guid(sum, "partition")
	copy(table, espType[:])
	copy(table[16:], partition[:])
	le.PutUint64(table[32:], uint64(start/sector))
	le.PutUint64(table[40:], uint64((start+size)/sector-1))
	copy(table[nameAt:], partitionName())
	id := guid(sum, "disk")
	header := func(own, other, tableAt int) []byte {
		var b bytes.Buffer
		b.WriteString("EFI PART\x00\x00\x01\x00")
		for _, v := range []uint32{headerSize, 0, 0} {
			b.Write(le.AppendUint32(nil, v))
		}
		for _, v := range []int{own, other, firstUsable, last - tableSize - 1} {
			b.Write(le.AppendUint64(nil, uint64(v)))
		}
		b.Write(id[:])
		b.Write(le.AppendUint64(nil, uint64(tableAt)))
		for _, v := range []uint32{entries, entrySize, crc32.ChecksumIEEE(table)} {
			b.Write(le.AppendUint32(nil, v))
		}
		h := b.Bytes()
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
		return h
	}
	copy(disk[sector:], header(1, last, 2))
	copy(disk[2*sector:], table)
	copy(disk[(last-tableSize)*sector:], table)
	copy(disk[last*sector:], header(last, 1, last-tableSize))
	// The MBR that keeps programs off which know nothing of a GPT: one partition of type EE over all.
	mbr := disk[446:512]
	copy(mbr, "\x00\x00\x02\x00\xee\xff\xff\xff")
	le.PutUint32(mbr[8:], 1)
	le.PutUint32(mbr[12:], uint32(last))
	mbr[64], mbr[65] = 0x55, 0xaa
	return nil
}
