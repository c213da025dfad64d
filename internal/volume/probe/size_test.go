package probe

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestSize has file systems in partitions that are larger by an odd number of sectors than what mkfs was told. Info().Size is how much the file
// system itself claims, by its own tool's word, never more: what lies behind it is somebody else's, and captured.
func TestSize(t *testing.T) {
	const made, behind = 300 * mib, 3*mib + 5*512
	for _, c := range []struct {
		typ  string
		mkfs []string
		// The numbers that says finds in the output of this tool are multiplied to the size; plus is what the tool leaves out.
		tool []string
		says string
		plus int64
	}{
		{"ext4", []string{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024"}, []string{"dumpe2fs", "-h"}, `Block count: +(\d+)[\s\S]*Block size: +(\d+)`, 0},
		{"vfat", []string{"mkfs.fat", "-F", "32"}, []string{"fsck.fat", "-nv"}, `(\d+) sectors total`, 0},
		{"xfs", []string{"mkfs.xfs", "-q", "-f"}, []string{"xfs_db", "-r", "-c", "sb 0", "-c", "p dblocks blocksize"}, `dblocks = (\d+)\s+blocksize = (\d+)`, 0},
		{"btrfs", []string{"mkfs.btrfs", "-q", "-f"}, []string{"btrfs", "inspect-internal", "dump-super"}, `dev_item.total_bytes\s+(\d+)`, 0},
		{"ntfs", []string{"mkntfs", "-q", "-F"}, []string{"ntfsinfo", "-m", "-f"}, `Volume Size in Clusters: (\d+)[\s\S]*`, 4096},
		{"exfat", []string{"mkfs.exfat"}, []string{"dump.exfat"}, `Volume Length\(sectors\): +(\d+)`, 0},
		{"f2fs", []string{"mkfs.f2fs", "-q"}, []string{"dump.f2fs"}, `total FS sectors = (\d+)`, 0},
		{"jfs", []string{"mkfs.jfs", "-q"}, []string{"jfs_tune", "-l"}, `Block size:\s+(\d+)`, 0},
		{"nilfs2", []string{"mkfs.nilfs2", "-q"}, []string{"nilfs-tune", "-l"}, `Device size:\s+(\d+)`, 0},
		{"reiserfs", []string{"mkreiserfs", "-q", "-f"}, []string{"debugreiserfs"}, `Count of blocks on the device: (\d+)[\s\S]*Blocksize: (\d+)`, 0},
		{"swap", []string{"mkswap"}, []string{"swaplabel"}, ``, 0},
	} {
		t.Run(c.typ, func(t *testing.T) {
			image := volumetest.Sparse(t, made)
			volumetest.Run(t, c.mkfs[0], append(c.mkfs[1:], image)...)
			out, _ := volumetest.Try(t, c.tool[0], append(c.tool[1:], image)...)
			f, _ := volumetest.Open(t, image)
			if err := f.Truncate(made + behind); err != nil {
				t.Fatal(err)
			}
			fs, err := Probe(f, made+behind)
			if err != nil {
				t.Fatal(err)
			}
			want := int64(1)
			for _, n := range regexp.MustCompile(c.says).FindStringSubmatch(out)[1:] {
				v, err := strconv.ParseInt(n, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				want *= v
			}
			if got := fs.Info().Size; fs.Type() != c.typ || got != want+c.plus {
				t.Errorf("%s claims %d bytes, its own tool says %d: %s", fs.Type(), got, want, out)
			}
		})
	}
}
