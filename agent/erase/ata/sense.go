package ata

import "fmt"

// MaxSense is the longest sense data that is looked at, in bytes.
const MaxSense = 252

// ParseSense takes a disk's registers out of SCSI sense data: of descriptor format from the ATA status return
// descriptor, of fixed format, which has the low halves only, from the information fields (SAT-4 12.2.2.6 and
// 12.2.2.7).
func ParseSense(b []byte) (Registers, error) {
	if len(b) > MaxSense {
		b = b[:MaxSense]
	}
	if len(b) < 8 {
		return Registers{}, fmt.Errorf("sense data of %d bytes has no registers", len(b))
	}
	switch b[0] & 0x7f {
	case 0x72, 0x73:
		return descriptors(b)
	case 0x70, 0x71:
		return fixed(b)
	}
	return Registers{}, fmt.Errorf("sense data of the unknown format %02xh", b[0])
}

func descriptors(b []byte) (Registers, error) {
	end := min(8+int(b[7]), len(b))
	for at := 8; at+2 <= end; {
		kind, length := b[at], int(b[at+1])
		d := b[at:min(at+2+length, end)]
		if kind == 0x09 && length == 12 && len(d) == 14 {
			r := Registers{Error: d[3], Status: d[13], Device: d[12]}
			r.Count = uint16(d[5])
			r.LBA = uint64(d[7]) | uint64(d[9])<<8 | uint64(d[11])<<16
			if d[2]&1 != 0 { // EXTEND: the high halves count
				r.Count |= uint16(d[4]) << 8
				r.LBA |= uint64(d[6])<<24 | uint64(d[8])<<32 | uint64(d[10])<<40
			}
			return r, nil
		}
		at += 2 + length
	}
	return Registers{}, fmt.Errorf("sense data (key %xh, code %02xh/%02xh) without the disk's registers: what is "+
		"between here and the disk does not hand on ATA commands",
		b[1]&0xf, b[2], b[3])
}

func fixed(b []byte) (Registers, error) {
	if len(b) < 14 {
		return Registers{}, fmt.Errorf("sense data of %d bytes has no registers", len(b))
	}
	// The fields hold registers where "ATA pass-through information available" says so, and where libata reports an
	// aborted command: key Bh without a code, the information not marked valid, and the registers those of a failure.
	key, asc, ascq := b[2]&0xf, b[12], b[13]
	aborted := key == 0xb && asc == 0 && ascq == 0 && b[0]&0x80 == 0 && b[4]&(statusError|statusFault) != 0
	if !aborted && (asc != 0 || ascq != 0x1d) {
		return Registers{}, fmt.Errorf("sense data (key %xh, code %02xh/%02xh) without the disk's registers", key, asc,
			ascq)
	}
	if b[8]&0x60 != 0 {
		return Registers{}, fmt.Errorf("sense data of fixed format leaves out half of the disk's registers")
	}
	return Registers{Error: b[3], Status: b[4], Device: b[5], Count: uint16(b[6]),
		LBA: uint64(b[9]) | uint64(b[10])<<8 |
			uint64(b[11])<<16}, nil
}
