package asfile

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/grow"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

func mount(t *testing.T, r io.ReaderAt, size int64) *File {
	t.Helper()
	need.Root(t)
	f, err := Mount(filepath.Join(t.TempDir(), "file"), r, size)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		need.Skip(t, "no FUSE here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestReads has the kernel read what a reader has, through the file and through a loop device, on one CPU alone.
func TestReads(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	content := make([]byte, 3<<20+512)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range content {
		content[i] = byte(random.Uint32())
	}
	f := mount(t, bytes.NewReader(content), int64(len(content)))
	if b, err := os.ReadFile(f.Path); err != nil || !bytes.Equal(b, content) {
		t.Errorf("%d bytes that are not the reader's, or %v", len(b), err)
	}
	const at, size = 1<<20 + 512, 1 << 20
	loop, err := grow.LoopReadOnly(f.Path, at, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(loop)
	if err != nil || !bytes.Equal(b, content[at:at+size]) {
		t.Errorf("%d bytes that are not the reader's, or %v", len(b), err)
	}
	if err := os.WriteFile(f.Path, nil, 0); !errors.Is(err, unix.EROFS) {
		t.Errorf("it can be written to: %v", err)
	}
	if err := errors.Join(loop.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	<-f.done // the kernel lets go of it when the last who has it open has
}

// TestMounts has a file system in it mounted.
func TestMounts(t *testing.T) {
	need.Tools(t, "mke2fs")
	image := filepath.Join(t.TempDir(), "fs")
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "hello"), []byte("world"), 0o600); err != nil {
		t.Fatal(err)
	}
	volumetest.Run(t, "mke2fs", "-q", "-t", "ext4", "-d", tree, image, "16M")
	r, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := mount(t, r, 16<<20)
	loop, err := grow.LoopReadOnly(f.Path, 0, 16<<20, 512)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := unix.Mount(loop.Name(), dir, "ext4", unix.MS_RDONLY, "noload"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "hello")); err != nil || string(b) != "world" {
		t.Errorf("%q, %v", b, err)
	}
	if err := errors.Join(unix.Unmount(dir, 0), loop.Close(), f.Close()); err != nil {
		t.Error(err)
	}
	<-f.done
}

// TestErrors: what cannot be read is an error of the file.
func TestErrors(t *testing.T) {
	f := mount(t, broken{}, 1<<20)
	if b, err := os.ReadFile(f.Path); !errors.Is(err, unix.EIO) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	<-f.done
	if _, err := os.Stat(f.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file stays: %v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, errors.New("a bad place") }
