package member

import (
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

// page is the length in bytes of what is wiped at a place: a signature and the rest of its header lie in it.
const page = 4096

// far are signatures that blkid still finds when all else is gone, or that make its answer ambiguous, at places that
// mean nothing for a capture: a file system may well have the remains of one in its free blocks.
var far = append(secondHeaders(),
	magic{typ: "bcachefs", base: 2 << 20, off: 24, sig: bcachefsMagic, what: "a device of a bcachefs"},
	magic{typ: "bcachefs", base: -1 << 20, off: 24, sig: bcachefsMagic, what: "a device of a bcachefs"},
	magic{typ: "VMFS", base: 2 << 20, sig: "\x5e\xf1\xab\x2f", what: "a VMFS datastore"})

// secondHeaders are the places where LUKS2 keeps its second header, by the size of the first ("LUKS2 On-Disk Format
// Specification", 2.2): 32 KiB to 4 MiB, the signatures of captures having 16 KiB.
func secondHeaders() (list []magic) {
	for at := int64(32 << 10); at <= 4<<20; at *= 2 {
		list = append(list, magic{typ: "crypto_LUKS", base: at, sig: "SKUL\xba\xbe", what: "a LUKS2 volume"})
	}
	return list
}

// All returns every signature in the size bytes of r, with those of LVM and those that Find does not ask for. It is
// for who is about to write over them.
func All(r io.ReaderAt, size int64) ([]Found, error) {
	var all []Found
	add := func(f *Found, err error) error {
		if f != nil && err == nil {
			all = append(all, *f)
		}
		return err
	}
	for _, find := range []func(io.ReaderAt, int64) (*Found, error){luks, bitLocker, raid, physical, zfs} {
		if err := add(find(r, size)); err != nil {
			return nil, fmt.Errorf("looking for encryption, RAID and LVM: %w", err)
		}
	}
	for _, list := range [][]magic{signatures, far} {
		for i := range list {
			if err := add(list[i].find(r, size)); err != nil {
				return nil, fmt.Errorf("looking for encryption, RAID and LVM: %w", err)
			}
		}
	}
	return all, nil
}

// physical looks for the label of a physical volume of LVM2, which lies in one of the first four sectors.
func physical(r io.ReaderAt, size int64) (*Found, error) {
	p, err := peek(r, size, 0, 4*sector)
	if err != nil {
		return nil, err
	}
	for at := 0; at < len(p); at += sector {
		if string(p[at:at+8]) == "LABELONE" && string(p[at+24:at+32]) == "LVM2 001" {
			return &Found{Type: "LVM2_member", What: "a physical volume of LVM", Advice: wholeSet, At: int64(at)}, nil
		}
	}
	return nil, nil
}

// Places are the bytes in a device of size bytes in which a signature of All's may lie.
func Places(size int64) []volume.Extent {
	places := volume.NewRuns(size)
	add := func(at, n int64) {
		if at >= 0 && at < size {
			places.Add(at, min(n, size-at))
		}
	}
	for _, list := range [][]magic{signatures, far} {
		for _, m := range list {
			for _, at := range m.places(size) {
				add(at, page)
			}
		}
	}
	for _, at := range []int64{0, 4096, (size/512 - 16) &^ 7 * 512, size&^(64<<10-1) - 64<<10} { // LUKS, LVM, md
		add(at, page)
	}
	end := size &^ (zfsLabel - 1)
	for _, at := range []int64{0, zfsLabel, end - 2*zfsLabel, end - zfsLabel} {
		add(at, zfsLabel)
	}
	return places.Extents()
}
