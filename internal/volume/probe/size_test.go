package probe

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestSize has file systems in partitions that are larger by an odd number of sectors than what mkfs was told.
// Info().Size is how much the file system itself claims, by its own tool's word, never more: what lies behind it is
// somebody else's, and captured.
func TestSize(t *testing.T) {
	const made, behind = 300 * mib, 3*mib + 5*512
	for _, c := range []struct {
		typ  string
		mkfs []string
		// The numbers that says finds in the output of this tool make the size, times unit; plus is what the tool
		// leaves out (NTFS: the backup boot sector and what is before it; JFS: log and working space). Without a tool,
		// mkfs uses all it is given.
		tool []string
		says string
		unit int64 // bytes that the numbers count
		plus int64
	}{
		{"ext4", []string{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024"}, []string{"dumpe2fs", "-h"},
			`Block count: +(\d+)[\s\S]*Block size: +(\d+)`, 1, 0},
		{"vfat", []string{"mkfs.fat", "-F", "32"}, []string{"fsck.fat", "-nv"},
			`(\d+) bytes per logical sector[\s\S]* (\d+) sectors total`, 1, 0},
		{"xfs", []string{"mkfs.xfs", "-q", "-f"}, []string{"xfs_db", "-r", "-c", "sb 0", "-c", "p dblocks blocksize"},
			`dblocks = (\d+)\s+blocksize = (\d+)`, 1, 0},
		{"btrfs", []string{"mkfs.btrfs", "-q", "-f"}, []string{"btrfs", "inspect-internal", "dump-super"},
			`dev_item.total_bytes\s+(\d+)`, 1, 0},
		{"ntfs", []string{"mkntfs", "-q", "-F"}, []string{"ntfsinfo", "-m", "-f"},
			`Cluster Size: (\d+)[\s\S]*Volume Size in Clusters: (\d+)`, 1, 4096},
		{"exfat", []string{"mkfs.exfat"}, []string{"dump.exfat"}, `Volume Length\(sectors\):\s+(\d+)`, 512, 0},
		{"f2fs", []string{"mkfs.f2fs", "-q"}, []string{"dump.f2fs"}, `total FS sectors = (\d+)`, 512, 0},
		{"jfs", []string{"mkfs.jfs", "-q"}, []string{"jfs_tune", "-l"}, `Aggregate size:\s+(\d+)`, 512, 566 * 4096},
		{"nilfs2", []string{"mkfs.nilfs2", "-q"}, nil, ``, 1, 0},
		{"reiserfs", []string{"mkreiserfs", "-q", "-f"}, []string{"debugreiserfs"},
			`Count of blocks on the device: (\d+)[\s\S]*Blocksize: (\d+)`, 1, 0},
		{"swap", []string{"mkswap"}, nil, ``, 1, 0},
	} {
		t.Run(c.typ, func(t *testing.T) {
			image := volumetest.Sparse(t, made)
			volumetest.Run(t, c.mkfs[0], append(c.mkfs[1:], image)...)
			want, out := int64(made), ""
			if c.tool != nil {
				out, _ = volumetest.Try(t, c.tool[0], append(c.tool[1:], image)...)
				want = product(t, c.says, out)*c.unit + c.plus
			}
			f, _ := volumetest.Open(t, image)
			if err := f.Truncate(made + behind); err != nil {
				t.Fatal(err)
			}
			fs, err := Probe(f, made+behind)
			if err != nil {
				t.Fatal(err)
			}
			if got := fs.Info().Size; fs.Type() != c.typ || got != want {
				t.Errorf("%s claims %d bytes, its own tool says %d: %s", fs.Type(), got, want, out)
			}
		})
	}
}

// product multiplies the numbers that an expression finds in a text.
func product(t *testing.T, expression, text string) int64 {
	t.Helper()
	found := regexp.MustCompile(expression).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %s", expression, text)
	}
	n := int64(1)
	for _, s := range found[1:] {
		v, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		n *= v
	}
	return n
}
