package ext

import (
	"fmt"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestContradiction has clean file systems without metadata_csum whose counts and bitmaps disagree, as debugfs makes
// them. e2fsck finds something wrong with each; the map of none is believed.
func TestContradiction(t *testing.T) {
	const (
		ext2 = "-t ext2 -b 1024"                                    // no checksums, one group is 8 MiB
		ext4 = "-t ext4 -b 1024 -O ^metadata_csum,^64bit,uninit_bg" // checksums of descriptors, BLOCK_UNINIT
	)
	for _, c := range []struct{ name, options, debugfs, want string }{
		{"blocks of a group are free in the bitmap only", ext2, "freeb 500 300",
			"free clusters, and its descriptor counts"},
		{"a group's count", ext2, "set_bg 1 free_blocks_count 5000", "and its descriptor counts 5000"},
		{"the total", ext2, "set_super_value free_blocks_count 12345", "and its superblock 12345"},
		{"BLOCK_UNINIT in a group with files", ext4, "set_bg 0 flags 2\nset_bg 0 checksum calc",
			"no block bitmap (BLOCK_UNINIT)"},
		// The counts agree with each other, and the inode table of group 1 is free.
		{"a free inode table", ext2,
			"freeb TABLE 8\nset_bg 1 free_blocks_count BG+8\nset_super_value free_blocks_count SB+8",
			"it has superblocks, bitmaps or inode tables"},
		{"a free root directory", ext2,
			"freeb ROOT 1\nset_bg 0 free_blocks_count B0+1\nset_super_value free_blocks_count SB+1",
			"it has the root directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := volumetest.Dir(t)
			volumetest.Fill(t, tree, 4)
			image := mkfs(t, 32*mib, c.options, tree)
			fs, _ := volumetest.Load(t, image, Open)
			list, err := fs.descriptors(0, 2)
			if err != nil {
				t.Fatal(err)
			}
			root, _, err := fs.fileMap(2)
			if err != nil {
				t.Fatal(err)
			}
			script := strings.NewReplacer("TABLE", fmt.Sprint(list[1].inodeTable), "ROOT", fmt.Sprint(root[0].physical),
				"BG+8", fmt.Sprint(list[1].free+8), "B0+1", fmt.Sprint(list[0].free+1), "SB+8",
				fmt.Sprint(fs.sb.free+8), "SB+1", fmt.Sprint(fs.sb.free+1)).Replace(c.debugfs)
			volumetest.RunIn(t, script, "debugfs", "-w", "-f", "-", image)
			if out, err := volumetest.Try(t, "e2fsck", "-fn", image); err == nil &&
				!strings.Contains(out, "count wrong") {
				t.Errorf("e2fsck finds nothing wrong: %s", out)
			}
			f, size := volumetest.Open(t, image)
			if fs, err = Open(f, size); err != nil {
				t.Fatal(err)
			}
			if _, err := fs.Extents(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if !fs.Info().Clean {
				t.Error("it is not clean, which would be reason enough")
			}
		})
	}
}
