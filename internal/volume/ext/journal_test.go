package ext

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// crash makes a file system, writes files to it that reach the disk as journal entries only, and copies the disk as it is
// at that moment, which is what a crash leaves. It returns the copy and what must be there after recovery.
func crash(t *testing.T, size int64, args string, options ...string) (path string, want map[string]string) {
	t.Helper()
	volumetest.Need(t, true, "mount")
	tree := volumetest.Dir(t)
	volumetest.Tree(t, tree, 4, mib)
	path = mkfs(t, size, args, tree)
	if kind := strings.Fields(args)[1]; !mountable(kind) {
		t.Skipf("this kernel cannot mount %s", kind)
	}
	dir, unmount := volumetest.Mount(t, path, append([]string{"-o", "loop"}, options...)...)
	if err := os.RemoveAll(filepath.Join(dir, "d1")); err != nil {
		t.Fatal(err)
	}
	unmount()
	rng := rand.NewChaCha8([32]byte{7})
	return crashWith(t, path, 60, func(p []byte) { rng.Read(p) }, options...)
}

// crashWith writes n files into the file system at path, see crash.
func crashWith(t *testing.T, path string, n int, fill func([]byte), options ...string) (string, map[string]string) {
	t.Helper()
	dir, unmount := volumetest.Mount(t, path, append([]string{"-o", "loop"}, options...)...)
	data := make([]byte, 50_000)
	for i := range n {
		fill(data)
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("new-%d", i)))
		if err == nil {
			// A block that begins with the journal's magic number is escaped there in data=journal mode.
			_, err = f.Write(append([]byte{0xc0, 0x3b, 0x39, 0x98}, data[:1000+i*700]...))
		}
		if err == nil {
			err = f.Sync()
		}
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := volumetest.Sums(t, dir)
	// fsync has put the data in place and the metadata into the journal; the kernel writes the metadata to its place half
	// a minute later. (Not even a shut down file system would do: umount writes what the block device has in memory.)
	copied := volumetest.Sparse(t, "crashed", 0)
	volumetest.Run(t, "cp", "--sparse=always", path, copied)
	unmount()
	return copied, want
}

func mountable(kind string) bool {
	list, err := os.ReadFile("/proc/filesystems")
	return err != nil || strings.Contains(string(list), "\t"+kind+"\n") || kind != "ext4"
}

func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name, args string
		size       int64
		options    []string
	}{
		{"ext4", "-t ext4 -b 4096", 128 * mib, nil},
		{"1k-groups", "-t ext4 -b 1024 -g 1024", 96 * mib, nil},
		{"no-csum", "-t ext4 -O ^metadata_csum", 96 * mib, nil},
		{"no-csum-32", "-t ext4 -O ^metadata_csum,^64bit", 96 * mib, nil},
		{"ext3", "-t ext3", 96 * mib, nil},
		{"bigalloc", "-t ext4 -O bigalloc -C 16384", 128 * mib, nil},
		{"data-journal", "-t ext4", 96 * mib, []string{"-o", "data=journal"}},
		{"indirect-journal", "-t ext4 -O ^extents,^64bit -b 1024", 96 * mib, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, want := crash(t, c.size, c.args, c.options...)
			f, size := volumetest.Open(t, path)
			fs, err := Open(f, size)
			if err != nil {
				t.Fatal(err)
			}
			if info := fs.Info(); info.Clean || !strings.Contains(strings.Join(info.Notes, " "), "needs_recovery") {
				t.Errorf("%+v", info)
			}
			ext, err := fs.Extents()
			if err != nil {
				t.Fatal(err)
			}
			// The test is worth something only if the bitmaps on the disk alone are not enough.
			m := &mapper{fs: fs, runs: volume.NewRuns(size), meta: volume.NewRuns(size)}
			if err := m.groups(); err != nil {
				t.Fatal(err)
			}
			without := volume.Merge(size, m.runs.Extents(), m.meta.Extents())
			if only := volume.Bytes(volume.Subtract(ext, without)); only < mib {
				t.Errorf("the journal adds only %d bytes", only)
			}
			restored := volumetest.Restore(t, path, size, ext)
			out, err := exec.Command("e2fsck", "-fy", restored).CombinedOutput()
			if err != nil && err.(*exec.ExitError).ExitCode() != 1 || strings.Contains(string(out), "rror") {
				t.Errorf("e2fsck -fy: %v\n%s", err, out)
			}
			volumetest.Run(t, "e2fsck", "-fn", restored)
			volumetest.SameTree(t, want, rdump(t, restored))
		})
	}
}

// docs/volume.md says that partclone takes an unclean file system without a word and loses what only the journal knows.
func TestPartcloneAfterCrash(t *testing.T) {
	volumetest.Need(t, false, "partclone.ext4", "partclone.restore")
	path, want := crash(t, 96*mib, "-t ext4 -b 4096")
	dir := volumetest.Dir(t)
	image, log := filepath.Join(dir, "image"), filepath.Join(dir, "log")
	volumetest.Run(t, "partclone.ext4", "-q", "-c", "-s", path, "-o", image, "-L", log)
	restored := volumetest.Random(t, "restored", 96*mib)
	volumetest.Run(t, "partclone.restore", "-q", "--overwrite", restored, "-s", image, "-L", log)
	_ = exec.Command("e2fsck", "-fy", restored).Run()
	got, wrong := rdump(t, restored), 0
	for name, sum := range want {
		if got[name] != sum {
			wrong++
		}
	}
	if t.Logf("%d of %d files are wrong", wrong, len(want)); wrong == 0 {
		t.Error("partclone has learnt to read the journal: change docs/volume.md")
	}
}

// Fast commits are in the journal in a format of their own: captured whole.
func TestCrashFastCommit(t *testing.T) {
	path, _ := crash(t, 96*mib, "-t ext4 -O fast_commit")
	f, size := volumetest.Open(t, path)
	fs, err := Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Extents(); err == nil || !strings.Contains(err.Error(), "fast commits") {
		t.Error(err)
	}
}

// The journal is on another device: without need for recovery the map is good, with it the file system is captured whole.
func TestExternalJournal(t *testing.T) {
	volumetest.Need(t, true, "losetup", "mke2fs")
	dev := volumetest.Loop(t, volumetest.Sparse(t, "journal", 16*mib), 512)
	volumetest.Run(t, "mke2fs", "-q", "-F", "-b", "4096", "-O", "journal_dev", dev)
	path := volumetest.Sparse(t, "fs", 64*mib)
	volumetest.Run(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "device="+dev, path)
	f, size := volumetest.Open(t, path)
	fs, err := Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	ext, err := fs.Extents()
	if err != nil {
		t.Fatal(err)
	}
	againstDumpe2fs(t, path, fs, ext)
	uuid := volumetest.Blkid(t, dev)["LOGUUID"]
	if uuid == "" {
		uuid = volumetest.Blkid(t, dev)["UUID"]
	}
	if notes := strings.Join(fs.Info().Notes, " "); !strings.Contains(notes, "another device") || !strings.Contains(notes, uuid) {
		t.Errorf("notes %q, journal %s", notes, uuid)
	}
	volumetest.Run(t, "debugfs", "-w", "-R", "feature needs_recovery", path)
	if fs, err = Open(f, size); err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Extents(); err == nil || !strings.Contains(err.Error(), "on another device") {
		t.Error(err)
	}
}
