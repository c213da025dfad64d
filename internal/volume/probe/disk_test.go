package probe

import (
	"io"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestDisk has a disk with two ext4 partitions in a sound table, and something that says what the disk as a whole is.
func TestDisk(t *testing.T) {
	const size = 128 * mib
	put := func(at int64, s string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			f, _ := volumetest.Open(t, image)
			if _, err := f.WriteAt([]byte(s), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	whole := func(tool string, args ...string) func(*testing.T, string) {
		return func(t *testing.T, image string) { volumetest.Run(t, tool, append(args, image)...) }
	}
	// A superblock of md 1.x names its own sector; of its fields the level is what counts.
	md := func(at int64, level byte) func(*testing.T, string) {
		sb := make([]byte, 256)
		copy(sb, "\xfc\x4e\x2b\xa9\x01")
		sb[72] = level
		for i := range 8 {
			sb[144+i] = byte(at / 512 >> (8 * i))
		}
		return put(at, string(sb))
	}
	const v10 = (size/512 - 16) * 512
	for _, c := range []struct {
		name   string
		below  func(*testing.T, string) // before the table is written
		add    func(*testing.T, string)
		note   string // of the table, "" for none
		wholes string // partitions that are captured whole
		why    string // in the notes of one of these
	}{
		{name: "nothing"},
		{name: "md 1.0 mirror", add: md(v10, 1), note: "a member of an md set (RAID1"},
		{name: "md 1.0 stripe", add: md(v10, 0), note: "a member of an md set (RAID0", wholes: "1 2", why: "RAID0"},
		{name: "md 1.2 below an older table", add: md(4096, 1), note: "metadata 1.2", wholes: "1 2",
			why: "metadata 1.2"},
		{name: "Intel", add: put(size-1024, "Intel Raid ISM Cfg Sig. 1.1.00"), note: "Intel RST", wholes: "1 2",
			why: "Intel RST"},
		{name: "DDF", add: put(size-512, "\xde\x11\xde\x11"), note: "in DDF", wholes: "1 2", why: "DDF"},
		{name: "gmirror", add: put(size-512, "GEOM::MIRROR\x00"), note: "GEOM class MIRROR"},
		{name: "gstripe", add: put(size-512, "GEOM::STRIPE\x00"), note: "GEOM class STRIPE", wholes: "1 2",
			why: "STRIPE"},
		{name: "a pool's label in a partition", add: put(100*mib+128<<10, "\x0c\xb1\xba\x00\x00\x00\x00\x00")},
		{name: "old metadata within a partition", add: put(100*mib, "GEOM::LABEL\x00")},
		{name: "ReiserFS of the whole disk", below: whole("mkreiserfs", "-q", "-f"), note: "also reiserfs",
			wholes: "1 2", why: "reiserfs"},
		{name: "LVM of the whole disk", add: lvmLabel, note: "also LVM2_member", wholes: "1 2", why: "LVM2_member"},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := volumetest.Sparse(t, size)
			if c.below != nil {
				c.below(t, image)
			}
			volumetest.RunIn(t, "label: dos\nstart=2048, size=65536\nstart=67584, size=180224\n", "sfdisk", "-q",
				"--wipe", "never", image)
			for _, at := range []string{"1048576", "34603008"} {
				volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-E", "offset="+at, image, "30m")
			}
			if c.add != nil {
				c.add(t, image)
			}
			tbl := read(t, image, 2)
			before := len(tbl.Notes)
			d := newDisk(t, image, tbl)
			if note := strings.Join(tbl.Notes[before:], " "); !strings.Contains(note, c.note) ||
				(note == "") != (c.note == "") {
				t.Errorf("notes %q", note)
			}
			var wholes []string
			why := ""
			for i, p := range tbl.Partitions {
				if fs, whole := partition(t, d, p); whole {
					wholes = append(wholes, string(rune('1'+i)))
					why += strings.Join(fs.Info().Notes, " ")
				}
			}
			if got := strings.Join(wholes, " "); got != c.wholes || !strings.Contains(why, c.why) {
				t.Errorf("whole: %q, want %q; %s", got, c.wholes, why)
			}
		})
	}
}

// lvmLabel makes a physical volume of another file and copies its label and metadata before the first partition.
func lvmLabel(t *testing.T, image string) {
	pv := volumetest.Sparse(t, 128*mib)
	device, detach := volumetest.Loop(t, pv, 512)
	volumetest.Run(t, "pvcreate", "-q", "-ff", "-y", "--devices", device, device)
	detach()
	from, _ := volumetest.Open(t, pv)
	to, _ := volumetest.Open(t, image)
	if _, err := io.Copy(io.NewOffsetWriter(to, 512), io.NewSectionReader(from, 512, mib-512)); err != nil {
		t.Fatal(err)
	}
}

// TestPartitionType has a file system where the partition's type announces a volume manager.
func TestPartitionType(t *testing.T) {
	image := volumetest.Sparse(t, 64*mib)
	volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-E", "offset=1048576", image, "63m")
	f, size := volumetest.Open(t, image)
	d, err := NewDisk(f, &volume.Table{Kind: "gpt", DiskSize: size})
	if err != nil {
		t.Fatal(err)
	}
	for typ, want := range map[string]string{"af9b60a0-1431-4f62-bc68-3311714a69ad": volume.TypeRaw,
		"0x42": volume.TypeRaw, "0x83": "ext4", "": "ext4"} {
		fs, err := d.Partition(volume.Partition{Start: mib, Size: size - mib, Type: typ})
		if err != nil || fs.Type() != want {
			t.Errorf("type %q: %v, %v", typ, fs.Type(), err)
		}
	}
}

// TestCover has a hash tree, or something else of its kind, in a partition beside two ext4: what it may be of is
// captured whole and of no type that grows, and nothing else is.
func TestCover(t *testing.T) {
	const (
		size = 128 * mib
		root = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709"
		tree = "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"
		any  = "0fc63daf-8483-4772-8e79-3d69d8477de4"
	)
	verity := func(options ...string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			data, hash := volumetest.Sparse(t, 30*mib), volumetest.Sparse(t, 4*mib)
			volumetest.Run(t, "dd", "if="+image, "of="+data, "bs=1M", "skip=1", "count=30", "status=none",
				"conv=notrunc")
			volumetest.Run(t, "veritysetup", append([]string{"format", data, hash}, options...)...)
			volumetest.Run(t, "dd", "if="+hash, "of="+image, "bs=1M", "seek=80", "status=none", "conv=notrunc")
		}
	}
	put := func(s string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			volumetest.Poke(t, image, 80*mib, func(p []byte) { copy(p, s) })
		}
	}
	for _, c := range []struct {
		name   string
		types  [3]string
		add    func(*testing.T, string)
		wholes string // of the two
	}{
		{name: "nothing", types: [3]string{root, any, any}},
		{name: "superblock", types: [3]string{any, any, any}, add: verity(), wholes: "1"},
		{name: "superblock and type", types: [3]string{root, root, tree}, add: verity(), wholes: "1"},
		{name: "superblock, no hash of ours", types: [3]string{any, any, any}, add: verity("--format=0"),
			wholes: "1 2"},
		{name: "type alone", types: [3]string{any, root, tree}, add: verity("--no-superblock"), wholes: "2"},
		{name: "two roots", types: [3]string{root, root, tree}, add: verity("--no-superblock"), wholes: "1 2"},
		{name: "no root", types: [3]string{any, any, tree}, wholes: "1 2"},
		{name: "integrity", types: [3]string{any, any, any},
			add: put("integrt\x00\x01\x00\x04\x00\x00\x00\x00\x00\x00\x20\x01"), wholes: "2"},
		{name: "snapshot", types: [3]string{any, any, any}, add: put("SnAp\x01\x00\x00\x00\x01\x00\x00\x00\x08"),
			wholes: "1 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := volumetest.Sparse(t, size)
			volumetest.RunIn(t, "label: gpt\nstart=2048, size=61440, type="+c.types[0]+
				"\nstart=67584, size=81920, type="+c.types[1]+
				"\nstart=163840, size=8192, type="+c.types[2]+"\n", "sfdisk", "-q", image)
			volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-E", "offset=1048576", image, "30m")
			volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-E", "offset=34603008", image, "40m")
			if c.add != nil {
				c.add(t, image)
			}
			tbl := read(t, image, 3)
			d := newDisk(t, image, tbl)
			var wholes []string
			for _, p := range tbl.Partitions[:2] {
				fs, whole := partition(t, d, p)
				if !whole {
					continue
				}
				wholes = append(wholes, string(rune('0'+p.Number)))
				if notes := strings.Join(fs.Info().Notes, " "); fs.Type() != volume.TypeRaw ||
					!strings.Contains(notes, "in partition 3 may cover") || fs.Info().UUID == "" {
					t.Errorf("partition %d: %s %+v", p.Number, fs.Type(), fs.Info())
				}
			}
			if got := strings.Join(wholes, " "); got != c.wholes {
				t.Errorf("whole: %q, want %q", got, c.wholes)
			}
		})
	}
}

// TestCoverInVolumeGroup has a hash tree in a logical volume: every other one of its group, and the partition beside
// it, may be what it is of.
func TestCoverInVolumeGroup(t *testing.T) {
	sb := make([]byte, 512)
	copy(sb, "verity\x00\x00\x01")
	pv := volumetest.Sparse(t, 64*mib)
	device, detach := volumetest.Loop(t, pv, 512)
	config := `activation{udev_sync=0 udev_rules=0 monitoring=0} backup{backup=0 archive=0} global{event_activation=0}`
	for _, command := range []string{"pvcreate -q -ff -y DEVICE", "vgcreate -q covered DEVICE",
		"lvcreate -q -y -an -Zn -Wn -L 20M -n data covered", "lvcreate -q -y -an -Zn -Wn -L 8M -n tree covered"} {
		args := strings.Fields(strings.ReplaceAll(command, "DEVICE", device))
		volumetest.Run(t, "lvm", append(args, "--devices", device, "--driverloaded", "n", "--config", config)...)
	}
	detach()
	volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-E", "offset=1048576", pv, "20m")
	for _, covered := range []bool{false, true} {
		if covered {
			volumetest.Poke(t, pv, 21*mib, func(p []byte) { copy(p, sb) })
		}
		image := volumetest.Sparse(t, 128*mib)
		volumetest.RunIn(t, "label: dos\nstart=2048, size=65536\nstart=67584, size=131072\n", "sfdisk", "-q", image)
		volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-E", "offset=1048576", image, "32m")
		volumetest.Run(t, "dd", "if="+pv, "of="+image, "bs=1M", "seek=33", "status=none", "conv=notrunc")
		tbl := read(t, image, 2)
		d := newDisk(t, image, tbl)
		for _, p := range tbl.Partitions {
			if fs, whole := partition(t, d, p); whole != covered {
				t.Errorf("a tree: %v, partition %d whole: %v; %q", covered, p.Number, whole, fs.Info().Notes)
			}
		}
	}
}

// read reads the partition table of an image, which has n partitions.
func read(t *testing.T, image string, n int) *volume.Table {
	t.Helper()
	f, size := volumetest.Open(t, image)
	tbl, err := table.Read(f, size, 512)
	if err != nil || len(tbl.Partitions) != n {
		t.Fatalf("%+v, %v", tbl, err)
	}
	return tbl
}

// newDisk probes an image with its table.
func newDisk(t *testing.T, image string, tbl *volume.Table) *Disk {
	t.Helper()
	f, _ := volumetest.Open(t, image)
	d, err := NewDisk(f, tbl)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// partition is what is found in a partition, and whether all of it is allocated.
func partition(t *testing.T, d *Disk, p volume.Partition) (fs volume.FileSystem, whole bool) {
	t.Helper()
	fs, err := d.Partition(p)
	if err != nil {
		t.Fatal(err)
	}
	extents, err := fs.Extents()
	if err != nil {
		t.Fatal(err)
	}
	return fs, volume.Bytes(extents) == p.Size
}
