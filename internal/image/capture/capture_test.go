package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/table"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// TestRealFileSystems captures a disk that sfdisk, mkfs.ext4 and mkfs.fat made, restores it over random bytes, and asks
// e2fsck and fsck.fat.
func TestRealFileSystems(t *testing.T) {
	need.Tools(t, "sfdisk", "mkfs.ext4", "mkfs.fat", "e2fsck", "fsck.fat")
	const mib = 1 << 20
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	for i, n := range []int{0, 1, 4096, 100000, 3 * mib} {
		b := make([]byte, n)
		imagetest.Fill(b, uint64(i))
		if err := os.MkdirAll(filepath.Join(tree, "a", "b"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, "a", strings.Repeat("f", i+1)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "disk")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 90*mib); err != nil {
		t.Fatal(err)
	}
	volumetest.RunIn(t, "label: gpt\n1MiB,34MiB,U\n35MiB,40MiB,L\n", "sfdisk", "-q", path)
	esp, root := filepath.Join(dir, "esp"), filepath.Join(dir, "root")
	for p, n := range map[string]int64{esp: 34 * mib, root: 40 * mib} {
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(p, n); err != nil {
			t.Fatal(err)
		}
	}
	volumetest.Run(t, "mkfs.fat", "-F", "32", "-n", "EFI", esp)
	volumetest.Run(t, "mkfs.ext4", "-q", "-L", "root", "-d", tree, root)
	disk := read(t, path)
	copy(disk[mib:], read(t, esp))
	copy(disk[35*mib:], read(t, root))

	s, err := image.OpenStore(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := capture.Capture(context.Background(), bytes.NewReader(disk), int64(len(disk)), 512,
		capture.Options{Store: s, Name: "debian"})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Config; c.Firmware != image.UEFI || len(c.Partitions) != 2 || c.Partitions[0].FS != "vfat" ||
		c.Partitions[0].Label != "EFI" ||
		c.Partitions[1].FS != "ext4" || c.Partitions[1].Label != "root" || !c.Partitions[1].Clean {
		t.Errorf("config %+v", c)
	}
	if r.Read-r.Zeros > 20*mib {
		t.Errorf("%d bytes were read of file systems with 4 MiB in them", r.Read)
	}
	im, err := s.Open("debian")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	for _, size := range []int64{90 * mib, 120 * mib, 77 * mib} {
		old := make([]byte, size)
		imagetest.Random(old, 3)
		target := imagetest.NewMemory(old, 512)
		if _, err := restore.Local(context.Background(), im, target, restore.LocalOptions{Verify: true}); err != nil {
			t.Fatal(err)
		}
		got := target.Bytes()
		write(t, esp, got[mib:35*mib])
		write(t, root, got[35*mib:75*mib])
		write(t, path, got)
		volumetest.Run(t, "fsck.fat", "-n", esp)
		volumetest.Run(t, "e2fsck", "-fn", root)
		volumetest.Run(t, "sfdisk", "--verify", path)
		if _, err := table.Read(target, size, 512); err != nil {
			t.Error(err)
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// failing is a disk with a bad place.
type failing struct {
	io.ReaderAt
	at int64
}

var errMedium = errors.New("input/output error")

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if f.at >= off && f.at < off+int64(len(p)) {
		n, _ := f.ReaderAt.ReadAt(p[:f.at-off], off)
		return n, errMedium
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestFailuresLeaveNothingBehind(t *testing.T) {
	disk := make([]byte, 12<<20)
	imagetest.Fill(disk, 8)
	good := bytes.NewReader(disk)
	cancelled, cancel := context.WithCancel(context.Background())
	for _, c := range []struct {
		name string
		ctx  context.Context
		src  io.ReaderAt
		size int64
		want error
		o    capture.Options
	}{
		{"bad place", context.Background(), failing{good, 7 << 20}, 12 << 20, errMedium, capture.Options{}},
		{"cut short", context.Background(), good, 13 << 20, io.ErrUnexpectedEOF, capture.Options{}},
		{"cancelled", cancelled, good, 12 << 20, context.Canceled,
			capture.Options{Progress: func(done, total int64) { cancel() }}},
		{"empty", context.Background(), good, 0, nil, capture.Options{}},
		{"level", context.Background(), good, 12 << 20, nil, capture.Options{Level: "best"}},
		{"grid", context.Background(), good, 12 << 20, nil, capture.Options{Grid: 12345}},
		{"name", context.Background(), good, 12 << 20, nil, capture.Options{Name: "no good"}},
		{"parent", context.Background(), good, 12 << 20, image.ErrNotFound, capture.Options{Parent: "nobody"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
			if err != nil {
				t.Fatal(err)
			}
			o := c.o
			o.Store = s
			if o.Grid == 0 {
				o.Grid = 256 << 10
			}
			_, err = capture.Capture(c.ctx, c.src, c.size, 512, o)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			for _, dir := range []string{"blobs/sha256", ".diskcast/tmp"} {
				if left, err := os.ReadDir(filepath.Join(s.Dir(), dir)); err != nil || len(left) != 0 {
					t.Errorf("%s has %d files: %v", dir, len(left), err)
				}
			}
		})
	}
}

// forgetful is a store that says it has everything and then has nothing.
type forgetful struct {
	chunks []image.ChunkData
}

func (f *forgetful) Has(sum [32]byte, size int64) bool { return true }

func (f *forgetful) Add(c image.ChunkData) error {
	if len(c.Extents) > 0 && c.Stored == nil {
		return image.ErrNeedStored
	}
	c.Stored = bytes.Clone(c.Stored)
	f.chunks = append(f.chunks, c)
	return nil
}

func (f *forgetful) AddZeros(first, n int64) error {
	return fmt.Errorf("%d cells from %d on: this disk has no holes", n, first)
}

func TestSinkThatChangesItsMind(t *testing.T) {
	disk := make([]byte, 3<<20)
	imagetest.Fill(disk, 6)
	src := bytes.NewReader(disk)
	d, err := capture.Survey(src, int64(len(disk)), 512)
	if err != nil {
		t.Fatal(err)
	}
	var sink forgetful
	var res capture.Result
	if err := capture.Chunks(context.Background(), src, d, &sink, capture.Options{Grid: 64 << 10}, &res); err != nil {
		t.Fatal(err)
	}
	if res.Read != int64(len(disk)) {
		t.Errorf("%d bytes read", res.Read)
	}
	dec, err := image.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for _, c := range sink.chunks {
		var size int64
		for _, e := range c.Extents {
			size += e.Length
		}
		if size == 0 {
			continue
		}
		f := &image.Frame{Length: int64(len(c.Stored)), Size: size, Sum: c.Sum, CRC: image.Checksum(c.Stored)}
		if _, err := dec.Decode(f, c.Stored, make([]byte, size+image.Slack)); err != nil {
			t.Errorf("cell %d: %v", c.Cell, err)
		}
	}
}

func TestOpenSource(t *testing.T) {
	dir := t.TempDir()
	for _, ss := range []int{512, 4096} {
		path := filepath.Join(dir, "disk")
		m := imagetest.NewMemory(make([]byte, 8<<20), ss)
		if err := table.Write(m, imagetest.GPT(8<<20, ss, 4<<20), 8<<20, ss); err != nil {
			t.Fatal(err)
		}
		write(t, path, m.Bytes())
		s, err := capture.OpenSource(path)
		if err != nil {
			t.Fatal(err)
		}
		if s.Size != 8<<20 || s.SectorSize != ss {
			t.Errorf("%d bytes in sectors of %d, want %d", s.Size, s.SectorSize, ss)
		}
		s.Close()
	}
	if _, err := capture.OpenSource(dir); err == nil {
		t.Error("a directory was opened as a disk")
	}
}
