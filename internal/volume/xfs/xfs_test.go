package xfs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const size = 160 << 20

func TestAgainstXfsprogs(t *testing.T) {
	for _, c := range []struct {
		name, options string
	}{
		{"default", ""},
		{"rmap and reflink", "-m rmapbt=1,reflink=1,finobt=1,bigtime=1,inobtcount=1"},
		{"nothing but crc", "-m rmapbt=0,reflink=0,finobt=0,inobtcount=0,bigtime=0 -i sparse=0"},
		{"sparse inodes, 2048 bytes", "-i sparse=1,size=2048"},
		{"1k blocks", "-b size=1024"},
		{"4k sectors", "-s size=4096"},
		{"9 groups", "-d agcount=9"},
		{"16k blocks", "-b size=16384"},
		{"64k blocks", "-b size=65536"},
		{"nrext64", "-i nrext64=1"},
		{"stripe", "-d su=64k,sw=3 -l su=256k"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			image := volumetest.Sparse(t, size)
			mkfs(t, image, c.options)
			dir, unmount := volumetest.Mount(t, image, "xfs", "")
			volumetest.Fill(t, dir, 24)
			list := volumetest.List(t, dir)
			unmount()
			fs := judge(t, image, list)
			if info := fs.Info(); !info.Clean || len(info.Notes) != 0 || info.Label != "dc-test" ||
				!strings.Contains(volumetest.Run(t, "blkid", "-p", image), info.UUID) {
				t.Errorf("info is %+v", info)
			}
		})
	}
}

func mkfs(t *testing.T, image, options string) {
	t.Helper()
	need.Tools(t, "mkfs.xfs", "xfs_repair", "blkid")
	args := append([]string{"--unsupported", "-q", "-f", "-L", "dc-test"}, strings.Fields(options)...)
	volumetest.Run(t, "mkfs.xfs", append(args, image)...)
}

// judge restores nothing but the extents and has xfs_repair and the kernel look at the result.
func judge(t *testing.T, image, list string) *FS {
	t.Helper()
	fs, extents := volumetest.Load(t, image, Open)
	restored := volumetest.Restore(t, image, extents)
	if fs.Info().Clean {
		volumetest.Run(t, "xfs_repair", "-n", "-f", restored)
		if used := volume.Bytes(extents); used < fs.Info().Used ||
			used > fs.Info().Used+int64(fs.sb.agCount)*16*fs.sb.blockSize {
			t.Errorf("the map has %d bytes, the superblock counts %d", used, fs.Info().Used)
		}
	}
	dir, unmount := volumetest.Mount(t, restored, "xfs", "nouuid")
	volumetest.Same(t, list, volumetest.List(t, dir))
	unmount()
	if !fs.Info().Clean {
		volumetest.Run(t, "xfs_repair", "-n", "-f", restored)
	}
	return fs
}

// TestVersion4 fills by mkfs's protofile, because newer kernels are built without version 4.
func TestVersion4(t *testing.T) {
	for _, options := range []string{"-m crc=0", "-m crc=0 -b size=512", "-m crc=0 -n ftype=0 -i attr=1 -l version=1"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			need.Tools(t, "mkfs.xfs", "xfs_repair", "xfs_db")
			image, file := volumetest.Sparse(t, size), filepath.Join(t.TempDir(), "file")
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
			mkfs(t, image, options+" -p "+proto)
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
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "-m crc=0")
	list := volumetest.Guest(t, volumetest.GuestCrash, image, "xfs", "", 8)
	fs, extents := volumetest.Load(t, image, Open)
	if fs.Info().Clean || fs.whole || volume.Bytes(extents) == size {
		t.Errorf("%+v, captured whole: %v", fs.Info(), fs.whole)
	}
	restored := volumetest.Restore(t, image, extents)
	volumetest.Same(t, list, volumetest.Guest(t, volumetest.GuestList, restored, "xfs", "nouuid", 0))
	volumetest.Run(t, "xfs_repair", "-n", "-f", restored)
}

// TestPartclone compares with partclone's bitmap: ours may hold the blocks that wait in the AGFL, and nothing less.
func TestPartclone(t *testing.T) {
	need.Tools(t, "partclone.xfs")
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	dir, unmount := volumetest.Mount(t, image, "xfs", "")
	volumetest.Fill(t, dir, 24)
	unmount()
	_, ours := volumetest.Load(t, image, Open)
	theirs, block := volumetest.Partclone(t, "xfs", image)
	more, less := volumetest.Compare(ours, theirs)
	t.Logf("partclone %d bytes, ours %d: %d only ours, %d only theirs", volume.Bytes(theirs), volume.Bytes(ours), more,
		less)
	if more > 64*block || less > 64*block {
		t.Errorf("the maps differ by %d and %d bytes", more, less)
	}
}

// TestJournal takes the power away: what was synced is in the log, and partly in the log only.
func TestJournal(t *testing.T) {
	for _, options := range []string{"", "-m rmapbt=1", "-b size=1024 -l su=256k"} {
		t.Run("mkfs "+options, func(t *testing.T) {
			t.Parallel()
			need.Tools(t, "xfs_io")
			image := volumetest.Sparse(t, size)
			mkfs(t, image, options)
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
		image := volumetest.Sparse(t, size)
		mkfs(t, image, options)
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
		volumetest.Record(t, name, image, volumetest.Reads(Open))
	}
}

func n(t *testing.T, path string) int64 {
	_, size := volumetest.Open(t, path)
	return size
}

func TestExternalLogIsCapturedWhole(t *testing.T) {
	image, log := volumetest.Sparse(t, size), volumetest.Sparse(t, 64<<20)
	mkfs(t, image, "-l logdev="+log)
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

func TestDamage(t *testing.T) {
	image := volumetest.Sparse(t, size)
	mkfs(t, image, "")
	whole, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		at   int64
		want string
	}{
		{"superblock", 300, "checksum"},
		{"free space header", 512 + 52, "checksum"},
		{"magic of the header", 512, "magic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := append([]byte(nil), whole...)
			p[c.at] ^= 0x55
			fs, err := Open(reader(p), int64(len(p)))
			if err == nil {
				_, err = fs.Extents()
			}
			if err == nil || errors.Is(err, volume.ErrNotThis) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := Open(reader(whole[:1<<20]), 1<<20); err == nil || errors.Is(err, volume.ErrNotThis) {
		t.Errorf("a partition that is too short gave %v", err)
	}
	if _, err := Open(reader(make([]byte, 4096)), 4096); !errors.Is(err, volume.ErrNotThis) {
		t.Errorf("zeros gave %v", err)
	}
}

// TestContradiction moves a run of the tree by block number in a version 4, which has no checksums: all counts stay
// right. xfs_repair finds it.
func TestContradiction(t *testing.T) {
	image := volumetest.Sparse(t, 64<<20)
	mkfs(t, image, "-m crc=0 -d agcount=2")
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
