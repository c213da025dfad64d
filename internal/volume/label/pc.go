package label

import "fmt"

// dos is a boot record whose four entries could all be partitions: in one, or on a disk whose table was refused. A boot
// sector of a file system ends with 55 AA too, and has code or text where the entries would be; so each entry must be
// empty, or have an active flag of 0 or 0x80, a type, a start and a length. Minix divides its partition in this way.
func dos(d *disk) (string, bool) {
	if d.head[510] != 0x55 || d.head[511] != 0xaa {
		return "", false
	}
	n := 0
	for i := range 4 {
		e := d.at(446+16*i, 16)
		if [16]byte(e) == [16]byte{} {
			continue
		}
		if e[0]&0x7f != 0 || e[4] == 0 || le.Uint32(e[8:]) == 0 || le.Uint32(e[12:]) == 0 {
			return "", false
		}
		n++
	}
	return fmt.Sprintf("%d entries", n), n > 0
}

// mac is an Apple partition map: in its second block an entry that begins with PM (TS in the old form) and counts the
// entries. Block 0 says how large blocks are, when it is there.
func mac(d *disk) (string, bool) {
	block := sector
	if string(d.at(0, 2)) == "ER" {
		if n := int(be.Uint16(d.head[2:])); n >= sector && n <= 4096 && n%sector == 0 {
			block = n
		}
	}
	for _, at := range []int{block, sector} {
		p := d.at(at, 12)
		if string(p[:4]) == "PM\x00\x00" || string(p[:4]) == "TS\x00\x00" {
			if n := be.Uint32(p[4:]); n > 0 && n <= 256 && string(p[:2]) == "PM" {
				return fmt.Sprintf("%d entries", n), true
			}
			return "", true
		}
	}
	return "", false
}

// amiga is a rigid disk block in one of the first 16 sectors, big-endian: a name, and its length in words, which sum up
// to 0.
func amiga(d *disk) (string, bool) {
	for i := range 16 {
		p := d.at(i*sector, sector)
		n := int(be.Uint32(p[4:]))
		if string(p[:4]) != "RDSK" || n < 1 || n > sector/4 {
			continue
		}
		var sum uint32
		for j := range n {
			sum += be.Uint32(p[4*j:])
		}
		if sum == 0 {
			return "", true
		}
	}
	return "", false
}

// atari has no magic number: one of the four entries of 12 bytes at 0x1c6 must be in use (bit 0), have a name of three
// letters or digits, and lie on the disk. Numbers are big-endian, in sectors.
func atari(d *disk) (string, bool) {
	sectors := uint64(d.size / sector)
	for i := range 4 {
		e := d.at(0x1c6+12*i, 12)
		start, n := uint64(be.Uint32(e[4:])), uint64(be.Uint32(e[8:]))
		if e[0]&1 == 1 && alnum(e[1]) && alnum(e[2]) && alnum(e[3]) && start > 0 && n > 0 && start+n <= sectors {
			return string(e[1:4]), true
		}
	}
	return "", false
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// karma is a label in sector 0 with a magic number at its end, and two entries of 16 bytes at 270: type 0x4d at 4,
// first sector, number of sectors behind it.
func karma(d *disk) (string, bool) {
	n := 0
	for i := range 2 {
		if e := d.at(270+16*i, 16); e[4] == 0x4d && le.Uint32(e[12:]) != 0 {
			n++
		}
	}
	return counted(n), n > 0 && le.Uint16(d.head[510:]) == 0xab56
}
