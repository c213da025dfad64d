package ext

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

// matrix is what mke2fs can make. Sizes are in MiB.
var matrix = []struct {
	name, kind string
	size       int64
	args       string
	tree       int // MiB of files; -1: 4
}{
	{"defaults", "ext4", 96, "-t ext4", -1},
	{"4k", "ext4", 96, "-t ext4 -b 4096", -1},
	{"ext2", "ext2", 64, "-t ext2", -1},
	{"ext2-1k", "ext2", 40, "-t ext2 -b 1024", -1},
	{"ext2-revision-0", "ext2", 16, "-t ext2 -r 0 -b 1024", 0},
	{"ext3", "ext3", 64, "-t ext3", -1},
	{"ext3-1k-dense", "ext3", 64, "-t ext3 -b 1024 -O ^sparse_super,^resize_inode", -1},
	{"1k", "ext4", 64, "-t ext4 -b 1024", -1},
	{"2k", "ext4", 64, "-t ext4 -b 2048", -1},
	{"64k", "ext4", 128, "-t ext4 -b 65536", -1},
	{"no-64bit", "ext4", 64, "-t ext4 -O ^64bit", -1},
	{"no-csum", "ext4", 64, "-t ext4 -O ^metadata_csum,uninit_bg", -1},
	{"no-csum-32", "ext4", 64, "-t ext4 -O ^metadata_csum,^64bit,uninit_bg", -1},
	{"no-group-sums", "ext4", 64, "-t ext4 -O ^metadata_csum,^uninit_bg", -1},
	{"no-flex-bg", "ext4", 150, "-t ext4 -O ^flex_bg -b 1024 -g 4096", -1},
	{"flex-32", "ext4", 200, "-t ext4 -G 32 -b 1024 -g 8192", -1},
	{"meta-bg", "ext4", 150, "-t ext4 -O meta_bg,^resize_inode -b 1024 -g 2048", -1},
	{"meta-bg-32", "ext4", 100, "-t ext4 -O meta_bg,^resize_inode,^64bit,^flex_bg -b 1024 -g 1024 -N 4096", -1},
	{"meta-bg-4k", "ext4", 280, "-t ext4 -b 4096 -O meta_bg,^resize_inode -g 1024 -N 16384", -1},
	{"sparse-super2", "ext4", 200, "-t ext4 -O sparse_super2,^resize_inode -b 1024", -1},
	{"sparse-super2-one", "ext4", 200, "-t ext4 -O sparse_super2,^resize_inode -b 1024 -E num_backup_sb=1", -1},
	{"bigalloc", "ext4", 200, "-t ext4 -b 4096 -O bigalloc -C 65536", -1},
	{"bigalloc-1k", "ext4", 128, "-t ext4 -O bigalloc -b 1024 -C 16384", -1},
	{"bigalloc-uninit", "ext4", 260, "-t ext4 -O bigalloc,^flex_bg -b 1024 -C 4096", -1},
	{"inline-data", "ext4", 64, "-t ext4 -b 4096 -O inline_data -I 1024", -1},
	{"everything", "ext4", 128,
		"-t ext4 -b 4096 -O quota,project,ea_inode,large_dir,encrypt,casefold,verity,mmp,metadata_csum_seed,stable_inodes", -1},
	{"orphan-file", "ext4", 64, "-t ext4 -O orphan_file", -1},
	{"fast-commit", "ext4", 96, "-t ext4 -O fast_commit", -1},
	{"no-journal", "ext4", 64, "-t ext4 -O ^has_journal", -1},
	{"lazy", "ext4", 200, "-t ext4 -b 1024 -E lazy_itable_init=1,lazy_journal_init=1", -1},
	{"odd-size", "ext4", 65, "-t ext4 -b 1024 -g 8192 -I 128", -1},
	{"full", "ext4", 32, "-t ext4 -m 0 -J size=4", 28},
	{"empty", "ext4", 400, "-t ext4 -b 4096", 0},
	{"backup-at-1", "ext4", 200, "-t ext4 -O ^sparse_super,^resize_inode -b 1024 -g 1024 -N 4096", -1},
	{"large-inodes", "ext4", 64, "-t ext4 -I 512 -i 8192", -1},
}

// mkfs makes a file system of the matrix and returns its path.
func mkfs(t *testing.T, size int64, args string, tree string) string {
	t.Helper()
	need.Tools(t, "mke2fs", "dumpe2fs", "e2fsck", "debugfs")
	path := volumetest.Sparse(t, size)
	list := append([]string{"-q", "-F", "-L", "a label", "-U", "6b1e6f4e-8a3b-4f5c-9d1a-0123456789ab"},
		strings.Fields(args)...)
	if tree != "" {
		list = append(list, "-d", tree)
	}
	volumetest.Run(t, "mke2fs", append(list, path)...)
	if strings.Contains(args, "quota") {
		// mke2fs -d does not count what it copies. e2fsck does, and says by its exit status that it changed something.
		exec.Command("e2fsck", "-fy", path).Run()
	}
	return path
}

func TestMatrix(t *testing.T) {
	tree := volumetest.Dir(t)
	volumetest.Fill(t, tree, 4)
	for _, c := range matrix {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := tree
			switch {
			case c.tree == 0:
				dir = ""
			case c.tree > 0:
				dir = volumetest.Dir(t)
				volumetest.Fill(t, dir, c.tree)
			}
			prove(t, mkfs(t, c.size*mib, c.args, dir), c.kind)
		})
	}
}

// prove holds the map of a clean file system against the independent tools.
func prove(t *testing.T, path, kind string) {
	t.Helper()
	fs, ext := volumetest.Load(t, path, Open)
	againstDumpe2fs(t, path, fs, ext)
	restored := volumetest.Restore(t, path, ext)
	volumetest.Run(t, "e2fsck", "-fn", restored)
	volumetest.Same(t, rdump(t, path), rdump(t, restored))
	if info := fs.Info(); fs.Type() != kind || info.UUID == "" || info.Label != "a label" || !info.Clean {
		t.Errorf("%s %+v", fs.Type(), info)
	}
	volumetest.LikeBlkid(t, path, fs)
}

// rdump lists the files that debugfs finds in the file system in path. It reads also what this kernel cannot mount.
func rdump(t *testing.T, path string) string {
	t.Helper()
	dir := volumetest.Dir(t)
	volumetest.RunIn(t, "rdump / "+dir+"\n", "debugfs", "-f", "-", path)
	return volumetest.List(t, dir)
}

// againstDumpe2fs compares the map with the free blocks that dumpe2fs lists: what is not free is in the map, and what
// is in the map is not free, with one exception: the boot sector before the first block.
func againstDumpe2fs(t *testing.T, path string, fs *FS, ext []volume.Extent) {
	t.Helper()
	bs := fs.sb.blockSize
	free := volume.NewRuns(fs.size)
	var counted int64
	for line := range strings.Lines(volumetest.Run(t, "dumpe2fs", path)) {
		list, ok := strings.CutPrefix(line, "  Free blocks: ")
		if !ok {
			if n, ok := strings.CutPrefix(line, "Free blocks:"); ok {
				fmt.Sscan(n, &counted)
			}
			continue
		}
		for _, r := range strings.Split(strings.TrimSpace(list), ", ") {
			var a, b int64
			switch n, _ := fmt.Sscanf(r, "%d-%d", &a, &b); n {
			case 0:
				continue
			case 1:
				b = a
			}
			b |= fs.sb.clusterSize/bs - 1 // of a cluster, dumpe2fs names the first block
			free.Add(a*bs, (b-a+1)*bs)
		}
	}
	want := volume.Invert(free.Extents(), fs.sb.blocks*bs)
	if d := cmp.Diff(want, ext); d != "" {
		t.Errorf("map (-dumpe2fs +ours): %s", d)
	}
	if used := fs.Info().Used; used != (fs.sb.blocks-counted)*bs {
		t.Errorf("%d bytes used, dumpe2fs counts %d free blocks of %d", used, counted, bs)
	}
}

// partclone's bitmap is the same.
func TestAgainstPartclone(t *testing.T) {
	tree := volumetest.Dir(t)
	volumetest.Fill(t, tree, 4)
	for name, args := range map[string]string{
		"4k":      "-t ext4 -b 4096",
		"1k":      "-t ext4 -b 1024 -g 2048",
		"meta-bg": "-t ext4 -O meta_bg,^resize_inode",
	} {
		t.Run(name, func(t *testing.T) {
			path := mkfs(t, 200*mib, args, tree)
			_, ext := volumetest.Load(t, path, Open)
			theirs, _ := volumetest.Partclone(t, "ext4", path)
			if d := cmp.Diff(theirs, ext); d != "" {
				t.Errorf("map (-partclone +ours): %s", d)
			}
		})
	}
}

func TestNotExt(t *testing.T) {
	for _, size := range []int64{0, 100, 2048, 4 * mib} {
		f, size := volumetest.Open(t, volumetest.Sparse(t, size))
		if _, err := Open(f, size); !errors.Is(err, volume.ErrNotThis) {
			t.Errorf("%d zeroes: %v", size, err)
		}
	}
}

// Whatever casts doubt on the bitmaps ends in an error, upon which the partition is captured whole.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name, args, debugfs string
		want                string
	}{
		{"journal device", "-O journal_dev", "", "it is the journal of another"},
		{"errors", "-t ext4", "ssv state 2", "found errors"},
		{"ext2 not unmounted", "-t ext2", "ssv state 0", "has no journal to recover from"},
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

// A descriptor, a superblock and a bitmap that were changed behind the back of their checksums are noticed.
func TestChecksums(t *testing.T) {
	for _, c := range []struct {
		name, args string
		off        int64
		want       string
	}{
		{"superblock", "-t ext4", 1024 + 8, "the checksum is"},
		{"descriptor crc32c", "-t ext4 -b 4096", 4096 + 12, "its descriptor's checksum"},
		{"descriptor crc16", "-t ext4 -b 4096 -O ^metadata_csum,uninit_bg", 4096 + 12, "its descriptor's checksum"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := mkfs(t, 64*mib, c.args, "")
			f, size := volumetest.Open(t, path)
			flip(t, f, c.off)
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
