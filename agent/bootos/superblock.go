package bootos

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// fsKind is a file system that a boot loader reads, and how it is mounted without a single write to it.
type fsKind struct {
	name, driver, options string
	noReplay              []string // mount options that leave the journal alone, the newest first
	offset                int64    // of the magic, bytes
	magic                 string
	read                  func(sb []byte) (uuid, label string)
	at                    int64 // of what read gets
	n                     int
}

// kinds: the offsets are those of the on-disk formats as the kernel's headers have them. The journal must not be
// replayed: that would write, and the disk was just verified; and on a disk that is set read-only the mount would fail.
// btrfs' log tree is one too; since Linux
// 5.9 the option is called rescue=nologreplay, since 6.8 only so. FAT has no journal.
var kinds = []fsKind{
	{name: "ext4", driver: "ext4", noReplay: []string{"noload"}, offset: 1024 + 56, magic: "\x53\xef", at: 1024, n: 264,
		read: func(sb []byte) (string, string) { return uuid(sb[104:120]), text(sb[120:136]) }},
	{name: "xfs", driver: "xfs", options: "nouuid", noReplay: []string{"norecovery"}, offset: 0, magic: "XFSB", at: 0,
		n:    264,
		read: func(sb []byte) (string, string) { return uuid(sb[32:48]), text(sb[108:120]) }},
	{name: "btrfs", driver: "btrfs", options: "subvolid=5", noReplay: []string{"rescue=nologreplay", "nologreplay"},
		offset: 65536 + 64, magic: "_BHRfS_M", at: 65536, n: 1024,
		read: func(sb []byte) (string, string) { return uuid(sb[32:48]), text(sb[299:555]) }},
	{name: "f2fs", driver: "f2fs", noReplay: []string{"norecovery", "disable_roll_forward"}, offset: 1024,
		magic: "\x10\x20\xf5\xf2", at: 1024, n: 128,
		read: func(sb []byte) (string, string) { return uuid(sb[108:124]), "" }},
	{name: "vfat", driver: "vfat", noReplay: []string{""}, offset: 82, magic: "FAT32", at: 0, n: 96,
		read: func(sb []byte) (string, string) { return fatID(sb[67:71]), fatLabel(sb[71:82]) }},
	{name: "vfat", driver: "vfat", noReplay: []string{""}, offset: 54, magic: "FAT1", at: 0, n: 96,
		read: func(sb []byte) (string, string) { return fatID(sb[39:43]), fatLabel(sb[43:54]) }},
}

// identify tells which of the known file systems begins at r's start; nil when none does.
func identify(r io.ReaderAt) (k *fsKind, id, label string) {
	for i := range kinds {
		k := &kinds[i]
		got := make([]byte, len(k.magic))
		if _, err := r.ReadAt(got, k.offset); err != nil || string(got) != k.magic {
			continue
		}
		sb := make([]byte, k.n)
		if _, err := r.ReadAt(sb, k.at); err != nil {
			continue
		}
		id, label = k.read(sb)
		return k, id, label
	}
	return nil, "", ""
}

// dataless are types of partitions that hold no file system: BIOS boot, Microsoft reserved, extended.
var dataless = []string{
	"21686148-6449-6e6f-744e-656564454649", "e3c9e316-0b5c-4db8-817d-f92df00215ae", "0x05", "0x0f", "0x85",
}

// forNoLoader tells whether a partition without a file system of ours has none that any boot loader reads: it is
// vacant, or a member of what Holds tells of.
func forNoLoader(d Device) bool {
	return vacant(d) || holds(d, func(r io.ReaderAt, size int64) bool { return layerOf(r, size) != "" })
}

// vacant tells whether nothing can be on a partition: it is swap space, empty, or of a type that holds no file system.
func vacant(d Device) bool { return slices.Contains(dataless, d.PartType) || holds(d, nothing) }

// holds tells what is says of a partition's bytes; false where they cannot be read.
func holds(d Device, is func(r io.ReaderAt, size int64) bool) bool {
	f, err := os.Open(d.Path)
	if err != nil {
		return false
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	return err == nil && is(f, size)
}

// nothing tells whether a run of size bytes is empty or swap space.
func nothing(r io.ReaderAt, size int64) bool {
	start := make([]byte, min(size, 1<<20))
	if _, err := r.ReadAt(start, 0); err != nil {
		return false
	}
	if len(bytes.Trim(start, "\x00")) == 0 {
		return true
	}
	// The mark is at the end of the first page (Linux, include/linux/swap.h), which some machines have larger.
	for _, page := range []int{4096, 8192, 16384, 65536} {
		if len(start) >= page && bytes.HasSuffix(start[:page], []byte("SWAPSPACE2")) {
			return true
		}
	}
	return false
}

func uuid(b []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func text(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// fatID writes a volume serial number as blkid and GRUB do: ABCD-1234.
func fatID(b []byte) string {
	n := binary.LittleEndian.Uint32(b)
	return fmt.Sprintf("%04X-%04X", n>>16, n&0xffff)
}

func fatLabel(b []byte) string {
	l := strings.TrimRight(string(b), " ")
	if l == "NO NAME" {
		return ""
	}
	return l
}
