package volumetest

import (
	"encoding/binary"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// maker is the program that makes a file system, and what judges and fills it besides.
type maker struct {
	command []string // the options and the image follow
	label   string
	tools   []string
}

var makers = map[string]maker{
	"btrfs": {[]string{"mkfs.btrfs", "-q", "-L", "dc-test"}, "dc-test", []string{"btrfs"}},
	"exfat": {[]string{"mkfs.exfat", "-L", "dc test ä"}, "dc test ä", []string{"fsck.exfat"}},
	"ext": {[]string{"mke2fs", "-q", "-F", "-L", "a label", "-U", "6b1e6f4e-8a3b-4f5c-9d1a-0123456789ab"}, "a label",
		[]string{"dumpe2fs", "e2fsck", "debugfs"}},
	"f2fs": {[]string{"mkfs.f2fs", "-q", "-f", "-l", "dc-test"}, "dc-test", []string{"fsck.f2fs"}},
	"fat": {[]string{"mkfs.fat", "-n", "A LABEL", "-i", "1234abcd"}, "A LABEL",
		[]string{"fsck.fat", "mcopy", "mdeltree"}},
	"hfsplus": {label: "DCTEST"}, // by HFSPlus
	"jfs":     {[]string{"mkfs.jfs", "-q", "-L", "dc-test"}, "dc-test", []string{"fsck.jfs"}},
	"nilfs2":  {[]string{"mkfs.nilfs2", "-q", "-L", "dc-test"}, "dc-test", nil},
	"ntfs": {[]string{"mkntfs", "-F", "-Q", "-q", "-L", "dc test ä"}, "dc test ä",
		[]string{"ntfs-3g", "ntfsfix", "ntfsresize"}},
	"reiserfs": {[]string{"mkreiserfs", "-q", "-ff", "-l", "dc-test"}, "dc-test", []string{"reiserfsck"}},
	"swap":     {[]string{"mkswap"}, "", nil},
	"xfs":      {[]string{"mkfs.xfs", "--unsupported", "-q", "-f", "-L", "dc-test"}, "dc-test", []string{"xfs_repair"}},
}

// Label is the label that Mkfs gives to a file system.
func Label(kind string) string { return makers[kind].label }

// Mkfs has a file system made in a new file of so many bytes, and returns its path. The kind is the name of the
// reader's package; options are apart by spaces, and more are taken as they are.
func Mkfs(t testing.TB, kind string, size int64, options string, more ...string) string {
	t.Helper()
	m := makers[kind]
	need.Tools(t, append(m.tools, m.command[0], "blkid")...)
	image := Sparse(t, size)
	args := append(append(m.command[1:len(m.command):len(m.command)], strings.Fields(options)...), more...)
	Run(t, m.command[0], append(args, image)...)
	return image
}

// Makefs has a UFS of 64 MiB made from a tree, with the byte order "le" or "be".
func Makefs(t testing.TB, order, options, tree string) string {
	t.Helper()
	need.Tools(t, "makefs", "blkid")
	image := filepath.Join(Dir(t), "disk.img")
	Run(t, "makefs", "-t", "ffs", "-B", order, "-s", "64m", "-o", options, image, tree)
	return image
}

// HFSPlus makes an HFS+ volume of so many bytes. No mkfs for Linux is packaged, so it is the HFS+ side of an image by
// xorriso, cut out and grown: the allocation file is long enough for 16384 blocks, more than the volume has.
func HFSPlus(t testing.TB, size int64) string {
	t.Helper()
	// Places in the volume header, from Apple's TN1150.
	const headerAt, attributes, blockSize, totalBlocks, freeBlocks, allocation = 1024, 4, 40, 44, 48, 112
	be := binary.BigEndian
	need.Tools(t, "xorriso", "blkid")
	tree, iso := t.TempDir(), filepath.Join(t.TempDir(), "image.iso")
	// Only empty files: xorriso does not mark the blocks of others in the bitmap.
	if err := os.WriteFile(filepath.Join(tree, "by xorriso"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	Run(t, "xorriso", "-as", "mkisofs", "-quiet", "-hfsplus", "-V", "DCTEST", "-o", iso, tree)
	p, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	var part []byte
	for at := 512; at < 64*512; at += 512 { // Apple partition map, in 512-byte entries
		if e := p[at:]; string(e[:2]) == "PM" && strings.HasPrefix(string(e[48:]), "Apple_HFS") {
			part = p[int(be.Uint32(e[8:]))*512:][:int(be.Uint32(e[12:]))*512]
		}
	}
	if len(part) == 0 {
		t.Fatal("xorriso made no HFS+ partition")
	}
	disk := make([]byte, size)
	copy(disk, part)
	h := disk[headerAt:]
	block := int64(be.Uint32(h[blockSize:]))
	blocks := size / block
	bitmap := disk[int64(be.Uint32(h[allocation+16:]))*block:]
	bitmap[(blocks-1)/8] |= 0x80 >> ((blocks - 1) % 8) // the alternate header's block
	be.PutUint32(h[attributes:], 1<<8)                 // unmounted, and not locked against writing
	be.PutUint64(h[allocation:], uint64(block))
	be.PutUint32(h[totalBlocks:], uint32(blocks))
	used := 0
	for _, c := range bitmap[:(blocks+7)/8] {
		used += bits.OnesCount8(c)
	}
	be.PutUint32(h[freeBlocks:], uint32(int(blocks)-used))
	copy(disk[size-1024:], h[:512])
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return image
}
