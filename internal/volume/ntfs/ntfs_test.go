package ntfs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 96<<20 + 512

// TestFragmentedTable has a master file table whose runs do not fit into one record: it had to grow in a full volume,
// into the holes that deleted files left.
func TestFragmentedTable(t *testing.T) {
	image := volumetest.Mkfs(t, "ntfs", 12<<20, "-c 512")
	dir, unmount := volumetest.FUSE(t, image, "ntfs-3g")
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range 1 << 16 {
		name := filepath.Join(files, fmt.Sprintf("%05d", i))
		if err := os.WriteFile(name, bytes.Repeat([]byte{byte(i)}, 1400), 0o600); err != nil {
			_ = os.Remove(name)
			break
		}
		names = append(names, name)
	}
	for i := 0; i < len(names); i += 2 {
		if err := os.Remove(names[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i := range len(names) {
		if os.WriteFile(filepath.Join(files, fmt.Sprintf("new%05d", i)), nil, 0o600) != nil {
			break
		}
	}
	list := volumetest.List(t, dir)
	unmount()
	fs, extents := volumetest.Load(t, image, Open)
	attrs, err := fs.file(fileMFT)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(attrs, func(a attribute) bool { return a.kind == attrList }) {
		t.Errorf("the master file table has %d runs and no attribute list: the test does not reach what it is for",
			len(fs.mft))
	}
	volumetest.Record(t, "testdata/fragmented.seed", image, func(r io.ReaderAt, size int64) {
		if fs, err := Open(r, size); err == nil {
			_, _ = fs.bitmap() // without all the file records
		}
	})
	restored := volumetest.Restore(t, image, extents)
	dir, _ = volumetest.FUSE(t, restored, "ntfs-3g", "-o", "ro")
	volumetest.Same(t, list, volumetest.List(t, dir))
}

func TestDirty(t *testing.T) {
	image := volumetest.Mkfs(t, "ntfs", size, "")
	f, n := volumetest.Open(t, image)
	fs, err := Open(f, n)
	if err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, fs.record)
	if err := fs.readRuns(fs.mft, fileVolume*fs.record, raw); err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, []byte{attrVolumeInfo, 0, 0, 0})
	flags := fs.mft[0].lcn*fs.cluster + fileVolume*fs.record + int64(at) + 24 + 10

	runs, _, err := fs.data(fileLogFile)
	if err != nil {
		t.Fatal(err)
	}
	restart := func(client, flags uint16) []byte {
		p := make([]byte, 8192)
		for i := range 2 {
			page := p[4096*i:]
			copy(page, "RSTR")
			le.PutUint16(page[4:], 30)
			le.PutUint16(page[6:], 9)
			le.PutUint32(page[16:], 4096)
			le.PutUint16(page[24:], 48)
			le.PutUint64(page[48:], uint64(100+i))
			le.PutUint16(page[48+12:], client)
			le.PutUint16(page[48+14:], flags)
		}
		return p
	}
	for _, c := range []struct {
		name  string
		at    int64
		data  []byte
		clean bool
	}{
		{"volume flag", flags, []byte{1, 0}, false},
		{"no flag", flags, []byte{0, 0}, true},
		{"journal of 0xff", runs[0].lcn * fs.cluster, bytes.Repeat([]byte{0xff}, 8192), true},
		{"open journal", runs[0].lcn * fs.cluster, restart(0, 0), false},
		{"journal without client", runs[0].lcn * fs.cluster, restart(noClient, 0), true},
		{"journal marked clean", runs[0].lcn * fs.cluster, restart(0, restartClean), true},
		{"unknown journal", runs[0].lcn * fs.cluster, make([]byte, 8192), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			fs, err := Open(volumetest.Patched{ReaderAt: f, At: c.at, Data: c.data}, n)
			if err != nil {
				t.Fatal(err)
			}
			extents, err := fs.Extents()
			if err != nil {
				t.Fatal(err)
			}
			if info := fs.Info(); info.Clean != c.clean || (volume.Bytes(extents) == n) == c.clean ||
				(len(info.Notes) == 0) != c.clean {
				t.Errorf("%+v, %d bytes", info, volume.Bytes(extents))
			}
		})
	}
}

// TestHibernated has a hiberfil.sys in its root directory, alone and among many names. The judge is ntfs-3g, which does
// not write to a volume in which Windows is hibernated.
func TestHibernated(t *testing.T) {
	for _, c := range []struct {
		mark       string
		others     int
		hibernated bool
	}{{"hibr", 0, true}, {"HIBR", 2000, true}, {"wake", 0, false}, {"\x00\x00\x00\x00", 2000, false}} {
		t.Run(fmt.Sprintf("%q %d", c.mark, c.others), func(t *testing.T) {
			need.Tools(t, "ntfs-3g.probe")
			image := volumetest.Mkfs(t, "ntfs", size, "")
			dir, unmount := volumetest.FUSE(t, image, "ntfs-3g")
			for i := range c.others {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%c%d", 'a'+i%26, i)), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, "hiberfil.sys"), append([]byte(c.mark), make([]byte, 1<<20)...),
				0o600); err != nil {
				t.Fatal(err)
			}
			unmount()
			f, n := volumetest.Open(t, image)
			fs, err := Open(f, n)
			if err != nil {
				t.Fatal(err)
			}
			extents, err := fs.Extents()
			if err != nil {
				t.Fatal(err)
			}
			noted := strings.Contains(strings.Join(fs.Info().Notes, " "), "Windows is hibernated")
			if whole := volume.Bytes(extents) == n; whole != c.hibernated || noted != c.hibernated ||
				fs.Info().Clean == c.hibernated {
				t.Errorf("%d of %d bytes, %+v", volume.Bytes(extents), n, fs.Info())
			}
			if c.hibernated && c.others == 0 {
				volumetest.Record(t, "testdata/hibernated.seed", image, volumetest.Reads(Open))
			}
			if out, err := volumetest.Try(t, "ntfs-3g.probe", "--readwrite", image); (err != nil) != c.hibernated {
				t.Errorf("ntfs-3g.probe says %v %s", err, out)
			}
		})
	}
}

func FuzzOpen(f *testing.F) { volumetest.FuzzReader(f, Open) }

// TestContradiction frees clusters in $Bitmap that a file of the volume has. ntfsresize finds it too.
func TestContradiction(t *testing.T) {
	for name, cluster := range map[string]func(fs *FS) int64{
		"the master file table": func(fs *FS) int64 { return fs.mft[0].lcn },
		"the journal": func(fs *FS) int64 {
			runs, _, err := fs.data(fileLogFile)
			if err != nil {
				t.Fatal(err)
			}
			return runs[0].lcn
		},
	} {
		image := volumetest.Mkfs(t, "ntfs", 32<<20, "-c 4096")
		fs, _ := volumetest.Load(t, image, Open)
		runs, _, err := fs.data(fileBitmap)
		if err != nil {
			t.Fatal(err)
		}
		n := cluster(fs)
		volumetest.Poke(t, image, runs[0].lcn*fs.cluster, func(p []byte) { p[n/8] &^= 1 << (n % 8) })
		if out, err := volumetest.Try(t, "ntfsresize", "--info", "--force", image); err == nil {
			t.Errorf("%s: ntfsresize finds nothing wrong: %s", name, out)
		}
		volumetest.Refuses(t, image, Open, "where it has a file")
	}
}
