package xfs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 160 << 20

// judge restores nothing but the extents of a dirty one, and has the kernel replay its log and xfs_repair look at it.
func judge(t *testing.T, image, list string) *FS {
	t.Helper()
	fs, extents := volumetest.Load(t, image, Open)
	restored := volumetest.Restore(t, image, extents)
	dir, unmount := volumetest.Mount(t, restored, "xfs", "nouuid")
	volumetest.Same(t, list, volumetest.List(t, dir))
	unmount()
	volumetest.Run(t, "xfs_repair", "-n", "-f", restored)
	return fs
}

// TestVersion4 fills by mkfs's protofile, because newer kernels are built without version 4.
func TestVersion4(t *testing.T) {
	for _, options := range []string{"-m crc=0", "-m crc=0 -b size=512", "-m crc=0 -n ftype=0 -i attr=1 -l version=1"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "file")
			data := []byte(strings.Repeat("protofile ", 500_000))
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			proto := filepath.Join(t.TempDir(), "proto")
			text := "/\n0 0\nd--755 0 0\none ---644 0 0 " + file + "\ndir d--755 0 0\ntwo ---600 1 1 " + file +
				"\n$\n$\n"
			if err := os.WriteFile(proto, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			image := volumetest.Mkfs(t, "xfs", size, options+" -p "+proto)
			f, n := volumetest.Open(t, image)
			fs, err := Open(f, n)
			if err != nil {
				t.Fatal(err)
			}
			if !fs.Info().Clean || fs.sb.version != 4 {
				t.Errorf("version %d, %+v", fs.sb.version, fs.Info())
			}
			extents, err := fs.Extents()
			if err != nil {
				t.Fatal(err)
			}
			restored := volumetest.Restore(t, image, extents)
			volumetest.Run(t, "xfs_repair", "-n", "-f", restored)
			p, err := os.ReadFile(restored)
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.Count(p, data[:1<<20]); got < 2 {
				t.Errorf("the file's data is there %d times, want 2", got)
			}
		})
	}
}

// TestVersion4Journal has an older kernel, which still knows version 4, fill one and crash.
func TestVersion4Journal(t *testing.T) {
	t.Parallel()
	image := volumetest.Mkfs(t, "xfs", size, "-m crc=0")
	list := volumetest.Guest(t, volumetest.GuestCrash, image, "xfs", "", 8)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || fs.whole || volume.Bytes(extents) == size {
		t.Errorf("%+v, captured whole: %v", fs.Info(), fs.whole)
	}
	restored := volumetest.Restore(t, image, extents)
	volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestList, restored, "xfs", "nouuid", 0))
	volumetest.Run(t, "xfs_repair", "-n", "-f", restored)
}

// TestJournal takes the power away: what was synced is in the log, and partly in the log only.
func TestJournal(t *testing.T) {
	for _, options := range []string{"", "-m rmapbt=1", "-b size=1024 -l su=256k"} {
		t.Run("mkfs "+options, func(t *testing.T) {
			t.Parallel()
			need.Tools(t, "xfs_io")
			image := volumetest.Mkfs(t, "xfs", size, options)
			dir, unmount := volumetest.Mount(t, image, "xfs", "")
			volumetest.Fill(t, dir, 16)
			volumetest.Sync(t, dir)
			for i := range 3 {
				late := filepath.Join(dir, "late"+strings.Repeat("x", i))
				if err := os.WriteFile(late, []byte(strings.Repeat("written last", 200_000)), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(filepath.Join(dir, []string{"hole1", "hole3", "hole5"}[i])); err != nil {
					t.Fatal(err)
				}
				volumetest.Run(t, "xfs_io", "-c", "fsync", late)
			}
			list := volumetest.List(t, dir)
			volumetest.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
			unmount()
			fs := judge(t, image, list)
			if info := fs.Info(); info.Clean || len(info.Notes) != 1 || fs.whole || fs.over == nil ||
				len(fs.over.chunks) == 0 {
				t.Errorf("clean %v, notes %q, whole %v", info.Clean, info.Notes, fs.whole)
			}
			if extents, err := fs.Extents(); err != nil || volume.Bytes(extents) == n(t, image) {
				t.Errorf("captured whole; %v", err)
			}
		})
	}
}

// TestRecordSeeds makes the seeds of the fuzz test, with -update-seeds.
func TestRecordSeeds(t *testing.T) {
	volumetest.Updating(t)
	for name, options := range map[string]string{"v5": "", "v4": "-m crc=0", "journal": "-b size=1024"} {
		image := volumetest.Mkfs(t, "xfs", size, options)
		if name != "v4" {
			dir, unmount := volumetest.Mount(t, image, "xfs", "")
			for _, name := range []string{"a", "b"} {
				if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 10000), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Remove(filepath.Join(dir, "a")); err != nil {
				t.Fatal(err)
			}
			volumetest.Sync(t, dir)
			if name == "journal" {
				volumetest.Run(t, "xfs_io", "-x", "-c", "shutdown -f", dir)
			}
			unmount()
		}
		volumetest.Record(t, "testdata/"+name+".seed", image, volumetest.Reads(Open))
	}
}

func n(t *testing.T, path string) int64 {
	_, size := volumetest.Open(t, path)
	return size
}

func TestExternalLogIsCapturedWhole(t *testing.T) {
	image := volumetest.Mkfs(t, "xfs", size, "-l logdev="+volumetest.Sparse(t, 64<<20))
	f, n := volumetest.Open(t, image)
	fs, err := Open(f, n)
	if err != nil {
		t.Fatal(err)
	}
	extents, err := fs.Extents()
	if err != nil || volume.Bytes(extents) != n || fs.Info().Clean ||
		!strings.Contains(fs.Info().Notes[0], "another device") {
		t.Errorf("%v %v %+v", err, extents, fs.Info())
	}
}

// TestContradiction moves a run of the tree by block number in a version 4, which has no checksums: all counts stay
// right. xfs_repair finds it.
func TestContradiction(t *testing.T) {
	image := volumetest.Mkfs(t, "xfs", 64<<20, "-m crc=0 -d agcount=2")
	fs, _ := volumetest.Load(t, image, Open)
	agf := make([]byte, 512)
	f, _ := volumetest.Open(t, image)
	if _, err := f.ReadAt(agf, fs.sb.sectorSize); err != nil {
		t.Fatal(err)
	}
	volumetest.Poke(t, image, int64(be.Uint32(agf[16:]))*fs.sb.blockSize, func(p []byte) {
		last := p[16+8*(int(be.Uint16(p[6:]))-1):]
		be.PutUint32(last, be.Uint32(last)-1)
	})
	if out, err := volumetest.Try(t, "xfs_repair", "-n", image); err == nil {
		t.Errorf("xfs_repair finds nothing wrong: %s", out)
	}
	volumetest.Refuses(t, image, Open, "hold different runs")
}
