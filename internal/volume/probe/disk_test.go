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
		{name: "md 1.2 below an older table", add: md(4096, 1), note: "metadata 1.2", wholes: "1 2", why: "metadata 1.2"},
		{name: "Intel", add: put(size-1024, "Intel Raid ISM Cfg Sig. 1.1.00"), note: "Intel RST", wholes: "1 2", why: "Intel RST"},
		{name: "DDF", add: put(size-512, "\xde\x11\xde\x11"), note: "in DDF", wholes: "1 2", why: "DDF"},
		{name: "gmirror", add: put(size-512, "GEOM::MIRROR\x00"), note: "GEOM class MIRROR"},
		{name: "gstripe", add: put(size-512, "GEOM::STRIPE\x00"), note: "GEOM class STRIPE", wholes: "1 2", why: "STRIPE"},
		{name: "a pool's label in a partition", add: put(100*mib+128<<10, "\x0c\xb1\xba\x00\x00\x00\x00\x00")},
		{name: "old metadata within a partition", add: put(100*mib, "GEOM::LABEL\x00")},
		{name: "ReiserFS of the whole disk", below: whole("mkreiserfs", "-q", "-f"), note: "also reiserfs", wholes: "1 2", why: "reiserfs"},
		{name: "LVM of the whole disk", add: lvmLabel, note: "also LVM2_member", wholes: "1 2", why: "LVM2_member"},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := volumetest.Sparse(t, size)
			if c.below != nil {
				c.below(t, image)
			}
			volumetest.RunIn(t, "label: dos\nstart=2048, size=65536\nstart=67584, size=180224\n", "sfdisk", "-q", "--wipe", "never", image)
			for _, at := range []string{"1048576", "34603008"} {
				volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-E", "offset="+at, image, "30m")
			}
			if c.add != nil {
				c.add(t, image)
			}
			f, n := volumetest.Open(t, image)
			tbl, err := table.Read(f, n, 512)
			if err != nil || len(tbl.Partitions) != 2 {
				t.Fatalf("%+v, %v", tbl, err)
			}
			before := len(tbl.Notes)
			d, err := NewDisk(f, tbl)
			if err != nil {
				t.Fatal(err)
			}
			if note := strings.Join(tbl.Notes[before:], " "); !strings.Contains(note, c.note) || (note == "") != (c.note == "") {
				t.Errorf("notes %q", note)
			}
			var wholes []string
			why := ""
			for i, p := range tbl.Partitions {
				fs, err := d.Partition(p)
				if err != nil {
					t.Fatal(err)
				}
				extents, err := fs.Extents()
				if err != nil {
					t.Fatal(err)
				}
				if volume.Bytes(extents) == p.Size {
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
	for typ, want := range map[string]string{"af9b60a0-1431-4f62-bc68-3311714a69ad": volume.TypeRaw, "0x42": volume.TypeRaw, "0x83": "ext4", "": "ext4"} {
		fs, err := d.Partition(volume.Partition{Start: mib, Size: size - mib, Type: typ})
		if err != nil || fs.Type() != want {
			t.Errorf("type %q: %v, %v", typ, fs.Type(), err)
		}
	}
}
