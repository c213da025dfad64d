package disk

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// needGPT skips where the kernel was built without partition tables, as those of some virtual machines are. A node's
// kernel is a distribution's; the tests in QEMU go through this code with one.
func needGPT(t *testing.T) {
	t.Helper()
	f, err := os.Open("/proc/config.gz")
	if err != nil {
		return
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return
	}
	if b, err := io.ReadAll(z); err == nil && strings.Contains(string(b), "# CONFIG_EFI_PARTITION is not set") {
		t.Skip("this kernel knows no GPT (CONFIG_EFI_PARTITION)")
	}
}

// TestReread writes a partition table onto a disk that the kernel knows without one.
func TestReread(t *testing.T) {
	need.Root(t)
	need.Tools(t, "losetup", "sfdisk")
	needGPT(t)
	file := volumetest.Sparse(t, 64<<20)
	dev, _ := volumetest.Loop(t, file, 512, "--partscan")
	if nodes, err := Nodes("/", dev); err != nil || nodes != nil {
		t.Fatalf("a blank disk has partitions: %v, %v", nodes, err)
	}
	// Into the file behind the device: nobody tells the kernel.
	cmd := exec.Command("sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", dev)
	cmd.Stdin = strings.NewReader("label: gpt\nsize=8M\nsize=8M\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := Reread(ctx, dev, []int{1, 2}); err != nil {
		t.Fatal(err)
	}
	nodes, err := Nodes("/", dev)
	if diff := cmp.Diff([]string{dev + "p1", dev + "p2"}, nodes); diff != "" || err != nil {
		t.Fatalf("%v -want +got\n%s", err, diff)
	}
	t.Cleanup(func() { volumetest.Run(t, "sfdisk", "--quiet", "--delete", dev) })

	// A partition that the table does not have does not appear, and the wait for it ends. Before that the kernel must
	// read the table once more, which it does not while udev, if there is one, looks into the partitions that have just
	// come.
	short, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	if err := Reread(short, dev, []int{1, 3}); err == nil || !strings.Contains(err.Error(), dev+"p3 did not appear") {
		t.Errorf("partition 3: %v", err)
	}
}

// TestBusy has a mounted partition: the disk is in use, and the kernel does not let go of the table.
func TestBusy(t *testing.T) {
	need.Root(t)
	need.Tools(t, "losetup", "addpart", "delpart", "mkfs.ext4", "mount", "umount")
	dev, _ := volumetest.Loop(t, volumetest.Sparse(t, 64<<20), 512, "--partscan")
	volumetest.Run(t, "addpart", dev, "2", "2048", "16384")
	t.Cleanup(func() { exec.Command("delpart", dev, "2").Run() })
	if nodes, err := Nodes("/", dev); err != nil || len(nodes) != 1 || nodes[0] != dev+"p2" {
		t.Fatalf("%v, %v", nodes, err)
	}
	dir := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	volumetest.Run(t, "mkfs.ext4", "-q", dev+"p2")
	volumetest.Run(t, "mount", dev+"p2", dir)
	use, err := InUse("/", dev)
	if want := filepath.Base(dev) + "p2 is mounted at " + dir; use != want || err != nil {
		t.Errorf("%q, %v, want %q", use, err, want)
	}
	busy, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	if err := Reread(busy, dev, nil); err == nil || !strings.Contains(err.Error(), "something holds the disk") {
		t.Errorf("a mounted disk: %v", err)
	}
	volumetest.Run(t, "umount", dir)
	if use, err := InUse("/", dev); use != "" || err != nil {
		t.Errorf("after umount: %q, %v", use, err)
	}
}

func TestRereadFile(t *testing.T) {
	if err := Reread(t.Context(), volumetest.Sparse(t, 1<<20), []int{1}); err != nil {
		t.Errorf("a regular file: %v", err)
	}
}
