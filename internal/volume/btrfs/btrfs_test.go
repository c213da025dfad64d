package btrfs

import (
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

// TestPartclone: ours has the first MiB in addition.
func TestPartclone(t *testing.T) {
	need.Tools(t, "partclone.btrfs")
	image := volumetest.Mkfs(t, "btrfs", size, "")
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
	image := volumetest.Mkfs(t, "btrfs", size, "")
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
	volumetest.Record(t, "testdata/log.seed", crashed, volumetest.Reads(Open))
	_, extents := volumetest.Load(t, crashed, Open)
	restored := volumetest.Restore(t, crashed, extents)
	dir, unmount = volumetest.Mount(t, restored, "btrfs", "")
	volumetest.Same(t, list, volumetest.List(t, dir))
	unmount()
	volumetest.Run(t, "btrfs", "check", "--check-data-csum", restored)
}

func TestSeveralDevicesAreCapturedWhole(t *testing.T) {
	b := volumetest.Sparse(t, size)
	a := volumetest.Mkfs(t, "btrfs", size, "-d raid1 -m raid1 "+b)
	for _, image := range []string{a, b} {
		fs, extents := volumetest.Load(t, image, Open)
		if volume.Bytes(extents) != size || !strings.Contains(fs.Info().Notes[0], "on 2 devices") {
			t.Errorf("%v %+v", extents, fs.Info())
		}
	}
}

func TestDamage(t *testing.T) {
	image := volumetest.Mkfs(t, "btrfs", size, "")
	f, n := volumetest.Open(t, image)
	fs, _ := volumetest.Load(t, image, Open)
	c, err := fs.find(fs.root.logical, fs.node)
	if err != nil {
		t.Fatal(err)
	}
	var where []int64
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
	volumetest.Load(t, image, Open) // from the second copy
	flip(where[1])
	fs, err = Open(f, n)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Extents(); err == nil || !strings.Contains(err.Error(), "checksum") {
		t.Errorf("a damaged root: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	volumetest.FuzzReader(f, func(r io.ReaderAt, size int64) (*FS, error) { return open(r, size, false) })
}
