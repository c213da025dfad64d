package cmd

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// restorer is a store with an image, and the command that restores it.
func restorer(t *testing.T) (dir string, content []byte, restore func(args ...string) error) {
	t.Helper()
	dir = t.TempDir()
	source := filepath.Join(dir, "source")
	content = make([]byte, 1<<20)
	imagetest.Fill(content, 1)
	if err := os.WriteFile(source, content, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) error {
		return Run(t.Context(), append([]string{"image", "--state", dir}, args...), strings.NewReader("yes\n"),
			io.Discard, io.Discard)
	}
	if err := run("capture", source, "x"); err != nil {
		t.Fatal(err)
	}
	return dir, content, func(args ...string) error { return run(append([]string{"restore", "x"}, args...)...) }
}

// wantRefused wants an error with these words, and not a byte of the file changed.
func wantRefused(t *testing.T, path string, restore func() error, words ...string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	err = restore()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v, want %q", err, w)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed (%v)", err)
	}
}

// TestRestoreAsks restores to files: one that holds something is overwritten only with --yes, where there is no
// terminal.
func TestRestoreAsks(t *testing.T) {
	dir, content, restore := restorer(t)
	for name, old := range map[string][]byte{"missing": nil, "empty": {},
		"old": bytes.Repeat([]byte("precious"), 1<<17)} {
		path := filepath.Join(dir, name)
		if old != nil {
			if err := os.WriteFile(path, old, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args := []string{path}
		if len(old) > 0 {
			wantRefused(t, path, func() error { return restore(path) }, "--yes")
			args = append(args, "--yes")
		}
		if err := restore(args...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: other bytes were restored (%v)", name, err)
		}
	}
}

// TestRestoreInUse wants a file refused, with --yes too, that a process has open for writing, as a virtual machine has
// its disk.
func TestRestoreInUse(t *testing.T) {
	dir, _, restore := restorer(t)
	path := filepath.Join(dir, "disk")
	if err := os.WriteFile(path, bytes.Repeat([]byte("precious"), 1<<17), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	wantRefused(t, path, func() error { return restore(path, "--yes") }, "process", "has "+path+" open for writing",
		"in use")
	w.Close()
	if err := restore(path, "--yes"); err != nil {
		t.Error(err)
	}
}

// TestRestoreUnderMount has the file under a loop device that is mounted, and the device itself open for writing, which
// O_EXCL does not notice.
func TestRestoreUnderMount(t *testing.T) {
	need.Root(t)
	need.Tools(t, "losetup", "mkfs.ext4", "mount", "umount")
	_, _, restore := restorer(t)
	path := volumetest.Sparse(t, 16<<20)
	dev, _ := volumetest.Loop(t, path, 512)
	w, err := os.OpenFile(dev, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	wantRefused(t, path, func() error { return restore(dev, "--yes") }, "has "+dev+" open for writing")
	w.Close()
	volumetest.Run(t, "mkfs.ext4", "-q", dev)
	mnt := t.TempDir()
	volumetest.Run(t, "mount", "-o", "ro", dev, mnt) // where it may write, ext4 does so by itself, later
	t.Cleanup(func() { exec.Command("umount", mnt).Run() })
	wantRefused(t, path, func() error { return restore(path, "--yes") }, "loop device "+filepath.Base(dev)+" is on it",
		"is mounted at "+mnt)
	wantRefused(t, path, func() error { return restore(dev, "--yes") }, "is mounted at "+mnt)
}

// TestRestoreFull restores to a file on a file system that is too small for it.
func TestRestoreFull(t *testing.T) {
	_, _, restore := restorer(t)
	mnt := t.TempDir()
	need.SmallDisk(t, mnt, "256k")
	err := restore(filepath.Join(mnt, "disk"))
	if err == nil || !strings.Contains(err.Error(), "is full") || strings.Contains(err.Error(), "failing") {
		t.Errorf("error %v, want one that says that the file system is full", err)
	}
}
