package grow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/probe"
	"github.com/diskcast/diskcast/internal/volume/table"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

// systems are the file systems that grow, and how their own tools make and check them.
var systems = []struct {
	name, kind string
	from       int64 // MiB
	mkfs       []string
	check      func(t *testing.T, dev string)
}{
	{"ext4", "ext4", 64, []string{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096"}, e2fsck},
	{"ext4-1k", "ext4", 40, []string{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024"}, e2fsck},
	{"ext4-no-reserve", "ext4", 64, []string{"mke2fs", "-q", "-F", "-t", "ext4", "-O", "^resize_inode"}, e2fsck},
	{"ext3", "ext3", 64, []string{"mke2fs", "-q", "-F", "-t", "ext3"}, e2fsck},
	{"ext2", "ext2", 64, []string{"mke2fs", "-q", "-F", "-t", "ext2"}, e2fsck},
	{"xfs", "xfs", 320, []string{"mkfs.xfs", "-q", "-f", "-i", "maxpct=37"}, func(t *testing.T, dev string) {
		volumetest.Run(t, "xfs_repair", "-n", dev)
		if out := volumetest.Run(t, "xfs_db", "-r", "-c", "sb 0", "-c", "p imax_pct",
			dev); strings.TrimSpace(out) != "imax_pct = 37" {
			t.Errorf("the share of inodes is lost: %s", out)
		}
	}},
	{"btrfs", "btrfs", 150, []string{"mkfs.btrfs", "-q", "-f"}, func(t *testing.T, dev string) {
		volumetest.Run(t, "btrfs", "check", "--readonly", dev)
	}},
}

func e2fsck(t *testing.T, dev string) { volumetest.Run(t, "e2fsck", "-fn", dev) }

func mountable(t *testing.T, kind string, mkfs string) {
	t.Helper()
	need.Root(t)
	need.Tools(t, "losetup", "mount", mkfs)
	if list, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(list), "\t"+kind+"\n") {
		// It may be a module that is not loaded yet; the attempt to mount loads it.
		t.Logf("%s is not among the kernel's file systems so far", kind)
	}
}

// A restored disk is larger than its source: table and file system grow, and everything is still there.
func TestGrowDisk(t *testing.T) {
	for _, c := range systems {
		t.Run(c.name, func(t *testing.T) {
			mountable(t, c.kind, c.mkfs[0])
			const start = mib
			source := volumetest.Sparse(t, start+c.from*mib+mib)
			path, want := fill(t, c.kind, c.from*mib, c.mkfs)
			copyTo(t, path, source, start)
			volumetest.RunIn(t, fmt.Sprintf("label: gpt\nstart=%d, size=%d, type=linux, name=root\n", start/512,
				c.from*mib/512), "sfdisk", "-q", source)

			f, size := volumetest.Open(t, source)
			tbl, err := table.Read(f, size, 512)
			if err != nil {
				t.Fatal(err)
			}
			target := c.from*mib*2 + 13*mib + 512
			plan := Table(tbl, target, 512, func(int) string { return c.kind }, nothing)
			// The end of the disk less backup table, rounded down.
			if plan.Number != 1 || plan.From != c.from*mib || plan.To != target/mib*mib-mib-start {
				t.Fatalf("%+v", plan)
			}
			disk := volumetest.Sparse(t, target)
			out, _ := volumetest.Open(t, disk)
			if err := table.Write(out, plan.Table, target, 512); err != nil {
				t.Fatal(err)
			}
			if out := volumetest.Run(t, "sfdisk", "--verify", disk); !strings.Contains(out, "No errors detected") {
				t.Error(out)
			}
			fs, err := probe.Probe(io.NewSectionReader(f, start, c.from*mib), c.from*mib)
			if err != nil || fs.Type() != c.kind {
				t.Fatal(fs, err)
			}
			ext, err := fs.Extents()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range ext {
				w := io.NewOffsetWriter(out, start+e.Offset)
				if _, err := io.Copy(w, io.NewSectionReader(f, start+e.Offset, e.Length)); err != nil {
					t.Fatal(err)
				}
			}
			dev, _ := volumetest.Loop(t, disk, 512, "--offset", fmt.Sprint(start), "--sizelimit", fmt.Sprint(plan.To))
			err = FileSystem(context.Background(), dev, c.kind)
			switch {
			case errors.Is(err, unix.EPERM) && !volumetest.MayResize(t):
				// Root in a container is often not allowed to. Root of a guest is.
				t.Log(err)
				if report := volumetest.Guest(t, "call:grow", dev, "ext4", "", 0); report != "grown" {
					t.Fatal(report)
				}
			case err != nil:
				t.Fatal(err)
			}
			c.check(t, dev)
			d, devSize := volumetest.Open(t, dev)
			grown, err := probe.Probe(d, devSize)
			if err != nil {
				t.Fatal(err)
			}
			// A short last group, stripe or allocation group is left out.
			if got := grown.Info().Size; got > plan.To || got < plan.To-17*mib {
				t.Errorf("it has %d bytes on a partition of %d", got, plan.To)
			}
			dir, unmount := volumetest.Mount(t, dev, c.kind, "")
			volumetest.Same(t, want, volumetest.List(t, dir))
			unmount()
			// Asked again, it changes nothing, and asks the kernel for nothing that needs a capability.
			if err := FileSystem(context.Background(), dev, c.kind); err != nil {
				t.Error("again:", err)
			}
		})
	}
}

func init() {
	volumetest.InGuest("grow", func(device, kind string) (string, error) {
		return "grown", FileSystem(context.Background(), device, kind)
	})
}

// fill makes a file system with files in it.
func fill(t *testing.T, kind string, size int64, mkfs []string) (path, list string) {
	t.Helper()
	path = volumetest.Sparse(t, size)
	volumetest.Run(t, mkfs[0], append(mkfs[1:len(mkfs):len(mkfs)], path)...)
	dir, unmount := volumetest.Mount(t, path, kind, "")
	volumetest.Fill(t, dir, 3)
	list = volumetest.List(t, dir)
	unmount()
	return path, list
}

func copyTo(t *testing.T, from, to string, off int64) {
	t.Helper()
	in, size := volumetest.Open(t, from)
	out, _ := volumetest.Open(t, to)
	if n, err := io.Copy(io.NewOffsetWriter(out, off), io.NewSectionReader(in, 0, size)); err != nil || n != size {
		t.Fatal(n, err)
	}
}

func gpt(parts ...volume.Partition) *volume.Table {
	mbr := make([]byte, 512)
	mbr[510], mbr[511] = 0x55, 0xaa
	mbr[446+4], mbr[446+8], mbr[446+12] = 0xee, 1, 0xff
	for i := range parts {
		parts[i].Number = i + 1
		parts[i].Type, parts[i].UUID = "0fc63daf-8483-4772-8e79-3d69d8477de4",
			fmt.Sprintf("%08d-0000-0000-0000-000000000000", i+1)
	}
	return &volume.Table{Kind: table.KindGPT, SectorSize: 512, DiskSize: 200 * mib,
		DiskID: "3d3c1b50-0f0b-4c5c-9c3a-7d2f0b0d7a11", MBR: mbr,
		Partitions: parts, GPT: &volume.GPT{EntryCount: 128, EntrySize: 128, Entries: 1024, FirstUsable: 34 * 512,
			UsableEnd: 200*mib - 33*512}}
}

func dos(container *volume.Partition, parts ...volume.Partition) *volume.Table {
	mbr := make([]byte, 512)
	mbr[510], mbr[511] = 0x55, 0xaa
	for i := range parts {
		parts[i].Type = "0x83"
	}
	if container != nil {
		container.Type = "0x05"
	}
	return &volume.Table{Kind: table.KindDOS, SectorSize: 512, DiskSize: 200 * mib, DiskID: "0x12345678", MBR: mbr,
		Partitions: parts, Extended: container}
}

func part(start, size int64) volume.Partition {
	return volume.Partition{Start: start * mib, Size: size * mib}
}

// nothing says that an image has no bytes behind its partitions.
func nothing(int64) int64 { return math.MaxInt64 }

func TestTable(t *testing.T) {
	logical := func() *volume.Table {
		p1, p5, p6 := part(1, 50), part(61, 40), part(111, 60)
		p1.Number, p5.Number, p6.Number = 1, 5, 6
		p5.EBRStart, p6.EBRStart = 60*mib, 110*mib
		return dos(&volume.Partition{Number: 2, Start: 60 * mib, Size: 120 * mib}, p1, p5, p6)
	}
	big := func() *volume.Table {
		p := part(1, 50)
		p.Number = 1
		return dos(nil, p)
	}
	for _, c := range []struct {
		name   string
		table  *volume.Table
		size   int64
		kind   string
		number int
		to     int64 // MiB
		note   string
	}{
		{"same size", gpt(part(1, 100), part(101, 50)), 200 * mib, "ext4", 0, 0, ""},
		{"smaller", gpt(part(1, 100), part(101, 50)), 180 * mib, "ext4", 0, 0, ""},
		{"larger", gpt(part(1, 100), part(101, 50)), 300 * mib, "ext4", 2, 198, ""},
		{"out of order", gpt(part(101, 50), part(1, 100)), 300 * mib, "xfs", 1, 198, ""},
		{"swap is last", gpt(part(1, 100), part(101, 50)), 300 * mib, "swap", 0, 0, `"swap" cannot be grown`},
		{"no room", gpt(part(1, 199)), 200*mib + 64<<10, "ext4", 0, 0, "less than 1 MiB"},
		{"logical", logical(), 300 * mib, "btrfs", 6, 189, ""},
		{"beyond 2 TiB", big(), 4 << 40, "ext4", 1, 2<<20 - 2, ""},
		{"no partitions", gpt(), 300 * mib, "ext4", 0, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			plan := Table(c.table, c.size, 512, func(int) string { return c.kind }, nothing)
			if plan.Number != c.number || plan.Number > 0 && plan.To != c.to*mib ||
				!strings.Contains(plan.Note, c.note) || (c.note == "") != (plan.Note == "") {
				t.Fatalf("%+v", plan)
			}
			if _, err := table.Layout(plan.Table, c.size, 512); err != nil {
				t.Error(err)
			}
			if plan.Number == 0 && plan.Table != c.table {
				t.Error("another table, although nothing grows")
			}
		})
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int64 // of the target
		claims  int64 // MiB that the last file system claims
		to      int64 // bytes
		missing int64
	}{
		{"fits", 200 * mib, 50, 0, 0},
		{"cut", 170 * mib, 50, 68*mib + (mib - 33*512), 0},
		{"cut to the bone", 151*mib + 33*512, 50, 50 * mib, 0},
		{"too small", 151*mib + 32*512, 50, 0, 512},
		{"not known", 170 * mib, 0, 0, 29*mib + 33*512},
	} {
		t.Run(c.name, func(t *testing.T) {
			tbl := gpt(part(1, 100), part(101, 98))
			plan, err := Fit(tbl, c.size, 512, func(n int) int64 {
				if n != 2 {
					t.Errorf("asked for partition %d", n)
				}
				return c.claims * mib
			})
			var small *table.TooSmallError
			if c.missing > 0 {
				if !errors.As(err, &small) || small.Need-small.Have != c.missing {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || plan.To != c.to {
				t.Fatalf("%+v %v", plan, err)
			}
			if _, err := table.Layout(plan.Table, c.size, 512); err != nil {
				t.Error(err)
			}
			if tbl.Partitions[1].Size != 98*mib {
				t.Error("the given table was changed")
			}
		})
	}
}

// An extended partition with a free tail ends with a smaller disk; its logical partition stays.
func TestFitContainer(t *testing.T) {
	logical := volume.Partition{Number: 5, Start: 100 * mib, Size: 50 * mib, Type: "0x83", EBRStart: 99 * mib}
	container := volume.Partition{Number: 2, Start: 99 * mib, Size: 101 * mib, Type: "0x05"}
	tbl := dos(&container, part(1, 90), logical)
	tbl.Partitions[0].Number, tbl.Partitions[1] = 1, logical
	plan, err := Fit(tbl, 160*mib, 512, func(int) int64 { return 0 })
	if err != nil || plan.Number != 0 || plan.Table.Extended.End() != 160*mib ||
		plan.Table.Partitions[1].Size != 50*mib {
		t.Errorf("%+v %v", plan, err)
	}
	if _, err := table.Layout(plan.Table, 160*mib, 512); err != nil {
		t.Error(err)
	}
	if container.Size != 101*mib {
		t.Error("the given table was changed")
	}
}

func TestRefused(t *testing.T) {
	file := volumetest.Sparse(t, mib)
	for _, c := range []struct{ device, kind, want string }{
		{file, "ntfs", `"ntfs" is not one of`},
		{file, "ext4", "not a block device"},
		{filepath.Join(t.TempDir(), "missing"), "ext4", "no such file"},
	} {
		if err := FileSystem(context.Background(), c.device, c.kind); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.kind, err)
		}
	}
}
