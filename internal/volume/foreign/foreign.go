// Package foreign recognises the file systems that no package here reads. Each is captured whole; and where one shares
// a partition with a file system that is read, as HFS+ shares a hybrid CD with ISO 9660, it says that the other's map
// is not all of the truth.
//
// A signature is a magic number in a fixed place. Where it is too short to be beyond doubt, further fields of the
// superblock must make sense. Sources: the documents and public headers of each file system; blkid(8) prints the same
// names, and is the judge in the tests.
package foreign

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/internal/volume"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

// headSize holds every signature but those that lie further in.
const headSize = 64<<10 + 1024

// signature is one of a file system's magic numbers, at a byte from the start.
type signature struct {
	typ   string // as blkid calls it
	at    int64
	magic string
	check func(head []byte) bool // may be nil
}

var signatures = []signature{
	{typ: "iso9660", at: 32769, magic: "CD001"},
	{typ: "iso9660", at: 32777, magic: "CDROM"}, // High Sierra
	{typ: "udf", at: 32769, magic: "BEA01"},
	{typ: "udf", at: 32769, magic: "NSR02"},
	{typ: "udf", at: 32769, magic: "NSR03"},
	{typ: "squashfs", magic: "hsqs"},
	{typ: "squashfs", magic: "sqsh"},
	{typ: "cramfs", magic: "\x45\x3d\xcd\x28"},
	{typ: "cramfs", magic: "\x28\xcd\x3d\x45"},
	{typ: "cramfs", at: 512, magic: "\x45\x3d\xcd\x28"},
	{typ: "cramfs", at: 512, magic: "\x28\xcd\x3d\x45"},
	{typ: "romfs", magic: "-rom1fs-"},
	{typ: "erofs", at: 1024, magic: "\xe2\xe1\xf5\xe0"},
	{typ: "apfs", at: 32, magic: "NXSB"},
	{typ: "ReFS", magic: "\x00\x00\x00ReFS\x00"},
	{typ: "reiser4", at: 64 << 10, magic: "ReIsEr4"},
	{typ: "xfs_external_log", magic: "\xfe\xed\xba\xbe"},
	{typ: "exfs", magic: "EXFS"},
	{typ: "zonefs", magic: "SFOZ"},
	{typ: "ubifs", magic: "\x31\x18\x10\x06"},
	{typ: "bfs", magic: "\xce\xfa\xad\x1b"},
	{typ: "befs", at: 544, magic: "BFS1"},
	{typ: "befs", at: 544, magic: "1SFB"},
	{typ: "befs", at: 32, magic: "BFS1"},
	{typ: "befs", at: 32, magic: "1SFB"},
	{typ: "hpfs", at: 8 << 10, magic: "\x49\xe8\x95\xf9"},
	{typ: "hfs", at: 1024, magic: "BD", check: hfs},
	{typ: "vxfs", at: 1024, magic: "\xf5\xfc\x01\xa5"},
	{typ: "vxfs", at: 8 << 10, magic: "\xa5\x01\xfc\xf5"},
	{typ: "gfs", at: 64 << 10,
		magic: "\x01\x16\x19\x70\x00\x00\x00\x01" +
			"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x64\x00\x00\x00\x00\x00\x00\x05\x1d"},
	{typ: "gfs2", at: 64 << 10, magic: "\x01\x16\x19\x70"},
	{typ: "ocfs", at: 8 << 10, magic: "OracleCFS"},
	{typ: "ocfs2", at: 1 << 10, magic: "OCFSV2"},
	{typ: "ocfs2", at: 2 << 10, magic: "OCFSV2"},
	{typ: "ocfs2", at: 4 << 10, magic: "OCFSV2"},
	{typ: "ocfs2", at: 8 << 10, magic: "OCFSV2"},
	// of both its devices; blkid of util-linux 2.42 tells them apart
	{typ: "scoutfs", at: 64<<10 + 4, magic: "\x8b\x42\x3c\x10"},
	{typ: "nss", at: 4 << 10, magic: "SPB5"},
	{typ: "VMFS", at: 2 << 20, magic: "\x5e\xf1\xab\x2f"},
	{typ: "sysv", at: 512 + 504, magic: "\x20\x7e\x18\xfd"},
	{typ: "sysv", at: 512 + 504, magic: "\xfd\x18\x7e\x20"},
	{typ: "sysv", at: 9<<10 + 512 + 504, magic: "\x20\x7e\x18\xfd"},
	{typ: "sysv", at: 15<<10 + 512 + 504, magic: "\x20\x7e\x18\xfd"},
	{typ: "sysv", at: 18<<10 + 512 + 504, magic: "\x20\x7e\x18\xfd"},
	{typ: "xenix", at: 1024 + 1016, magic: "\x44\x55\x2b\x00"},
	{typ: "xenix", at: 1024 + 1016, magic: "\x00\x2b\x55\x44"},
	{typ: "minix", at: 1024, check: minix},
}

// Open looks for the signatures in the size bytes of r. The result's map is all of the size; the error wraps
// volume.ErrNotThis when there is none.
func Open(r io.ReaderAt, size int64) (volume.FileSystem, error) {
	head := make([]byte, headSize)
	if err := volume.ReadAt(r, size, 0, head[:min(size, headSize)]); err != nil {
		return nil, fmt.Errorf("looking for other file systems: %w", err)
	}
	for _, s := range signatures {
		end := s.at + int64(len(s.magic))
		if end > size {
			continue
		}
		var p []byte
		if end <= headSize {
			p = head[s.at:end]
		} else {
			p = make([]byte, len(s.magic))
			if err := volume.ReadAt(r, size, s.at, p); err != nil {
				return nil, fmt.Errorf("looking for other file systems: %w", err)
			}
		}
		if string(p) == s.magic && (s.check == nil || s.check(head)) {
			return volume.Whole(s.typ, size, volume.Info{Clean: true, Notes: []string{
				fmt.Sprintf("It is of type %s, whose allocation map is not read. It is captured whole, without its "+
					"all-zero blocks.", s.typ)}}), nil
		}
	}
	return nil, fmt.Errorf("foreign: %w", volume.ErrNotThis)
}

// hfs checks the master directory block of a classic HFS, big-endian: the size of its blocks, and the length of its
// name. Where it wraps an HFS+ that is the business of package hfsplus.
func hfs(head []byte) bool {
	p := head[1024:]
	block := be.Uint32(p[20:])
	return block != 0 && block%512 == 0 && p[36] > 0 && p[36] < 28 && string(p[124:126]) != "H+"
}

// minix checks what a superblock of Minix, versions 1 to 3 in both byte orders, says of its bitmaps: their 1 KiB blocks
// (of a size of its own in version 3) must have a bit for each inode and zone. An ext has counters where the magic
// number of two bytes would be.
func minix(head []byte) bool {
	p := head[1024:]
	if p[0x38] == 0x53 && p[0x39] == 0xef {
		return false
	}
	for _, order := range []binary.ByteOrder{le, be} {
		u16 := func(at int) int64 { return int64(order.Uint16(p[at:])) }
		if u16(24) == 0x4d5a {
			return u16(6) > 0 && u16(8) > 0
		}
		zones := u16(2)
		switch u16(16) {
		case 0x137f, 0x138f:
		case 0x2468, 0x2478:
			zones = int64(order.Uint32(p[20:]))
		default:
			continue
		}
		inodes, inodeBlocks, zoneBlocks, first := u16(0), u16(4), u16(6), u16(8)
		return inodeBlocks > 0 && zoneBlocks > 0 && inodes > 0 && zones > first && first >= 2+inodeBlocks+zoneBlocks &&
			inodeBlocks*8192 > inodes && zoneBlocks*8192 > zones-first
	}
	return false
}
