// Package label recognises what divides a partition, or a disk without a table that package table reads, into parts of
// its own: disklabels, nested partition tables, and the databases of volume managers that a partition's type announces.
//
// An operating system that knows such a label finds several file systems where a reader finds the one that happens to
// lie at the start. What that one calls free may be its neighbour's data, so whatever carries a label is captured
// whole. That holds for a label with a single part too: it saves few bytes to believe it, and costs data where the
// label is older than what lies there now.
//
// A label counts when its magic number and, where it has one, its checksum or a second magic number agree. Sectors have
// 512 bytes except where a comment says otherwise.
//
// Sources: disklabel(5) of FreeBSD, NetBSD and OpenBSD; Sun's dklabel(7) and the Solaris VTOC of "System Administration
// Guide"; the header files that Linux publishes for its partition parsers (AIX, SGI, Ultrix, UnixWare, Amiga, Atari,
// DASD, SYSV68); "Inside Macintosh: Devices", chapter 3; the UEFI specification, section 5.3; the LDM documentation of
// the Linux-NTFS project.
package label

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

const (
	sector = 512
	// headSize is as far as a label of any kind lies from the start: Ultrix keeps its own at the end of 16 KiB.
	headSize = 16 << 10
)

// disk is what a label's parser sees.
type disk struct {
	head []byte // headSize bytes, zeros behind the end of a smaller partition
	last []byte // the last sector
	size int64
}

// at returns n bytes of the head.
func (d *disk) at(off, n int) []byte { return d.head[off : off+n] }

// kind is one sort of label. find returns what is known of its parts, "" for nothing.
type kind struct {
	typ  string // as blkid calls it in PTTYPE
	name string
	find func(d *disk) (parts string, ok bool)
}

var kinds = []kind{
	{"bsd", "a BSD disklabel", bsd},
	{"sun", "a Sun disk label", sun},
	{"sgi", "an SGI volume header", sgi},
	{"solaris", "a Solaris x86 VTOC", solaris},
	{"unixware", "a UnixWare VTOC", unixware},
	{"ultrix", "an Ultrix disklabel", ultrix},
	{"aix", "an AIX label", aix},
	{"mac", "an Apple partition map", mac},
	{"amiga", "an Amiga rigid disk block", amiga},
	{"atari", "an Atari partition table", atari},
	{"dasd", "an IBM DASD volume label", dasd},
	{"pc98", "a PC-98 partition table", pc98},
	{"sysv68", "a Motorola SYSV68 label", sysv68},
	{"karma", "a Rio Karma disklabel", karma},
	{"gpt", "a GUID partition table of its own", gpt},
	{"dos", "a DOS partition table of its own", dos},
	{"ldm", "the database of a Windows dynamic disk", ldm},
}

// Open looks for a label in the size bytes of r. The result's type is what blkid prints as PTTYPE, and its map is all
// of the size. The error wraps volume.ErrNotThis when there is none.
func Open(r io.ReaderAt, size int64) (volume.FileSystem, error) {
	d := &disk{head: make([]byte, headSize), size: size}
	n := min(size, headSize)
	if err := volume.ReadAt(r, size, 0, d.head[:n]); err != nil {
		return nil, fmt.Errorf("looking for a disklabel: %w", err)
	}
	d.last = make([]byte, sector)
	if size >= sector {
		if err := volume.ReadAt(r, size, size/sector*sector-sector, d.last); err != nil {
			return nil, fmt.Errorf("looking for a disklabel: %w", err)
		}
	}
	for _, k := range kinds {
		parts, ok := k.find(d)
		if !ok {
			continue
		}
		if parts != "" {
			parts = " (" + parts + ")"
		}
		return volume.Whole(k.typ, size, volume.Info{Clean: true, Notes: []string{fmt.Sprintf(
			"It carries %s%s, so several file systems may lie in it, of which none is read. It is captured whole, "+
				"without its all-zero blocks.",
			k.name, parts)}}), nil
	}
	return nil, fmt.Errorf("label: %w", volume.ErrNotThis)
}

// typed are partition types whose content is divided by a database elsewhere on the disk, or on another one: no
// signature need lie in the partition itself. GUIDs are in lower case.
var typed = map[string]string{
	"5808c8aa-7e8f-42e0-85d2-e1e90434cfb3": "the database of a Windows dynamic disk (LDM)",
	"af9b60a0-1431-4f62-bc68-3311714a69ad": "the volumes of a Windows dynamic disk (LDM)",
	"e75caf8f-f680-4cee-afa3-b001e56efc2d": "a part of a Windows storage pool (Storage Spaces)",
	"558d43c5-a1ac-43c0-aac8-d1472b2923d1": "the log of a Windows storage replica",
	"0x42":                                 "the volumes of a Windows dynamic disk (LDM)",
	"52414944-0000-11aa-aa11-00306543ecac": "a member of an Apple software RAID",
	"52414944-5f4f-11aa-aa11-00306543ecac": "a member of an Apple software RAID that is off line",
	"53746f72-6167-11aa-aa11-00306543ecac": "an Apple Core Storage volume",
	"516e7cb8-6ecf-11d6-8ff8-00022d09712b": "a FreeBSD Vinum volume",
	"2db519c4-b10f-11dc-b99b-0019d1879648": "a NetBSD concatenated disk (CCD)",
	"49f48daa-b10e-11dc-b99b-0019d1879648": "a member of a NetBSD RAID (RAIDframe)",
	"37affc90-ef7d-4e96-91c3-2d7ae055b174": "an IBM GPFS disk",
}

// OfType says what a partition of this type (a GUID in lower case, or 0x42) holds when that cannot be told from its own
// bytes, as a sentence for the operator; "" for all other types.
func OfType(partitionType string) string {
	what := typed[partitionType]
	if what == "" {
		return ""
	}
	return fmt.Sprintf("By its type it holds %s: what is in it cannot be told from this partition alone. It is "+
		"captured whole, without its "+
		"all-zero blocks. Capture and restore all disks of the set together.", what)
}

func dasd(d *disk) (string, bool) {
	// VOL1, LNX1 and CMS1 in EBCDIC, in the volume label's block: the second of a FBA disk, the third of an ECKD one.
	for _, block := range []int{512, 1024, 2048, 4096} {
		for _, at := range []int{block, 2 * block} {
			for _, magic := range []string{"\xe5\xd6\xd3\xf1", "\xd3\xd5\xe7\xf1", "\xc3\xd4\xe2\xf1"} {
				if string(d.at(at, 4)) == magic {
					return "", true
				}
			}
		}
	}
	return "", false
}

func sysv68(d *disk) (string, bool) { return "", string(d.at(0xf8, 8)) == "MOTOROLA" }

// pc98 is a boot sector with the name of its boot menu; the table is in the sector behind it.
func pc98(d *disk) (string, bool) {
	return "", string(d.at(4, 4)) == "IPL1" && d.head[510] == 0x55 && d.head[511] == 0xaa
}

// gpt is a header with a table's revision; the checksum is not asked for, because a damaged table is one too.
func gpt(d *disk) (string, bool) {
	for _, at := range []int{512, 4096} {
		if bytes.HasPrefix(d.head[at:], []byte("EFI PART\x00\x00\x01\x00")) {
			return "", true
		}
	}
	return "", false
}

// ldm is the private header of a dynamic disk: in sector 6 of a disk with a DOS table, in the last sector of an LDM
// metadata partition and, as a copy, of a disk.
func ldm(d *disk) (string, bool) {
	const magic = "PRIVHEAD"
	return "", string(d.at(6*sector, 8)) == magic || string(d.last[:8]) == magic
}
