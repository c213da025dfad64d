package table

import (
	"encoding/binary"
	"fmt"
)

// Layout of a boot sector. The UEFI specification, section 5.2.1, has the same numbers.
const (
	mbrSize    = 512
	mbrDiskID  = 440 // u32 little endian
	mbrEntries = 446 // 4 entries of 16 bytes, then 0x55 0xaa
	entrySize  = 16
)

// Partition types that mean something here.
const (
	typeExtended      = 0x05
	typeExtendedLBA   = 0x0f
	typeExtendedLinux = 0x85
	typeDynamic       = 0x42 // Windows LDM
	typeProtective    = 0xee
)

// An entry is 16 bytes of a boot sector: u8 flag, CHS of the first sector, u8 type, CHS of the last sector,
// u32 first sector, u32 number of sectors. It is a view: setting changes the sector.
type entry []byte

func entryAt(sector []byte, i int) entry {
	return entry(sector[mbrEntries+i*entrySize : mbrEntries+(i+1)*entrySize])
}

func (e entry) flag() byte     { return e[0] }
func (e entry) kind() byte     { return e[4] }
func (e entry) start() int64   { return int64(binary.LittleEndian.Uint32(e[8:])) }
func (e entry) sectors() int64 { return int64(binary.LittleEndian.Uint32(e[12:])) }
func (e entry) used() bool     { return e.kind() != 0 && e.sectors() != 0 }

func (e entry) extended() bool {
	return e.kind() == typeExtended || e.kind() == typeExtendedLBA || e.kind() == typeExtendedLinux
}

// set points the entry to another place, in sectors. The CHS addresses are rewritten only when the place changes: no
// program of this century reads them, and an unchanged table shall stay bit for bit the same. base is where start is
// counted from.
func (e entry) set(kind byte, start, sectors, base int64) error {
	if start < 0 || start > 0xffffffff || sectors < 0 || sectors > 0xffffffff {
		return fmt.Errorf("a dos table cannot address %d sectors at sector %d: it ends at 4294967295", sectors, start)
	}
	e[4] = kind
	if e.start() == start && e.sectors() == sectors {
		return nil
	}
	binary.LittleEndian.PutUint32(e[8:], uint32(start))
	binary.LittleEndian.PutUint32(e[12:], uint32(sectors))
	putCHS(e[1:4], base+start)
	putCHS(e[5:8], base+start+sectors-1)
	return nil
}

// putCHS uses the geometry of 255 heads and 63 sectors that every tool assumes; beyond 1023 cylinders the address is
// the largest one there is.
func putCHS(p []byte, lba int64) {
	c, h, s := lba/(255*63), lba/63%255, lba%63+1
	if c > 1023 {
		p[0], p[1], p[2] = 0xfe, 0xff, 0xff
		return
	}
	p[0], p[1], p[2] = byte(h), byte(s)|byte(c>>8)<<6, byte(c)
}

// protective says whether the sector announces a GPT: one of its entries has the type 0xEE. Linux and Windows read a
// GPT only then, and so do we: what is left of an old GPT behind a new dos table is not the disk's table.
func protective(mbr []byte) bool {
	for i := range 4 {
		if entryAt(mbr, i).kind() == typeProtective {
			return true
		}
	}
	return false
}

// plausible says whether an entry names a place on a disk of so many sectors.
func (e entry) plausible(sectors int64) bool {
	return e.flag()&0x7f == 0 && e.sectors() > 0 && e.start()+e.sectors() <= sectors
}

// bootSector says whether a sector is the first one of a FAT, exFAT, NTFS or BitLocker file system, which ends in the
// same two bytes as a boot sector with a partition table and has code or text where the entries are.
func bootSector(b []byte) bool {
	switch string(b[3:11]) {
	case "NTFS    ", "EXFAT   ", "-FVE-FS-":
		return true
	}
	le := binary.LittleEndian
	power := func(n uint16) bool { return n != 0 && n&(n-1) == 0 }
	return (b[0] == 0xeb || b[0] == 0xe9) && // jump
		le.Uint16(b[11:]) >= 512 && le.Uint16(b[11:]) <= 4096 && power(le.Uint16(b[11:])) && // bytes in a sector
		power(uint16(b[13])) && le.Uint16(b[14:]) > 0 && // sectors in a cluster, reserved ones
		(b[16] == 1 || b[16] == 2) && (b[21] == 0xf0 || b[21] >= 0xf8) // tables, medium
}
