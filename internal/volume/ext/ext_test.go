package ext

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

// mkfs makes a file system, with the files of a tree if there is one, and returns its path.
func mkfs(t *testing.T, size int64, args string, tree string) string {
	t.Helper()
	if tree != "" {
		return volumetest.Mkfs(t, "ext", size, args, "-d", tree)
	}
	return volumetest.Mkfs(t, "ext", size, args)
}

// Whatever casts doubt on the bitmaps ends in an error, upon which the partition is captured whole.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, args, debugfs string
		want                string
	}{
		{"journal device", "-O journal_dev", "", "it is the journal of another"},
		{"errors", "-t ext4", "ssv state 2", "found errors"},
		{"unknown incompatible feature", "-t ext4 -O ^metadata_csum", "ssv feature_incompat 0x8000040",
			"incompatible features that this program does not know: 0x8000000"},
		{"unknown read-only feature", "-t ext4 -O ^metadata_csum", "ssv feature_ro_compat 0x8000000",
			"does not know: 0x8000000"},
		{"bitmap outside", "-t ext4 -O ^metadata_csum,^uninit_bg", "set_bg 0 block_bitmap 999999",
			"outside the file system"},
		{"bitmap flipped", "-t ext4 -b 4096", "freeb 5000 20", ""},
		{"size", "-t ext4 -O ^metadata_csum", "ssv blocks_count 999999", "more than its partition"},
		{"group size", "-t ext4 -O ^metadata_csum", "ssv blocks_per_group 12", "clusters a group"},
		{"tiny groups", "-t ext4 -O ^metadata_csum", "ssv inodes_per_group 0", "inodes a group"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := mkfs(t, 64*mib, c.args, "")
			if c.debugfs != "" {
				volumetest.Run(t, "debugfs", "-w", "-R", c.debugfs, path)
			}
			f, size := volumetest.Open(t, path)
			if c.name == "bitmap flipped" {
				// debugfs made the checksum right; now it is wrong.
				block := dumpField(t, path, "Block bitmap at ")
				flip(t, f, block*4096+300)
				c.want = "block bitmap's checksum"
			}
			fs, err := Open(f, size)
			if err == nil {
				_, err = fs.Extents()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func dumpField(t *testing.T, path, prefix string) int64 {
	t.Helper()
	_, rest, ok := strings.Cut(volumetest.Run(t, "dumpe2fs", path), prefix)
	var n int64
	if _, err := fmt.Sscan(strings.TrimRight(strings.Fields(rest)[0], ","), &n); !ok || err != nil {
		t.Fatalf("dumpe2fs has no %q: %v", prefix, err)
	}
	return n
}

func flip(t *testing.T, f *os.File, off int64) {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

// A file that is deleted while it is open keeps its blocks, and the superblock has it in a list.
func TestOrphan(t *testing.T) {
	path := mkfs(t, 16*mib, "-t ext4", "")
	volumetest.Run(t, "debugfs", "-w", "-R", "ssv last_orphan 12", path)
	f, size := volumetest.Open(t, path)
	fs, err := Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	if notes := strings.Join(fs.Info().Notes, " "); !strings.Contains(notes, "deleted while they were open") {
		t.Errorf("notes %q", notes)
	}
	if _, err := fs.Extents(); err != nil {
		t.Error(err)
	}
}
