package label

import (
	"encoding/binary"
	"fmt"
	"strings"
)

const (
	bsdMagic = 0x82564557
	bsdParts = 148 // where the list of parts begins, 16 bytes each
	maxParts = 64
	vtoc     = 0x600ddeee
)

// bsd looks for a label of 4.4BSD or OSF/1 anywhere in the first 8 KiB, as NetBSD does: where it lies depends on the
// machine's architecture (byte 0 of sector 1, byte 64 or 128 of sector 0) and on the sector size. It has its magic
// number twice.
func bsd(d *disk) (string, bool) {
	for at := 0; at+bsdParts <= 8<<10; at += 4 {
		for _, order := range []binary.ByteOrder{le, be} {
			if order.Uint32(d.head[at:]) == bsdMagic && order.Uint32(d.head[at+132:]) == bsdMagic {
				return bsdNames(d.head[at:], order), true
			}
		}
	}
	return "", false
}

// bsdNames lists the letters of the parts in use. c, and d on some systems, stand for the whole disk; they are listed
// all the same.
func bsdNames(p []byte, order binary.ByteOrder) string {
	var names []string
	for i := range min(int(order.Uint16(p[138:])), maxParts, (len(p)-bsdParts)/16) {
		if order.Uint32(p[bsdParts+16*i:]) != 0 && i < 26 {
			names = append(names, string(rune('a'+i)))
		}
	}
	return strings.Join(names, ", ")
}

// sun is a label in sector 0, big-endian: its magic number at 508, and the sum modulo 2 of its 256 words is 0. Its
// slices are eight of 8 bytes at 444: first cylinder and number of sectors.
func sun(d *disk) (string, bool) {
	p := d.at(0, sector)
	var sum uint16
	for i := 0; i < sector; i += 2 {
		sum ^= be.Uint16(p[i:])
	}
	if be.Uint16(p[508:]) != 0xdabe || sum != 0 {
		return "", false
	}
	n := 0
	for i := range 8 {
		if be.Uint32(p[444+8*i+4:]) != 0 {
			n++
		}
	}
	return counted(n), true
}

// sgi is a volume header in sector 0, big-endian: its 128 words of 32 bits sum up to 0. Its parts are sixteen of 12
// bytes at 312: number of blocks, first block, type.
func sgi(d *disk) (string, bool) {
	p := d.at(0, sector)
	var sum uint32
	for i := 0; i < sector; i += 4 {
		sum += be.Uint32(p[i:])
	}
	if be.Uint32(p) != 0x0be5a941 || sum != 0 {
		return "", false
	}
	n := 0
	for i := range 16 {
		if be.Uint32(p[312+12*i:]) != 0 {
			n++
		}
	}
	return counted(n), true
}

// solaris is a VTOC in sector 1 of a partition: a sanity number at 12, version 1 behind it.
func solaris(d *disk) (string, bool) {
	p := d.at(sector, sector)
	return "", le.Uint32(p[12:]) == vtoc && le.Uint32(p[16:]) == 1
}

// unixware is a physical description in sector 29, with the number of Solaris's VTOC in its thirteenth byte.
func unixware(d *disk) (string, bool) { return "", le.Uint32(d.at(29*sector+12, 4)) == vtoc }

// ultrix is in the last 72 bytes of the boot area of 16 KiB: a magic number, and 1 for a valid label.
func ultrix(d *disk) (string, bool) {
	p := d.at(headSize-72, 8)
	return "", le.Uint32(p) == 0x032957 && le.Uint32(p[4:]) == 1
}

// aix is the word IBMA in EBCDIC.
func aix(d *disk) (string, bool) { return "", string(d.at(0, 4)) == "\xc9\xc2\xd4\xc1" }

func counted(n int) string { return fmt.Sprintf("%d slices", n) }
