package fat

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

func mkfs(t *testing.T, size int64, args string) string {
	t.Helper()
	return volumetest.Mkfs(t, "fat", size, args)
}

// A FAT32 with as few clusters as a FAT12 is a FAT32 for mkfs.fat, fsck.fat and Linux, though the specification and
// mtools go by their number.
func TestFewClusters(t *testing.T) {
	path := mkfs(t, 34*mib, "-F 32 -s 64")
	f, size := volumetest.Open(t, path)
	fs, err := Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	ext, err := fs.Extents()
	if err != nil || fs.Bits() != 32 {
		t.Fatal(fs.Bits(), err)
	}
	restored := volumetest.Restore(t, path, ext)
	volumetest.Run(t, "fsck.fat", "-n", restored)
	volumetest.LikeBlkid(t, restored, fs)
}

// TestBadAgainstPartclone marks a cluster bad that nothing else knows: ours has it, partclone's bitmap does not.
func TestBadAgainstPartclone(t *testing.T) {
	path := mkfs(t, 64*mib, "-F 32 -s 1")
	volumetest.Run(t, "mcopy", "-i", path, "-Q", "fat_test.go", "::FILE")
	fs, _ := volumetest.Load(t, path, Open)
	n := fs.clusters // the last but one: free
	for i := range int64(fs.tables) {
		volumetest.Poke(t, path, fs.reserved+i*fs.table+4*n,
			func(p []byte) { binary.LittleEndian.PutUint32(p, 0x0ffffff7) })
	}
	// FSInfo's count of free clusters, in the second sector.
	volumetest.Poke(t, path, fs.sector+488,
		func(p []byte) { binary.LittleEndian.PutUint32(p, binary.LittleEndian.Uint32(p)-1) })
	_, ext := volumetest.Load(t, path, Open)
	theirs, _ := volumetest.Partclone(t, "fat32", path)
	want := []volume.Extent{{Offset: fs.clusterStart(n), Length: fs.cluster}}
	if d := cmp.Diff(want, volume.Subtract(ext, theirs)); d != "" || len(volume.Subtract(theirs, ext)) > 0 {
		t.Errorf("only in ours (-want +got): %s", d)
	}
	restored := volumetest.Restore(t, path, ext)
	volumetest.Run(t, "fsck.fat", "-n", restored)
}

func TestBadAndUnclean(t *testing.T) {
	for _, bits := range []int{12, 16, 32} {
		size := map[int]int64{12: 2 * mib, 16: 16 * mib, 32: 64 * mib}[bits]
		path := mkfs(t, size, fmt.Sprintf("-F %d -s 1", bits))
		f, _ := volumetest.Open(t, path)
		fs, err := Open(f, size)
		if err != nil {
			t.Fatal(err)
		}
		// Cluster 1000 is bad, cluster 1003 is used in the second table only.
		put := func(table, n int64, value uint32) {
			off := fs.reserved + table*fs.table
			switch bits {
			case 12:
				var b [3]byte // two entries
				b[0], b[1] = byte(value), byte(value>>8)&15
				if n&1 == 1 {
					b[0], b[1], b[2] = 0, byte(value)<<4, byte(value>>4)
				}
				f.WriteAt(b[:], off+n/2*3)
			case 16:
				f.WriteAt([]byte{byte(value), byte(value >> 8)}, off+2*n)
			case 32:
				f.WriteAt([]byte{byte(value), byte(value >> 8), byte(value >> 16), byte(value >> 24)}, off+4*n)
			}
		}
		put(0, 1000, map[int]uint32{12: 0xff7, 16: 0xfff7, 32: 0x0ffffff7}[bits])
		put(1, 1003, 0x0fffffff)
		f.WriteAt([]byte{1}, map[int]int64{12: 37, 16: 37, 32: 65}[bits])
		fs, err = Open(f, size)
		if err != nil {
			t.Fatal(err)
		}
		ext, err := fs.Extents()
		if err != nil {
			t.Fatal(err)
		}
		if fs.Info().Clean || len(fs.Info().Notes) != 2 {
			t.Errorf("FAT%d: %+v", bits, fs.Info())
		}
		has := func(n int64) bool {
			for _, e := range ext {
				if at := fs.clusterStart(n); at >= e.Offset && at < e.End() {
					return true
				}
			}
			return false
		}
		if !has(1000) || !has(1003) || has(1002) || has(1004) {
			t.Errorf("FAT%d: %v", bits, ext)
		}
	}
}

// TestContradiction frees clusters in the tables of a clean file system that a file of the root directory has. fsck.fat
// finds it too.
func TestContradiction(t *testing.T) {
	need.Tools(t, "mcopy", "fsck.fat")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  string
		entry int64 // counted from the file's first cluster
		want  string
	}{
		{"-F 16 -s 4", 0, "of the root directory begins"}, {"-F 16 -s 4", 3, "leads from cluster"},
		{"-F 32 -s 1", 0, "of the root directory begins"}, {"-F 32 -s 1", 5, "leads from cluster"},
		{"-F 12 -s 32", 2, "leads from cluster"},
	} {
		image := mkfs(t, 40*mib, c.args)
		volumetest.Run(t, "mcopy", "-i", image, file, "::FILE")
		fs, _ := volumetest.Load(t, image, Open)
		first := int64(2)
		if fs.bits == 32 {
			first = 3 // behind the root directory
		}
		for i := range int64(fs.tables) {
			n := first + c.entry
			volumetest.Poke(t, image, fs.reserved+i*fs.table, func(p []byte) {
				if fs.bits == 12 { // an even one
					p[n*3/2], p[n*3/2+1] = 0, p[n*3/2+1]&0xf0
					return
				}
				clear(p[n*int64(fs.bits)/8:][:fs.bits/8])
			})
		}
		if out, err := volumetest.Try(t, "fsck.fat", "-n", image); err == nil {
			t.Errorf("fsck.fat finds nothing wrong: %s", out)
		}
		volumetest.Refuses(t, image, Open, c.want)
	}
}

// TestTail has sectors behind the last whole cluster: nothing calls them free.
func TestTail(t *testing.T) {
	image := mkfs(t, 40*mib+3*1024, "-F 16 -s 8 -a -R 4")
	fs, extents := volumetest.Load(t, image, Open)
	tail := fs.dataStart() + fs.clusters*fs.cluster
	if last := extents[len(extents)-1]; fs.Info().Size != fs.total || tail == fs.total || last.Offset != tail ||
		last.End() != fs.total {
		t.Errorf("%d of %d bytes are in clusters, the last extent is %v", tail, fs.total, last)
	}
}

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }
