package hfsplus

import (
	"errors"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 24<<20 + 512

// mkfs makes an HFS+ volume. No mkfs for Linux is packaged, so it is the HFS+ side of an image by xorriso, cut out and
// grown: the allocation file is long enough for 16384 blocks, more than the volume has.
func mkfs(t *testing.T) string {
	t.Helper()
	need.Tools(t, "xorriso", "blkid")
	tree, iso := t.TempDir(), filepath.Join(t.TempDir(), "image.iso")
	// Only empty files: xorriso does not mark the blocks of others in the bitmap.
	if err := os.WriteFile(filepath.Join(tree, "by xorriso"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	volumetest.Run(t, "xorriso", "-as", "mkisofs", "-quiet", "-hfsplus", "-V", "DCTEST", "-o", iso, tree)
	p, err := os.ReadFile(iso)
	if err != nil {
		t.Fatal(err)
	}
	part := make([]byte, 0)
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
	block := int64(be.Uint32(h[40:]))
	blocks := size / block
	bitmap := disk[int64(be.Uint32(h[allocationFork+16:]))*block:]
	bitmap[(blocks-1)/8] |= 0x80 >> ((blocks - 1) % 8) // the alternate header's block
	be.PutUint32(h[4:], attrUnmounted)                 // not locked against writing
	be.PutUint64(h[allocationFork:], uint64(block))
	be.PutUint32(h[44:], uint32(blocks))
	used := 0
	for _, c := range bitmap[:(blocks+7)/8] {
		used += bits.OnesCount8(c)
	}
	be.PutUint32(h[48:], uint32(int(blocks)-used))
	copy(disk[size-1024:], h[:512])
	image := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(image, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	return image
}

func TestAgainstLinux(t *testing.T) {
	image := mkfs(t)
	list := volumetest.Guest(t, volumetest.GuestFill, image, "hfsplus", "", 8)
	fs, extents := volumetest.Load(t, image, Open)
	info := fs.Info()
	if blkid := volumetest.Run(t, "blkid", "-p", image); !info.Clean || info.Label != "DCTEST" ||
		!strings.Contains(blkid, info.UUID) {
		t.Errorf("%+v, blkid says %s", info, blkid)
	}
	if used := volume.Bytes(extents); used > info.Used+8192 || used < info.Used || used > size*3/4 {
		t.Errorf("%d bytes are used, the header counts %d", used, info.Used)
	}
	volumetest.Record(t, "filled", image, volumetest.Reads(Open))
	need.Tools(t, "partclone.hfsp")
	theirs, block := volumetest.Partclone(t, "hfsp", image)
	more, less := volumetest.Compare(extents, theirs)
	t.Logf("partclone %d bytes, ours %d: %d only ours, %d only theirs", volume.Bytes(theirs), volume.Bytes(extents),
		more, less)
	if more > 2*block || less != 0 {
		t.Errorf("the maps differ by %d and %d bytes", more, less)
	}
	restored := volumetest.Restore(t, image, extents)
	volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestList, restored, "hfsplus", "", 0))
}

func TestCrash(t *testing.T) {
	image := mkfs(t)
	volumetest.Guest(t, volumetest.GuestCrash, image, "hfsplus", "", 4)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || volume.Bytes(extents) != size || len(fs.Info().Notes) != 1 {
		t.Errorf("%v %+v", extents, fs.Info())
	}
}

func TestRefusals(t *testing.T) {
	image := mkfs(t)
	f, _ := volumetest.Open(t, image)
	if _, err := Open(f, size/2); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a short partition: %v", err)
	}
	if _, err := Open(strings.NewReader(strings.Repeat("x", 9000)), 9000); !errors.Is(err, volume.ErrNotThis) {
		t.Errorf("no magic: %v", err)
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// TestContradiction changes the header's count of free blocks, and frees the catalog in the allocation file.
func TestContradiction(t *testing.T) {
	image := mkfs(t)
	volumetest.Poke(t, image, headerAt, func(p []byte) { be.PutUint32(p[48:], be.Uint32(p[48:])-1) })
	volumetest.Refuses(t, image, Open, "blocks are free, and the volume header counts")

	image = mkfs(t)
	fs, _ := volumetest.Load(t, image, Open)
	_, catalog, err := fs.fork(catalogFork)
	if err != nil {
		t.Fatal(err)
	}
	_, bitmap, err := fs.fork(allocationFork)
	if err != nil {
		t.Fatal(err)
	}
	n := catalog[0].start
	volumetest.Poke(t, image, bitmap[0].start*fs.block, func(p []byte) { p[n/8] &^= 0x80 >> (n % 8) })
	volumetest.Poke(t, image, headerAt, func(p []byte) { be.PutUint32(p[48:], be.Uint32(p[48:])+1) })
	volumetest.Refuses(t, image, Open, "where it has its catalog")
}
