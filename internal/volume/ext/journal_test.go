package ext

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// crash makes a file system, writes files to it that reach the disk as journal entries only, and copies the disk as it
// is at that moment, which is what a crash leaves. It returns the copy and what must be there after recovery.
func crash(t *testing.T, size int64, args, options string) (image, want string) {
	t.Helper()
	tree := volumetest.Dir(t)
	volumetest.Fill(t, tree, 1)
	path := mkfs(t, size, args, tree)
	dir, unmount := volumetest.Mount(t, path, "ext4", options)
	if err := os.RemoveAll(filepath.Join(dir, "many/dir1")); err != nil {
		t.Fatal(err)
	}
	unmount()
	rng := rand.NewChaCha8([32]byte{7})
	return crashWith(t, path, 60, func(p []byte) { rng.Read(p) }, options)
}

// crashWith writes n files into the file system at path, see crash.
func crashWith(t *testing.T, path string, n int, fill func([]byte), options string) (image, want string) {
	t.Helper()
	dir, unmount := volumetest.Mount(t, path, "ext4", options) // this driver serves ext3 as well
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
	// fsync has put the data in place and the metadata into the journal; the kernel writes the metadata to its place
	// half a minute later, or at once when any program calls sync(2), so nothing is done before the copy that can wait.
	// (Not even a shut down file system would do: umount writes what the block device has in memory.)
	image = moment(t, path)
	want = volumetest.List(t, dir)
	unmount()
	return image, want
}

// moment copies a disk that is in use as it was at one moment: what was read for the copy is read again, and the same.
// A copy whose journal is younger than its bitmaps is nothing that a crash leaves.
func moment(t *testing.T, path string) string {
	t.Helper()
	for range 20 {
		image := volumetest.Copy(t, path)
		if _, err := volumetest.Try(t, "cmp", path, image); err == nil {
			return image
		}
	}
	t.Fatalf("%s changes while it is copied, twenty times", path)
	return ""
}

// files takes from a listing what debugfs does not extract: extended attributes, and the directory itself.
func files(list string) string {
	var out strings.Builder
	for line := range strings.Lines(list) {
		if line, _, _ = strings.Cut(strings.TrimSpace(line), " xattr"); !strings.HasPrefix(line, ". ") &&
			!strings.HasPrefix(line, "lost+found ") {
			fmt.Fprintln(&out, line)
		}
	}
	return out.String()
}

func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name, args string
		size       int64
		options    string
	}{
		{"ext4", "-t ext4 -b 4096", 128 * mib, ""},
		{"1k-groups", "-t ext4 -b 1024 -g 1024", 96 * mib, ""},
		{"no-csum", "-t ext4 -O ^metadata_csum", 96 * mib, ""},
		{"no-csum-32", "-t ext4 -O ^metadata_csum,^64bit", 96 * mib, ""},
		{"ext3", "-t ext3", 96 * mib, ""},
		{"bigalloc", "-t ext4 -O bigalloc -C 16384", 128 * mib, ""},
		{"data-journal", "-t ext4", 96 * mib, "data=journal"},
		{"indirect-journal", "-t ext4 -O ^extents,^64bit -b 1024", 96 * mib, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, want, ext := unwritten(t, c.size, c.args, c.options)
			restored := volumetest.Restore(t, path, ext)
			out, err := exec.Command("e2fsck", "-fy", restored).CombinedOutput()
			if err != nil && err.(*exec.ExitError).ExitCode() != 1 || strings.Contains(string(out), "rror") {
				t.Errorf("e2fsck -fy: %v\n%s", err, out)
			}
			volumetest.Run(t, "e2fsck", "-fn", restored)
			volumetest.Same(t, files(want), files(volumetest.Rdump(t, restored)))
		})
	}
}

// unwritten is a crash before the kernel wrote the bitmaps home, for otherwise they alone would do and the journal
// would not be tried. The kernel may write them at any moment: then the machine crashes anew.
func unwritten(t *testing.T, capacity int64, args, options string) (path, want string, ext []volume.Extent) {
	t.Helper()
	for try := 1; ; try++ {
		path, want := crash(t, capacity, args, options)
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
		m := &mapper{fs: fs, runs: volume.NewRuns(size), meta: volume.NewRuns(size)}
		if err := m.groups(); err != nil {
			t.Fatal(err)
		}
		without := volume.Merge(size, m.runs.Extents(), m.meta.Extents())
		only := volume.Bytes(volume.Subtract(ext, without))
		if only >= 64<<10 {
			return path, want, ext
		}
		if try == 5 {
			t.Fatalf("the journal adds only %d bytes, five times", only)
		}
	}
}

// docs/volume.md says that partclone takes an unclean file system without a word and loses what only the journal knows.
func TestPartcloneAfterCrash(t *testing.T) {
	need.Tools(t, "partclone.ext4", "partclone.restore")
	path, want, _ := unwritten(t, 96*mib, "-t ext4 -b 4096", "")
	dir := volumetest.Dir(t)
	image, log := filepath.Join(dir, "image"), filepath.Join(dir, "log")
	volumetest.Run(t, "partclone.ext4", "-q", "-c", "-s", path, "-o", image, "-L", log)
	restored := volumetest.Sparse(t, 96*mib)
	volumetest.Run(t, "partclone.restore", "-q", "--overwrite", restored, "-s", image, "-L", log)
	_ = exec.Command("e2fsck", "-fy", restored).Run()
	got, wrong := files(volumetest.Rdump(t, restored)), 0
	for line := range strings.Lines(files(want)) {
		if !strings.Contains(got, line) {
			wrong++
		}
	}
	if t.Logf("%d of %d files are wrong", wrong, strings.Count(want, "\n")); wrong == 0 {
		t.Error("partclone has learnt to read the journal: change docs/volume.md")
	}
}

// Fast commits are in the journal in a format of their own: captured whole.
func TestCrashFastCommit(t *testing.T) {
	path, _ := crash(t, 96*mib, "-t ext4 -O fast_commit", "")
	f, size := volumetest.Open(t, path)
	fs, err := Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fs.Extents(); err == nil || !strings.Contains(err.Error(), "fast commits") {
		t.Error(err)
	}
	// One true story: nobody knows which blocks the journal brings into use.
	if notes := strings.Join(fs.Info().Notes, " "); strings.Contains(notes, "all blocks") ||
		!strings.Contains(notes, "replays its journal") {
		t.Error(notes)
	}
}

// The journal is on another device: without need for recovery the map is good, with it the file system is captured
// whole.
func TestExternalJournal(t *testing.T) {
	need.Root(t)
	need.Tools(t, "losetup", "mke2fs")
	dev, _ := volumetest.Loop(t, volumetest.Sparse(t, 16*mib), 512)
	volumetest.Run(t, "mke2fs", "-q", "-F", "-b", "4096", "-O", "journal_dev", dev)
	path := volumetest.Sparse(t, 64*mib)
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
	if want, _ := volumetest.Dumpe2fs(t, path); !slices.Equal(want, ext) {
		t.Errorf("%v are used, dumpe2fs says %v", ext, want)
	}
	uuid := volumetest.Blkid(t, dev)["LOGUUID"]
	if uuid == "" {
		uuid = volumetest.Blkid(t, dev)["UUID"]
	}
	if notes := strings.Join(fs.Info().Notes, " "); !strings.Contains(notes, "another device") ||
		!strings.Contains(notes, uuid) {
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
