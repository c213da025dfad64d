package stick

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
)

// An ISO 9660 image (ECMA-119, 4th edition) with an El Torito catalog ("El Torito" Bootable CD-ROM Format
// Specification, 1.0; for UEFI 2.10, 13.3.2.1). Blocks of the image; what is before the first descriptor belongs to
// nobody, so that a GPT has its place there.
const (
	block        = 2048
	primaryBlock = 16 + iota - 1
	bootBlock
	endBlock
	littleBlock
	bigBlock
	rootBlock
	catalogBlock
)

// espBlock is where the EFI system partition begins: at a whole MiB, for the partition of a stick that it is too.
const espBlock = mib / block

// Names in the image.
const (
	espName     = "EFI.IMG;1"
	catalogName = "BOOT.CAT;1"
	loaderName  = "ISOLINUX.BIN;1"
)

// ISO is an image for a CD or DVD. It has a GPT too, so that it starts from a stick that it is copied to. With bios,
// which may be nil, machines with BIOS start from it as well.
func ISO(program *Program, bios *BIOS, modTime time.Time) ([]byte, error) {
	if bios != nil {
		return hybrid(program, bios, modTime)
	}
	return iso(program, nil, modTime)
}

func iso(program *Program, bios *BIOS, modTime time.Time) ([]byte, error) {
	esp, err := system(program, espBlock*block/sector, modTime)
	if err != nil {
		return nil, err
	}
	end := espBlock + align(len(esp), block)/block
	files := []file{{catalogName, nil, catalogBlock}, {espName, esp, espBlock}}
	if bios != nil {
		files = append(files, bios.files(end)...)
		last := files[len(files)-1]
		end = last.at + align(len(last.data), block)/block
	}
	out := make([]byte, align(end*block+backupSize, mib))
	if len(out)/block > math.MaxUint32 || len(esp) > math.MaxUint32 {
		return nil, fmt.Errorf("%d bytes do not fit an ISO image", len(esp))
	}
	root := append(record("\x00", rootBlock, block, true, modTime), record("\x01", rootBlock, block, true, modTime)...)
	loader := 0
	for _, f := range files { // sorted by name (9.3)
		size := len(f.data)
		if f.name == catalogName {
			size = block
		}
		if f.name == loaderName {
			loader = f.at
		}
		copy(out[f.at*block:], f.data)
		root = append(root, record(f.name, f.at, size, false, modTime)...)
	}
	copy(out[rootBlock*block:], root)
	copy(out[littleBlock*block:], pathTable(binary.LittleEndian))
	copy(out[bigBlock*block:], pathTable(binary.BigEndian))
	copy(out[primaryBlock*block:], primary(len(out)/block, modTime))
	copy(out[bootBlock*block:], "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(out[bootBlock*block+71:], catalogBlock)
	copy(out[endBlock*block:], "\xffCD001\x01")
	copy(out[catalogBlock*block:], catalog(len(esp), loader))
	if err := writeGPT(out, espBlock*block, len(esp), sha256.Sum256(program.Data)); err != nil {
		return nil, err
	}
	if bios != nil {
		bios.start(out, loader)
	}
	return out, nil
}

// both writes a number with its low byte first and then with its high byte first, as ISO 9660 has most numbers.
func both(n int) []byte {
	return binary.BigEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, uint32(n)), uint32(n))
}

func both16(n int) []byte {
	return binary.BigEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, uint16(n)), uint16(n))
}

// record is an entry of a directory (9.1).
func record(name string, at, size int, dir bool, t time.Time) []byte {
	flags := byte(0)
	if dir {
		flags = 2
	}
	length := align(33+len(name), 2)
	r := append([]byte{byte(length), 0}, both(at)...)
	r = append(r, both(size)...)
	t = since1970(t)
	r = append(r, byte(t.Year()-1900), byte(t.Month()), byte(t.Day()), byte(t.Hour()), byte(t.Minute()),
		byte(t.Second()), 0, flags, 0, 0)
	r = append(r, both16(1)...)
	r = append(append(r, byte(len(name))), name...)
	return append(r, make([]byte, length-len(r))...)
}

// since1970 keeps to the years that a record can hold, which has one byte for them.
func since1970(t time.Time) time.Time {
	if t = t.UTC(); t.Year() < 1970 || t.Year() > 2155 {
		return time.Unix(0, 0).UTC()
	}
	return t
}

// pathTable has the root alone (9.4).
func pathTable(order binary.AppendByteOrder) []byte {
	b := order.AppendUint32([]byte{1, 0}, rootBlock)
	return append(order.AppendUint16(b, 1), 0, 0)
}

// primary is the primary volume descriptor (8.4).
func primary(blocks int, t time.Time) []byte {
	text := func(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }
	b := []byte("\x01CD001\x01\x00" + text("", 32) + text(label, 32))
	b = append(append(append(b, make([]byte, 8)...), both(blocks)...), make([]byte, 32)...)
	b = append(append(append(b, both16(1)...), both16(1)...), both16(block)...)
	b = append(b, both(len(pathTable(binary.LittleEndian)))...)
	b = binary.LittleEndian.AppendUint32(b, littleBlock)
	b = binary.BigEndian.AppendUint32(append(b, 0, 0, 0, 0), bigBlock)
	b = append(append(b, 0, 0, 0, 0), record("\x00", rootBlock, block, true, t)...)
	b = append(b, text("", 128+128+128)+text("DISKCAST", 128)+text("", 37+37+37)...)
	stamp := since1970(t).Format("20060102150405") + "00\x00"
	none := strings.Repeat("0", 16) + "\x00"
	return append(b, stamp+stamp+none+none+"\x01"...)
}

// Platforms of a catalog's entries.
const (
	platformUEFI = 0xef
)

// catalog says that there is an image for UEFI firmware, of size bytes; and before it a loader for BIOS, if its block
// is not 0: BIOS takes the first entry, whatever its platform, and UEFI firmware looks through all.
func catalog(size, loader int) []byte {
	b := make([]byte, 32)
	b[0] = 1
	if loader == 0 {
		b[1] = platformUEFI
	}
	copy(b[4:], "diskcast")
	b[30], b[31] = 0x55, 0xaa
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(b[i:])
	}
	binary.LittleEndian.PutUint16(b[28:], -sum)
	if loader != 0 {
		b = append(b, entry(4, loader)...) // the first block, which loads the rest
		header := make([]byte, 32)
		header[0], header[1], header[2] = 0x91, platformUEFI, 1 // the last section, of one entry
		b = append(b, header...)
	}
	// Sectors of 512 bytes. EDK II takes 0 as "to the medium's end" (PartitionDxe, ElTorito.c); a larger number than
	// the field holds is left to that.
	n := size / sector
	if n > math.MaxUint16 {
		n = 0
	}
	return append(b, entry(n, espBlock)...)
}

// entry is one of so many sectors at a block, which starts and emulates no floppy.
func entry(sectors, at int) []byte {
	e := make([]byte, 32)
	e[0] = 0x88
	binary.LittleEndian.PutUint16(e[6:], uint16(sectors))
	binary.LittleEndian.PutUint32(e[8:], uint32(at))
	return e
}
