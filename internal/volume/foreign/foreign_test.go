package foreign

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

// TestForeign makes a file system of each type, by its own tool where Debian has one, and asks blkid for its name.
func TestForeign(t *testing.T) {
	tree := t.TempDir()
	if err := os.WriteFile(tree+"/file", []byte(strings.Repeat("content\n", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(tool string, args ...string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			for i := range args {
				args[i] = strings.NewReplacer("IMAGE", image, "TREE", tree).Replace(args[i])
			}
			volumetest.Run(t, tool, args...)
			if err := os.Truncate(image, 64*mib); err != nil {
				t.Fatal(err)
			}
		}
	}
	put := func(at int64, s string) func(*testing.T, string) {
		return func(t *testing.T, image string) {
			f, _ := volumetest.Open(t, image)
			if _, err := f.WriteAt([]byte(s), at); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name, typ string
		make      func(*testing.T, string)
		unknown   bool // to blkid, as bare as it is here
	}{
		{"ISO 9660", "iso9660", run("xorriso", "-as", "mkisofs", "-quiet", "-o", "IMAGE", "TREE"), false},
		{"minix 1", "minix", run("mkfs.minix", "-1", "IMAGE"), false},
		{"minix 2", "minix", run("mkfs.minix", "-2", "IMAGE"), false},
		{"minix 3", "minix", run("mkfs.minix", "-3", "IMAGE"), false},
		{"bfs", "bfs", run("mkfs.bfs", "IMAGE"), false},
		{"cramfs", "cramfs", run("mkfs.cramfs", "TREE", "IMAGE"), false},
		{"UDF", "udf", put(32769, "BEA01"), true},
		{"squashfs", "squashfs", put(0, "hsqs"+strings.Repeat("\x00", 24)+"\x04"), false},
		{"romfs", "romfs", put(0, "-rom1fs-"), true},
		{"erofs", "erofs", put(1024, "\xe2\xe1\xf5\xe0"), true},
		{"APFS", "apfs", put(32, "NXSB"), true},
		{"ReFS", "ReFS", put(0, "\x00\x00\x00ReFS\x00"), false},
		{"Reiser4", "reiser4", put(64<<10, "ReIsEr4"), false},
		{"ocfs2", "ocfs2", put(4096, "OCFSV2"), false},
		{"GFS2", "gfs2", put(64<<10, "\x01\x16\x19\x70\x00\x00\x00\x01"), true},
		{"VMFS", "VMFS", put(2<<20, "\x5e\xf1\xab\x2f"), false},
		{"HPFS", "hpfs", put(8<<10, "\x49\xe8\x95\xf9"), true},
		{"VxFS", "vxfs", put(1024, "\xf5\xfc\x01\xa5"), true},
		{"befs", "befs", put(544, "BFS1"), true},
		{"nss", "nss", put(4096, "SPB5"), false},
		{"sysv", "sysv", put(1016, "\x20\x7e\x18\xfd"), false},
		{"xenix", "xenix", put(2040, "\x44\x55\x2b\x00"), true},
		{"ScoutFS", "scoutfs", put(64<<10+4, "\x8b\x42\x3c\x10"), true},
		{"ubifs", "ubifs", put(0, "\x31\x18\x10\x06"), true},
		{"zonefs", "zonefs", put(0, "SFOZ"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			image := volumetest.Sparse(t, 64*mib)
			c.make(t, image)
			fs, extents := volumetest.Load(t, image, Open)
			if fs.Type() != c.typ || volume.Bytes(extents) != 64*mib ||
				!strings.Contains(fs.Info().Notes[0], "captured whole") {
				t.Errorf("%s %v %+v", fs.Type(), extents, fs.Info())
			}
			says, err := volumetest.Try(t, "blkid", "-p", "-o", "value", "-s", "TYPE", image)
			if says = strings.TrimSpace(says); says != c.typ && !(c.unknown && says == "") {
				t.Errorf("blkid says %q, %v", says, err)
			}
		})
	}
}

// TestNotForeign has file systems with a reader of their own, among them an ext whose counters look like the magic
// number of Minix.
func TestNotForeign(t *testing.T) {
	for name, args := range map[string][]string{
		"ext4":  {"mke2fs", "-q", "-F", "-t", "ext4"},
		"ext2":  {"mke2fs", "-q", "-F", "-t", "ext2", "-b", "1024"},
		"vfat":  {"mkfs.fat"},
		"ntfs":  {"mkntfs", "-q", "-F"},
		"swap":  {"mkswap"},
		"exfat": {"mkfs.exfat"},
	} {
		t.Run(name, func(t *testing.T) {
			image := volumetest.Sparse(t, 64*mib)
			volumetest.Run(t, args[0], append(args[1:], image)...)
			f, size := volumetest.Open(t, image)
			if strings.HasPrefix(name, "ext") && name != "exfat" {
				if _, err := f.WriteAt([]byte("\x7f\x13\x00\x00"), 1024+16); err != nil {
					t.Fatal(err)
				}
			}
			if fs, err := Open(f, size); !errors.Is(err, volume.ErrNotThis) {
				t.Errorf("%v, %v", fs, err)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte("CD001"), 32769, 1<<17)
	f.Add([]byte("\x7f\x13"), 1024+16, 4096)
	f.Add([]byte("BD\x00\x00"), 1024, 4096)
	f.Fuzz(func(t *testing.T, p []byte, at, size int) {
		size = min(max(size, 0), 1<<17)
		disk := make([]byte, 1<<17)
		copy(disk[min(max(at, 0), len(disk)):], p)
		fs, err := Open(io.NewSectionReader(bytes.NewReader(disk), 0, int64(size)), int64(size))
		if err == nil {
			extents, _ := fs.Extents()
			volumetest.Check(t, extents, int64(size))
		} else if !errors.Is(err, volume.ErrNotThis) {
			t.Error(err)
		}
	})
}
