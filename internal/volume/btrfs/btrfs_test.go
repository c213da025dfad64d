package btrfs

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 256 << 20

func mkfs(t *testing.T, image, options string) {
	t.Helper()
	need.Tools(t, "mkfs.btrfs", "btrfs", "blkid")
	args := append([]string{"-q", "-L", "dc-test"}, strings.Fields(options)...)
	volumetest.Run(t, "mkfs.btrfs", append(args, image)...)
}

// judge restores nothing but the extents and has btrfs check and the kernel look at the result.
func judge(t *testing.T, image, list string) *FS {
	t.Helper()
	fs, extents := volumetest.Load(t, image, Open)
	restored := volumetest.Restore(t, image, extents)
	if fs.Info().Clean {
		volumetest.Run(t, "btrfs", "check", "--check-data-csum", restored)
	}
	dir, unmount := volumetest.Mount(t, restored, "btrfs", "")
	volumetest.Same(t, list, volumetest.List(t, dir))
	unmount()
	if !fs.Info().Clean {
		volumetest.Run(t, "btrfs", "check", "--check-data-csum", restored)
	}
	return fs
}

func TestAgainstBtrfsProgs(t *testing.T) {
	for _, c := range []struct{ name, mkfs, mount, balance string }{
		{"default (DUP metadata)", "", "", ""},
		{"single", "-m single -d single", "", ""},
		{"DUP data", "-d dup -m dup", "", ""},
		{"mixed", "--mixed -n 4096", "", ""},
		{"4k nodes", "-n 4096", "", ""},
		{"64k nodes", "-n 65536", "", ""},
		{"xxhash", "--csum xxhash", "", ""},
		{"sha256", "--csum sha256", "", ""},
		{"blake2", "--csum blake2", "", ""},
		{"block group tree", "-O block-group-tree", "", ""},
		{"old features", "-O ^no-holes,^skinny-metadata -R ^free-space-tree", "", ""},
		{"space cache v1", "-R ^free-space-tree", "space_cache=v1", ""},
		{"quota", "-R quota", "", ""},
		{"zstd", "", "compress-force=zstd", ""},
		{"RAID0 on one device", "", "", "-dconvert=raid0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, feature, ok := strings.Cut(c.mkfs, "-O block"); ok {
				if list, _ := volumetest.Try(t, "mkfs.btrfs", "-O", "list-all"); !strings.Contains(list, "block"+
					feature) {
					t.Skipf("this mkfs.btrfs cannot make it: %s", c.mkfs)
				}
			}
			image := volumetest.Sparse(t, size)
			mkfs(t, image, c.mkfs)
			dir, unmount := volumetest.Mount(t, image, "btrfs", c.mount)
			volumetest.Fill(t, dir, 24)
			volumetest.Run(t, "btrfs", "subvolume", "create", dir+"/sub")
			volumetest.Run(t, "cp", "--reflink=always", dir+"/large", dir+"/sub/clone")
			volumetest.Run(t, "btrfs", "subvolume", "snapshot", dir, dir+"/snap")
			for _, gone := range []string{"large", "hole1"} { // now in the snapshot only
				if err := os.Remove(filepath.Join(dir, gone)); err != nil {
					t.Fatal(err)
				}
			}
			if c.balance != "" {
				volumetest.Run(t, "btrfs", "balance", "start", "-f", c.balance, dir)
			}
			list := volumetest.List(t, dir)
			unmount()
			fs := judge(t, image, list)
			info := fs.Info()
			if blkid := volumetest.Run(t, "blkid", "-p", image); !info.Clean || len(info.Notes) != 0 ||
				info.Label != "dc-test" || !strings.Contains(blkid, `"`+info.UUID+`"`) {
				t.Errorf("info is %+v, blkid says %s", info, blkid)
			}
			if _, extents := volumetest.Load(t, image, Open); volume.Bytes(extents) > size/2 && c.balance == "" {
				t.Errorf("%d bytes are used", volume.Bytes(extents))
			}
		})
	}
}

// TestPartclone: ours has the first MiB in addition.
func TestPartclone(t *testing.T) {
	need.Tools(t, "partclone.btrfs")
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	dir, unmount := volumetest.Mount(t, image, "btrfs", "")
	volumetest.Fill(t, dir, 24)
	unmount()
	fs, ours := volumetest.Load(t, image, Open)
	theirs, _ := volumetest.Partclone(t, "btrfs", image)
	more, less := volumetest.Compare(ours, theirs)
	t.Logf("partclone %d bytes, ours %d: %d only ours, %d only theirs", volume.Bytes(theirs), volume.Bytes(ours), more,
		less)
	// partclone marks each extent at its place on the device, and once more where the device has that number as an
	// address; and tree blocks of earlier generations, to which the superblock's backup roots point and which are free.
	logical := volume.NewRuns(size)
	err := fs.eachExtent(func(at, n int64) error { logical.Add(at, n); return nil })
	if err != nil {
		t.Fatal(err)
	}
	_, less = volumetest.Compare(volume.Merge(size, ours, logical.Extents()), theirs)
	if more > reserved || less > 1<<20 {
		t.Errorf("the maps differ by %d and %d bytes", more, less)
	}
}

// TestTreeLog takes the power away after an fsync: the file is in the tree log only.
func TestTreeLog(t *testing.T) {
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	dir, unmount := volumetest.Mount(t, image, "btrfs", "commit=300")
	volumetest.Fill(t, dir, 8)
	volumetest.Sync(t, dir)
	for i := range 20 {
		path := filepath.Join(dir, "many", strings.Repeat("late", i+1))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(strings.Repeat("written last", 20_000*(1+i%3)))); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	list := volumetest.List(t, dir)
	crashed := filepath.Join(t.TempDir(), "crashed.img")
	volumetest.Run(t, "cp", "--sparse=always", image, crashed)
	unmount()
	_ = exec.Command("btrfs", "device", "scan", "--forget").Run()

	fs, _ := volumetest.Load(t, crashed, Open)
	if info := fs.Info(); info.Clean || len(info.Notes) != 1 || fs.logRoot.logical == 0 {
		t.Fatalf("the test does not reach what it is for: %+v", info)
	}
	volumetest.Record(t, "log", crashed, volumetest.Reads(Open))
	judge(t, crashed, list)
}

func TestSeveralDevicesAreCapturedWhole(t *testing.T) {
	a, b := volumetest.Sparse(t, size), volumetest.Sparse(t, size)
	mkfs(t, a, "-d raid1 -m raid1 "+b)
	for _, image := range []string{a, b} {
		fs, extents := volumetest.Load(t, image, Open)
		if volume.Bytes(extents) != size || !strings.Contains(fs.Info().Notes[0], "on 2 devices") {
			t.Errorf("%v %+v", extents, fs.Info())
		}
	}
}

func TestDamage(t *testing.T) {
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	f, n := volumetest.Open(t, image)
	if _, err := Open(f, size/2); err == nil || !strings.Contains(err.Error(), "claims") {
		t.Errorf("a short partition: %v", err)
	}
	fs, _ := volumetest.Load(t, image, Open)
	c, err := fs.find(fs.root.logical, fs.node)
	if err != nil {
		t.Fatal(err)
	}
	where := []int64{superAt + 0x70}
	for _, at := range c.copies {
		where = append(where, at+fs.root.logical-c.logical+200)
	}
	w, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	flip := func(at int64) {
		var p [1]byte
		if _, err := w.ReadAt(p[:], at); err != nil {
			t.Fatal(err)
		}
		p[0] ^= 1
		if _, err := w.WriteAt(p[:], at); err != nil {
			t.Fatal(err)
		}
	}
	flip(where[0])
	if _, err := Open(f, n); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a damaged superblock: %v", err)
	}
	flip(where[0])
	flip(where[1])
	volumetest.Load(t, image, Open) // from the second copy
	flip(where[2])
	fs, err = Open(f, n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Extents(); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged root: %v", err)
	}
}

func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, options := range map[string]string{"single": "-m single -n 4096", "mixed": "--mixed -n 4096"} {
		image := volumetest.Sparse(t, 128<<20)
		mkfs(t, image, options)
		volumetest.Record(t, name, image, volumetest.Reads(Open))
	}
}

func TestSeeds(t *testing.T) { volumetest.SeedsRead(t, Open) }

func FuzzOpen(f *testing.F) {
	volumetest.FuzzReader(f, func(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, false) })
}
