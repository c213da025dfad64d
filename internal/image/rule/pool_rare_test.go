package rule

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func jfs(t *testing.T, image string) { volumetest.Run(t, "mkfs.jfs", "-q", image) }

func nilfs2(t *testing.T, image string) {
	volumetest.Run(t, "mkfs.nilfs2", "-q", "-b", "1024", "-B", "16", image)
}

func reiserfs(t *testing.T, image string) {
	volumetest.Run(t, "mkreiserfs", "-q", "-f", "-s", "513", image)
}

// ufs makes a file anew: makefs takes no device.
func ufs(t *testing.T, image string) {
	dir, _ := tree(t, mib)
	volumetest.Run(t, "makefs", "-t", "ffs", "-B", "le", "-s", "8m", "-o", "version=2", image, dir)
	// To give the file its length makefs writes some sector of its memory to the end, which is free.
	f, size := volumetest.Open(t, image)
	if _, err := f.WriteAt(make([]byte, 512), size-512); err != nil {
		t.Fatal(err)
	}
}

// freeOfHoles is what mkfs did not write: whatever an older disk has there is nothing to the file system, as long as
// nobody has written to it.
func freeOfHoles(t *testing.T, image string) []volume.Extent {
	f, size := volumetest.Open(t, image)
	return volume.Invert(sparse.Data(f, size), size)
}

// freeOfZeros is for what is made without any file that is mostly zeros: blocks of zeros. Some of these may be tables,
// so the disks have zeros there too, and what is held to the rule is all the rest.
func freeOfZeros(t *testing.T, image string) []volume.Extent {
	const block = 1024 // a fragment of UFS, a block of NILFS2
	f, size := volumetest.Open(t, image)
	runs, p := volume.NewRuns(size), make([]byte, block)
	for at := int64(0); at+block <= size; at += block {
		if _, err := f.ReadAt(p, at); err != nil {
			t.Fatal(err)
		}
		if strings.Trim(string(p), "\x00") == "" {
			runs.Add(at, block)
		}
	}
	return runs.Extents()
}

// freeOfReiser reads "#0: block 17: Busy (0-531) Free(532-3071) Busy(3072-32767)" of each bitmap of debugreiserfs.
func freeOfReiser(t *testing.T, image string) []volume.Extent {
	const block = 4096
	_, size := volumetest.Open(t, image)
	runs := volume.NewRuns(size)
	for line := range strings.Lines(volumetest.Run(t, "debugreiserfs", "-m", image)) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		for _, item := range strings.Split(line, "Free")[1:] {
			var from, to int64
			scan(t, item, "(%d-%d)", &from, &to)
			runs.Add(from*block, (to-from+1)*block)
		}
	}
	return runs.Extents()
}

// Where the logical volume lies in the physical one.
const (
	lvStart = mib
	lvSize  = 15 * mib
)

// lvmPV makes a physical volume with one logical volume, and an ext4 in that, without device mapper.
func lvmPV(t *testing.T, image string) {
	device, detach := volumetest.Loop(t, image, 512)
	defer detach()
	t.Setenv("LVM_SYSTEM_DIR", t.TempDir())
	t.Setenv("LVM_SUPPRESS_FD_WARNINGS", "1")
	lvm := func(args ...string) string {
		return volumetest.Run(t, "lvm",
			append(args, "--driverloaded", "n", "--config", `devices{use_devicesfile=0 filter=["a|^`+device+
				`$|","r|.*|"]} `+
				`activation{udev_sync=0 udev_rules=0 monitoring=0} backup{backup=0 archive=0} `+
				`global{event_activation=0}`)...)
	}
	group := fmt.Sprintf("dc-rule-%d", os.Getpid())
	lvm("pvcreate", "-q", "-y", device)
	lvm("vgcreate", "-q", "-y", "-s", "1m", group, device)
	lvm("lvcreate", "-q", "-y", "-an", "-Wn", "-Zn", "-l", fmt.Sprint(lvSize/mib), "-n", "root", group)
	out := lvm("pvs", "--noheadings", "--units", "b", "--nosuffix", "--segments", "-o",
		"pe_start,pvseg_start,pvseg_size,lv_name", device)
	if want := fmt.Sprint(lvStart) + " 0 " + fmt.Sprint(lvSize/mib) +
		" root"; !strings.Contains(strings.Join(strings.Fields(out), " "), want) {
		t.Fatalf("the logical volume is not where it was expected: %s", out)
	}
	inner := filepath.Join(t.TempDir(), "ext4")
	if err := sparse.Create(inner, lvSize); err != nil {
		t.Fatal(err)
	}
	ext("-t", "ext4")(t, inner)
	copyInto(t, inner, device)
}

func copyInto(t *testing.T, inner, device string) {
	from, err := os.Open(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(io.NewOffsetWriter(to, lvStart), from); err != nil {
		t.Fatal(err)
	}
	if err := to.Sync(); err != nil {
		t.Fatal(err)
	}
}

// freeOfLVM takes dumpe2fs's word for the logical volume; all else of the physical one counts as used.
func freeOfLVM(t *testing.T, image string) []volume.Extent {
	f, size := volumetest.Open(t, image)
	inner := filepath.Join(t.TempDir(), "ext4")
	to, err := os.Create(inner)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	if _, err := io.Copy(to, io.NewSectionReader(f, lvStart, lvSize)); err != nil {
		t.Fatal(err)
	}
	volumetest.Run(t, "e2fsck", "-fn", inner)
	runs := volume.NewRuns(size)
	for _, e := range freeOfExt(t, inner) {
		runs.Add(lvStart+e.Offset, e.Length)
	}
	return runs.Extents()
}
