package probe

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

func TestProbe(t *testing.T) {
	run := func(name string, args ...string) func(t *testing.T, path string) {
		return func(t *testing.T, path string) {
			need.Tools(t, name)
			volumetest.Run(t, name, append(args, path)...)
		}
	}
	all := func(steps ...func(*testing.T, string)) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			for _, s := range steps {
				s(t, path)
			}
		}
	}
	poke := func(off int64, data string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteAt([]byte(data), off)
			}
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
	makefs := func(t *testing.T, path string) {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/file", make([]byte, mib), 0o644); err != nil {
			t.Fatal(err)
		}
		volumetest.Run(t, "makefs", "-t", "ffs", "-o", "version=2", "-s", "64m", path, dir)
	}
	// Two parts, as in a slice of FreeBSD: magic number, 2 parts, a and b.
	disklabel := "\x57\x45\x56\x82" + strings.Repeat("\x00", 128) + "\x57\x45\x56\x82\x00\x00\x02\x00" +
		strings.Repeat("\x00", 8) +
		strings.Repeat("\x00\x80\x00\x00"+strings.Repeat("\x00", 12), 2)
	for _, c := range []struct {
		name  string
		make  func(*testing.T, string)
		typ   string
		whole bool
		note  string
	}{
		{"blank", func(*testing.T, string) {}, "raw", true, "No known file system"},
		{"text", poke(0, strings.Repeat("not a file system\n", 10000)), "raw", true, "No known file system"},
		{"ext4", run("mke2fs", "-q", "-F", "-t", "ext4"), "ext4", false, ""},
		{"ext2", run("mke2fs", "-q", "-F", "-t", "ext2"), "ext2", false, ""},
		{"vfat", run("mkfs.fat"), "vfat", false, ""},
		{"swap", run("mkswap"), "swap", false, ""},
		{"damaged ext4", all(run("mke2fs", "-q", "-F", "-t", "ext4"), poke(1024+4, "\x01")), "raw", true,
			"It looks like ext2, ext3 or ext4, but its superblock is damaged"},
		{"ext4 with a broken group", all(run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096"), poke(4096+3, "\xee")),
			"ext4", true, "allocation map cannot be read"},
		{"journal device", run("mke2fs", "-q", "-F", "-O", "journal_dev"), "raw", true, "it is the journal of another"},
		{"two at once", all(run("mke2fs", "-q", "-F", "-t", "ext4"), poke(4096-10, "SWAPSPACE2"),
			poke(1024, "\x01\x00\x00\x00")), "raw", true, " and swap"},
		{"UFS with a disklabel", all(makefs, poke(512, disklabel)), "raw", true, "BSD disklabel (a, b)"},
		{"ext4 behind a boot record with a table",
			all(run("mke2fs", "-q", "-F", "-t", "ext4"),
				poke(446, "\x80\x01\x01\x00\x81\xfe\xff\xff\x40\x00\x00\x00\x40\x00\x00\x00"),
				poke(510, "\x55\xaa")), "raw", true, "DOS partition table of its own (1 entries)"},
		{"ext4 with a disk of a volume manager in it",
			all(run("mke2fs", "-q", "-F", "-t", "ext4"), poke(64*mib-512, "PRIVHEAD")), "raw", true, "dynamic disk"},
		{"ext4 and the rest of an ISO", all(run("mke2fs", "-q", "-F", "-t", "ext4"), poke(32769, "CD001")), "raw", true,
			"of type iso9660"},
		{"ext4 in a mirror", all(run("mke2fs", "-q", "-F", "-t", "ext4"), poke(64*mib-512, "GEOM::MIRROR\x00")), "GEOM",
			true, "GEOM class MIRROR"},
		{"ext4 on DRBD", all(run("mke2fs", "-q", "-F", "-t", "ext4"), poke(64*mib-4096+60, "\x83\x74\x02\x6d")), "drbd",
			true, "DRBD device"},
		{"ext4 on Intel RAID", all(run("mke2fs", "-q", "-F", "-t", "ext4"),
			poke(64*mib-1024, "Intel Raid ISM Cfg Sig. 1")), "isw_raid_member", true, "Intel RST"},
		{"vfat in a DDF set", all(run("mkfs.fat"), poke(64*mib-512, "\xde\x11\xde\x11")), "ddf_raid_member", true,
			"DDF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := volumetest.Sparse(t, 64*mib)
			c.make(t, path)
			f, size := volumetest.Open(t, path)
			fs, err := Probe(f, size)
			if err != nil {
				t.Fatal(err)
			}
			ext, err := fs.Extents()
			if err != nil {
				t.Fatal(err)
			}
			volumetest.Check(t, ext, size)
			notes := strings.Join(fs.Info().Notes, " ")
			isWhole := cmp.Equal(ext, []volume.Extent{{Length: size}})
			if fs.Type() != c.typ || isWhole != c.whole || !strings.Contains(notes, c.note) {
				t.Errorf("%s, whole %v, notes %q", fs.Type(), isWhole, notes)
			}
		})
	}
}

func TestEmpty(t *testing.T) {
	fs, err := Probe(bytes.NewReader(nil), 0)
	if err != nil || fs.Type() != volume.TypeRaw {
		t.Fatal(fs, err)
	}
	if ext, err := fs.Extents(); err != nil || len(ext) != 0 {
		t.Error(ext, err)
	}
}

// FuzzProbe asks all readers about the same bytes.
func FuzzProbe(f *testing.F) {
	f.Add([]byte("LABELONE"), uint32(512))
	f.Add([]byte{0x53, 0xef}, uint32(1024+0x38))
	f.Add([]byte("SWAPSPACE2"), uint32(4086))
	f.Fuzz(func(t *testing.T, data []byte, off uint32) {
		disk := make([]byte, 1<<17)
		copy(disk[min(int(off), len(disk)):], data)
		fs, err := Probe(readOnly{disk}, int64(len(disk)))
		if err != nil {
			t.Fatal(err)
		}
		ext, err := fs.Extents()
		if err != nil {
			t.Fatal(err)
		}
		volumetest.Check(t, ext, int64(len(disk)))
	})
}

// readOnly hides everything of a bytes.Reader but ReadAt.
type readOnly struct{ data []byte }

func (r readOnly) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(r.data)) {
		return 0, io.EOF
	}
	n := copy(p, r.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// TestLook tells what Probe tells, wherever that is more than bytes, and reads no map.
func TestLook(t *testing.T) {
	for name, c := range map[string]struct{ tool, typ string }{
		"ext4": {"mkfs.ext4 -q -L one", "ext4"}, "btrfs": {"mkfs.btrfs -q -L one", "btrfs"},
		"ntfs": {"mkfs.ntfs -q -F -f -L one", "ntfs"}, "swap": {"mkswap -L one", "swap"},
		"vfat": {"mkfs.vfat -n ONE", "vfat"},
	} {
		path := volumetest.Sparse(t, 128*mib)
		args := strings.Fields(c.tool)
		need.Tools(t, args[0])
		volumetest.Run(t, args[0], append(args[1:], path)...)
		f, size := volumetest.Open(t, path)
		read := &counted{ReaderAt: f}
		got, err := Look(read, size)
		want, err2 := Probe(f, size)
		if err != nil || err2 != nil || got.Type != want.Type() || got.Type != c.typ ||
			got.Label != want.Info().Label || !strings.EqualFold(got.Label, "one") || got.Signatures != nil {
			t.Errorf("%s: %+v, %v, want %s %q, %v", name, got, err, want.Type(), want.Info().Label, err2)
		}
		if read.n > 8*mib {
			t.Errorf("%s: %d bytes were read", name, read.n)
		}
	}
	two := make([]byte, mib)
	copy(two[65536+0x40:], "_BHRfS_M")
	copy(two[:], "XFSB")
	if got, err := Look(bytes.NewReader(two), mib); err != nil || got.Type != volume.TypeRaw ||
		len(got.Signatures) != 2 {
		t.Errorf("two signatures: %+v, %v", got, err)
	}
	if got, err := Look(bytes.NewReader(make([]byte, mib)), mib); err != nil || got.Type != volume.TypeRaw ||
		got.Signatures != nil {
		t.Errorf("nothing: %+v, %v", got, err)
	}
}

type counted struct {
	io.ReaderAt
	n int
}

func (c *counted) ReadAt(p []byte, off int64) (int, error) {
	c.n += len(p)
	return c.ReaderAt.ReadAt(p, off)
}

// broken fails where the disk has a bad sector.
type broken struct {
	io.ReaderAt
	from, to int64
}

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off < b.to && off+int64(len(p)) > b.from {
		return 0, syscall.EIO
	}
	return b.ReaderAt.ReadAt(p, off)
}

// TestBadSector: what cannot be read is said as that, and not taken for a damaged signature of something.
func TestBadSector(t *testing.T) {
	for name, at := range map[string]int64{"ext": 1024, "XFS and FAT": 0, "tail": mib - 4096, "btrfs": 65536} {
		b := broken{bytes.NewReader(make([]byte, mib)), max(at, 1), at + 4096} // the first byte can be read
		got, err := Look(b, mib)
		if !errors.Is(err, syscall.EIO) || strings.Contains(err.Error(), "encryption") {
			t.Errorf("%s: %+v, %v, want an I/O error", name, got, err)
		}
		fs, err := Probe(b, mib)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		notes := strings.Join(fs.Info().Notes, " ")
		if fs.Type() != volume.TypeRaw || !strings.Contains(notes, "cannot be read") ||
			!strings.Contains(notes, "input/output error") || strings.Contains(notes, "looks like") || fs.Info().Clean {
			t.Errorf("%s: %s %q", name, fs.Type(), notes)
		}
	}
}
