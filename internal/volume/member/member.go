// Package member recognises what holds a file system without showing it: encrypted volumes, members of RAID sets and
// pools, the halves of device-mapper targets, and providers of a GEOM class. They are captured whole, and the operator
// is told so.
//
// Much of this metadata lies at a device's end, behind a file system that begins at its start and that a reader would
// find. Whether that one may be believed depends on how the set spreads its data, so it is not. A device that is a
// member in its own right although it carries a partition table is a matter of package probe's Disk, which asks Find.
//
// Sources: the "LUKS1 On-Disk Format Specification" and "LUKS2 On-Disk Format Specification"; "RAID superblock formats"
// of the Linux Raid wiki; Sun's "ZFS On-Disk Specification" (vdev label, uberblock); Microsoft's and the libbde
// project's descriptions of BitLocker volume headers; Documentation/admin-guide/bcache.rst; SNIA's "Common RAID Disk
// Data Format Specification"; the manual pages of gmirror(8) and its relatives and drbdmeta(8); places and magic
// numbers of the rest as blkid(8) prints them (wipefs shows both).
package member

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

var le = binary.LittleEndian

// Found is what a signature says.
type Found struct {
	Type   string // as blkid calls it
	Label  string
	UUID   string
	What   string // what the device is, as the rest of a sentence that begins with "It is"
	Advice string // what the operator can do about it, as sentences
	At     int64  // byte at which the signature lies
	// Placed: the signature itself says that it lies at At of this device, so it is not that of a larger or smaller
	// one.
	Placed bool
	// Mirror: the data begins at the device's first byte and is the same on every member, so what lies on this one can
	// be believed.
	Mirror bool
}

// finders look for one family of signatures each. The first that is found names the device.
var finders = []func(io.ReaderAt, int64) (*Found, error){luks, bitLocker, raid, magics, zfs}

// Find returns the signatures in the size bytes of r, at most one of each family, without an order that means anything
// but that the first one names the device.
func Find(r io.ReaderAt, size int64) ([]Found, error) {
	var all []Found
	for _, find := range finders {
		f, err := find(r, size)
		if err != nil {
			return nil, fmt.Errorf("looking for encryption and RAID: %w", err)
		}
		if f != nil {
			all = append(all, *f)
		}
	}
	return all, nil
}

// Open tries all signatures. The result's type is blkid's (crypto_LUKS, linux_raid_member, isw_raid_member ...), or
// GEOM.
func Open(r io.ReaderAt, size int64) (volume.FileSystem, error) {
	all, err := Find(r, size)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("member: %w", volume.ErrNotThis)
	}
	info := volume.Info{Label: all[0].Label, UUID: all[0].UUID, Clean: true}
	for _, f := range all {
		info.Notes = append(info.Notes, "It is "+f.What+", so it is captured whole. "+f.Advice)
	}
	return volume.Whole(all[0].Type, size, info), nil
}

// peek reads n bytes; nil when the partition is too short for them.
func peek(r io.ReaderAt, size, off int64, n int) ([]byte, error) {
	if off < 0 || off+int64(n) > size {
		return nil, nil
	}
	p := make([]byte, n)
	return p, volume.ReadAt(r, size, off, p)
}
