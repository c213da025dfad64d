package rule

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// fileSystem is one of the pool: what the tools of its kind made, and what they call free of it.
type fileSystem struct {
	name   string
	size   int64
	free   []volume.Extent
	pieces []piece  // all that is not free, but for zeros
	zero   bool     // its free bytes are zero on every disk
	check  []string // a command that is content with the image; its path comes last
}

type piece struct {
	off  int64
	data []byte
}

const mib = 1 << 20

// makers are the kinds of the pool. A maker makes the file system in a file of the size, and fills it as far as this
// machine can.
var makers = []struct {
	name  string
	size  int64
	make  func(t *testing.T, image string)
	free  func(t *testing.T, image string) []volume.Extent
	check []string
}{
	{"ext2", 3 * mib, ext("-t", "ext2", "-b", "1024"), freeOfExt, []string{"e2fsck", "-fn"}},
	{"ext3", 8 * mib, ext("-t", "ext3", "-b", "1024"), freeOfExt, []string{"e2fsck", "-fn"}},
	{"ext4", 9*mib + 512*7, ext("-t", "ext4"), freeOfExt, []string{"e2fsck", "-fn"}},
	{"ext4 of 4 KiB", 12 * mib, ext("-t", "ext4", "-b", "4096", "-O", "metadata_csum,64bit"), freeOfExt,
		[]string{"e2fsck", "-fn"}},
	{"ext4 as of old", 6 * mib,
		ext("-t", "ext4", "-b", "1024", "-g", "1024", "-O", "^metadata_csum,uninit_bg,^resize_inode,sparse_super2"),
		freeOfExt, []string{"e2fsck", "-fn"}},
	{"ext4 without journal", 5 * mib,
		ext("-t", "ext4", "-O", "^has_journal,inline_data,meta_bg,^resize_inode", "-I", "256"), freeOfExt,
		[]string{"e2fsck", "-fn"}},
	{"fat12", 3 * mib, fat("-F", "12"), freeOfFAT, []string{"fsck.fat", "-n"}},
	{"fat16", 10 * mib, fat("-F", "16"), freeOfFAT, []string{"fsck.fat", "-n"}},
	{"fat32", 36 * mib, fat("-F", "32", "-s", "1"), freeOfFAT, []string{"fsck.fat", "-n"}},
	{"fat16 with large clusters", 17*mib + 512, fat("-F", "16", "-s", "8", "-r", "112", "-R", "5"), freeOfFAT,
		[]string{"fsck.fat", "-n"}},
	{"ntfs", 6 * mib, ntfs("-c", "4096"), by("ntfs"), []string{"ntfsfix", "-n"}},
	{"ntfs of 512 bytes", 4*mib + 512*3, ntfs("-c", "512"), by("ntfs"), []string{"ntfsfix", "-n"}},
	{"exfat", 7 * mib, exfat, by("exfat"), []string{"fsck.exfat", "-n"}},
	{"btrfs", 24 * mib, btrfs("--mixed"), freeOfBtrfs, []string{"btrfs", "check"}},
	{"btrfs, separate", 130 * mib, btrfs(), freeOfBtrfs, []string{"btrfs", "check"}},
	{"f2fs", 100 * mib, f2fs, by("f2fs"), []string{"fsck.f2fs", "--dry-run"}},
	{"xfs", 300 * mib, xfs, freeOfXFS, []string{"xfs_repair", "-n", "-f"}},
	{"swap", 2 * mib, func(t *testing.T, image string) { volumetest.Run(t, "mkswap", "-q", "-L", "swap", image) },
		freeOfSwap, nil},
	{"jfs", 17 * mib, jfs, freeOfHoles, []string{"fsck.jfs", "-n", "-f"}},
	{"nilfs2", 20 * mib, nilfs2, freeOfZeros, nil},
	{"reiserfs", 12 * mib, reiserfs, freeOfReiser, []string{"reiserfsck", "--check", "-q", "-y"}},
	{"ufs", 8 * mib, ufs, freeOfZeros, nil},
	{"ext4 in lvm", 16 * mib, lvmPV, freeOfLVM, nil},
}

// pool makes one file system of each kind, once for all seeds. A kind whose tools are missing is left out, and fails on
// CI.
func pool(t *testing.T) []*fileSystem {
	var all []*fileSystem
	dir := volumetest.Dir(t)
	for i, m := range makers {
		image := filepath.Join(dir, fmt.Sprint(i))
		t.Run("pool/"+m.name, func(t *testing.T) {
			if err := sparse.Create(image, m.size); err != nil {
				t.Fatal(err)
			}
			m.make(t, image)
			fs := &fileSystem{name: m.name, size: m.size, free: m.free(t, image), check: m.check,
				zero: m.name == "ufs" || m.name == "nilfs2"}
			if len(fs.check) > 0 {
				volumetest.Run(t, fs.check[0], append(fs.check[1:len(fs.check):len(fs.check)], image)...)
			}
			fs.load(t, image)
			all = append(all, fs)
		})
	}
	return all
}

// load keeps what is not free.
func (fs *fileSystem) load(t *testing.T, image string) {
	f, size := volumetest.Open(t, image)
	if size != fs.size {
		t.Fatalf("%s has %d bytes, not %d", fs.name, size, fs.size)
	}
	volumetest.Check(t, fs.free, size)
	for _, e := range volume.Subtract(sparse.Data(f, size), fs.free) {
		p := make([]byte, e.Length)
		if _, err := f.ReadAt(p, e.Offset); err != nil && err != io.EOF {
			t.Fatal(err)
		}
		fs.pieces = append(fs.pieces, piece{e.Offset, p})
	}
	t.Logf("%d bytes, of which %d are free", size, volume.Bytes(fs.free))
}

// write puts the file system onto old data: its free bytes stay what they were.
func (fs *fileSystem) write(disk []byte) {
	if fs.zero {
		clear(disk[:fs.size])
	}
	for _, e := range volume.Invert(fs.free, fs.size) {
		clear(disk[e.Offset:e.End()])
	}
	for _, p := range fs.pieces {
		copy(disk[p.off:], p.data)
	}
}

// tree makes some files of about as many bytes, and returns those that are to be deleted after they were copied.
func tree(t *testing.T, bytes int) (dir string, doomed []string) {
	dir = t.TempDir()
	r := rand.New(rand.NewPCG(3, uint64(bytes)))
	for i := range 40 {
		p := make([]byte, r.IntN(bytes/20))
		imagetest.Random(p, uint64(i))
		name := fmt.Sprintf("D%d/FILE%d", i%3, i)
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, p, 0o644); err != nil {
			t.Fatal(err)
		}
		if i%3 == 1 {
			doomed = append(doomed, name)
		}
	}
	return dir, doomed
}

func ext(options ...string) func(*testing.T, string) {
	return func(t *testing.T, image string) {
		dir, doomed := tree(t, mib)
		volumetest.Run(t, "mke2fs", append(options, "-q", "-F", "-E", "lazy_itable_init=1", "-d", dir, image)...)
		var script strings.Builder
		for _, name := range doomed {
			fmt.Fprintf(&script, "rm /%s\n", name)
		}
		volumetest.RunIn(t, script.String(), "debugfs", "-w", "-f", "-", image)
	}
}

func fat(options ...string) func(*testing.T, string) {
	return func(t *testing.T, image string) {
		dir, doomed := tree(t, mib)
		volumetest.Run(t, "mkfs.fat", append(options, image)...)
		for i := range 3 {
			volumetest.Run(t, "mcopy", "-s", "-i", image, filepath.Join(dir, fmt.Sprintf("D%d", i)), "::")
		}
		for _, name := range doomed {
			volumetest.Run(t, "mdel", "-i", image, "::"+name)
		}
	}
}

func ntfs(options ...string) func(*testing.T, string) {
	return func(t *testing.T, image string) {
		volumetest.Run(t, "mkfs.ntfs", append(options, "-q", "-F", "-f", "-L", "ntfs", image)...)
		fill(t, func(t *testing.T) (string, func()) { return volumetest.FUSE(t, image, "ntfs-3g") })
	}
}

func exfat(t *testing.T, image string) {
	volumetest.Run(t, "mkfs.exfat", image)
	fill(t, func(t *testing.T) (string, func()) {
		device, detach := volumetest.Loop(t, image, 512) // it takes no file
		dir, unmount := volumetest.FUSE(t, device, "mount.exfat-fuse")
		return dir, func() { unmount(); detach() }
	})
}

func btrfs(options ...string) func(*testing.T, string) {
	return func(t *testing.T, image string) {
		volumetest.Run(t, "mkfs.btrfs", append(options, "-q", "-f", image)...)
		fill(t, func(t *testing.T) (string, func()) { return volumetest.Mount(t, image, "btrfs", "") })
	}
}

func xfs(t *testing.T, image string) {
	volumetest.Run(t, "mkfs.xfs", "-q", "-f", image)
	fill(t, func(t *testing.T) (string, func()) { return volumetest.Mount(t, image, "xfs", "") })
}

func f2fs(t *testing.T, image string) {
	volumetest.Run(t, "mkfs.f2fs", "-q", "-f", image)
	dir, _ := tree(t, mib)
	volumetest.Run(t, "sload.f2fs", "-f", dir, image)
}

// fill copies a tree into a mounted file system and deletes some of it. What cannot be mounted here stays as mkfs made
// it.
func fill(t *testing.T, mount func(*testing.T) (dir string, unmount func())) {
	t.Run("fill", func(t *testing.T) {
		from, doomed := tree(t, mib)
		dir, unmount := mount(t)
		if err := os.CopyFS(filepath.Join(dir, "tree"), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
		volumetest.Sync(t, dir)
		for _, name := range doomed {
			if err := os.Remove(filepath.Join(dir, "tree", name)); err != nil {
				t.Fatal(err)
			}
		}
		unmount()
	})
}
