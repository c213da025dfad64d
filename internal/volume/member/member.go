// Package member recognises what holds a file system without showing it: encrypted volumes and members of RAID sets and pools.
// They are captured whole, and the operator is told so.
//
// Sources: the "LUKS1 On-Disk Format Specification" and "LUKS2 On-Disk Format Specification"; "RAID superblock formats" of the Linux Raid
// wiki; Sun's "ZFS On-Disk Specification" (vdev label, uberblock); Microsoft's and the libbde project's descriptions of BitLocker
// volume headers; Documentation/admin-guide/bcache.rst.
package member

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/field"
)

var le = binary.LittleEndian

// found is what a signature says.
type found struct {
	typ, label, uuid, note string
}

// Open tries all signatures. The result's type is blkid's: crypto_LUKS, linux_raid_member, zfs_member, BitLocker, bcache.
func Open(r io.ReaderAt, size int64) (volume.FileSystem, error) {
	for _, try := range []func(io.ReaderAt, int64) (*found, error){luks, bitLocker, bcache, raid, zfs} {
		f, err := try(r, size)
		if err != nil {
			return nil, fmt.Errorf("looking for encryption and RAID: %w", err)
		}
		if f != nil {
			info := volume.Info{Label: f.label, UUID: f.uuid, Clean: true, Notes: []string{f.note}}
			return volume.Whole(f.typ, size, info), nil
		}
	}
	return nil, fmt.Errorf("member: %w", volume.ErrNotThis)
}

// peek reads n bytes; nil when the partition is too short for them.
func peek(r io.ReaderAt, size, off int64, n int) ([]byte, error) {
	if off < 0 || off+int64(n) > size {
		return nil, nil
	}
	p := make([]byte, n)
	return p, volume.ReadAt(r, size, off, p)
}

func luks(r io.ReaderAt, size int64) (*found, error) {
	p, err := peek(r, size, 0, 512)
	if p == nil || err != nil || string(p[:6]) != "LUKS\xba\xbe" {
		return nil, err
	}
	f := &found{typ: "crypto_LUKS", uuid: field.Text(p[168:208])}
	version := binary.BigEndian.Uint16(p[6:])
	if version == 2 {
		f.label = field.Text(p[24:72])
	}
	f.note = fmt.Sprintf("It is encrypted (LUKS%d), so what is used cannot be told: it is captured whole and hardly compresses. "+
		"Every machine restored from it has the same key.", version)
	return f, nil
}

// goGUID marks a BitLocker To Go volume, which carries a FAT boot sector for machines that do not know it.
var goGUID = "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"

func bitLocker(r io.ReaderAt, size int64) (*found, error) {
	p, err := peek(r, size, 0, 512)
	if p == nil || err != nil {
		return nil, err
	}
	if string(p[3:11]) != "-FVE-FS-" && (string(p[3:11]) != "MSWIN4.1" || string(p[424:440]) != goGUID) {
		return nil, nil
	}
	return &found{typ: "BitLocker", note: "It is encrypted (BitLocker), so what is used cannot be told: it is captured whole and hardly compresses. " +
		"Suspending BitLocker does not change that; decrypting the drive in Windows does."}, nil
}

func bcache(r io.ReaderAt, size int64) (*found, error) {
	p, err := peek(r, size, 4096, 256)
	if p == nil || err != nil || string(p[24:40]) != "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81" {
		return nil, err
	}
	return &found{typ: "bcache", uuid: field.UUID(p[40:56]), note: "It is a bcache device; it is captured whole. Detach the cache before the capture."}, nil
}

const raidMagic = 0xa92b4efc

// raid looks where each version of md keeps its superblock: 1.1 at the start, 1.2 at 4 KiB, 1.0 and 0.90 at the end.
func raid(r io.ReaderAt, size int64) (*found, error) {
	for _, c := range []struct {
		version string
		at      int64
	}{{"1.1", 0}, {"1.2", 4096}, {"1.0", (size/512 - 16) &^ 7 * 512}} {
		p, err := peek(r, size, c.at, 256)
		if err != nil {
			return nil, err
		}
		if p == nil || le.Uint32(p) != raidMagic || le.Uint32(p[4:]) != 1 || int64(le.Uint64(p[144:]))*512 != c.at {
			continue
		}
		return raidFound(c.version, field.Text(p[32:64]), field.UUID(p[16:32]), int32(le.Uint32(p[72:])), le.Uint32(p[92:])), nil
	}
	p, err := peek(r, size, size&^(64<<10-1)-64<<10, 256)
	if p == nil || err != nil {
		return nil, err
	}
	for _, order := range []binary.ByteOrder{le, binary.BigEndian} {
		if order.Uint32(p) == raidMagic && order.Uint32(p[4:]) == 0 {
			var id [16]byte
			copy(id[:4], p[20:24])
			copy(id[4:], p[52:64])
			return raidFound("0.90", "", field.UUID(id[:]), int32(order.Uint32(p[28:])), order.Uint32(p[40:])), nil
		}
	}
	return nil, nil
}

func raidFound(version, label, uuid string, level int32, disks uint32) *found {
	name := fmt.Sprintf("RAID%d", level)
	if level < 0 {
		name = "a linear set or the like"
	}
	return &found{typ: "linux_raid_member", label: label, uuid: uuid, note: fmt.Sprintf("It is a member of an md set (%s, %d devices, metadata %s), "+
		"so it is captured whole. Capture and restore all its members together, or capture the set's own device instead.", name, disks, version)}
}

const uberMagic = 0x00bab10c

// zfs looks for uberblocks: 128 slots of 1 KiB in the second half of each vdev label of 256 KiB. Two labels are at the start.
func zfs(r io.ReaderAt, size int64) (*found, error) {
	const label, half, slot = 256 << 10, 128 << 10, 1 << 10
	for i := range int64(2) {
		p, err := peek(r, size, i*label+half, half)
		if p == nil || err != nil {
			return nil, err
		}
		for ; len(p) >= slot; p = p[slot:] {
			if le.Uint64(p) == uberMagic || binary.BigEndian.Uint64(p) == uberMagic {
				return &found{typ: "zfs_member", note: "It is a member of a ZFS pool, so it is captured whole. Export the pool before the capture, " +
					"and capture all its members together. Restored pools have the same identity: do not put two of them into one machine."}, nil
			}
		}
	}
	return nil, nil
}
