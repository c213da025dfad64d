package capture_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume"
)

// islands is a source that knows its holes, and whose holes cannot be read once it was asked for them.
type islands struct {
	*bytes.Reader
	runs  []volume.Extent
	asked bool
}

func (s *islands) Allocated() []volume.Extent {
	s.asked = true
	return s.runs
}

func (s *islands) ReadAt(p []byte, off int64) (int, error) {
	want := []volume.Extent{{Offset: off, Length: int64(len(p))}}
	if s.asked && len(volume.Subtract(want, s.runs)) > 0 && int64(len(p)) > 64<<10 {
		return 0, fmt.Errorf("%d bytes at %d are read, and there is a hole", len(p), off)
	}
	return s.Reader.ReadAt(p, off)
}

// TestHolesAreNotRead holds a capture with holes against one that reads everything: the image is the same.
func TestHolesAreNotRead(t *testing.T) {
	const size, grid = 24 << 20, 256 << 10
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		disk := make([]byte, size)
		runs := volume.NewRuns(size)
		for at := int64(r.IntN(2 * grid)); at < size; {
			n := min(size-at, 512*(1+int64(r.IntN(1<<(1+r.IntN(11))))))
			runs.Add(at, n)
			if r.IntN(4) > 0 { // else zeros that were written
				imagetest.Random(disk[at:at+n], seed)
			}
			at += n + 512*int64(256+r.IntN(1<<(9+r.IntN(5)))) // gaps that no read joins
		}
		src := &islands{Reader: bytes.NewReader(disk), runs: runs.Extents()}
		run := func(src io.ReaderAt) *capture.Result {
			s, err := image.OpenStore(filepath.Join(t.TempDir(), "store"))
			if err != nil {
				t.Fatal(err)
			}
			res, err := capture.Capture(context.Background(), src, size, 512,
				capture.Options{Store: s, Grid: grid, Workers: 2})
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			return res
		}
		all, some := run(src.Reader), run(src)
		if all.Digest != some.Digest {
			t.Errorf("seed %d: the image with holes is another", seed)
		}
		if want := volume.Bytes(src.runs); some.Read != want || some.Read+some.Holes != all.Read ||
			some.Zeros != all.Zeros {
			t.Errorf("seed %d: read %d, holes %d, zeros %d; want %d, %d, %d", seed, some.Read, some.Holes, some.Zeros,
				want, size-want, all.Zeros)
		}
	}
}

// TestHugeSparseFile is a disk that nobody could read in the time of a test.
func TestHugeSparseFile(t *testing.T) {
	const size = 1 << 40
	dir := t.TempDir()
	path := filepath.Join(dir, "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); errors.Is(err, syscall.EFBIG) {
		t.Skipf("the file system of %s takes no file of %d bytes", dir, int64(size))
	} else if err != nil {
		t.Fatal(err)
	}
	places := []int64{0, size/2 - 12345, size - 1<<20}
	data := make([]byte, 1<<20)
	for i, at := range places {
		imagetest.Random(data, uint64(i))
		if _, err := f.WriteAt(data, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil { // else it is in use
		t.Fatal(err)
	}
	src, err := capture.OpenSource(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	s, err := image.OpenStore(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := capture.Capture(t.Context(), src, src.Size, src.SectorSize, capture.Options{Store: s, Name: "huge"})
	if err != nil {
		t.Fatal(err)
	}
	if res.Read > 4<<20 || res.Read+res.Holes != size {
		t.Errorf("%d bytes were read, %d were holes", res.Read, res.Holes)
	}
	im, err := s.Open("huge")
	if err != nil {
		t.Fatal(err)
	}
	defer im.Close()
	if _, n := im.IndexBlob(); n > 4<<20 {
		t.Errorf("its index has %d bytes", n)
	}
	target, err := restore.OpenTarget(filepath.Join(dir, "copy"), restore.TargetOptions{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for _, delta := range []bool{false, true} {
		stats, err := restore.Local(t.Context(), im, target, restore.LocalOptions{Verify: true, Delta: delta})
		if err != nil {
			t.Fatal(err)
		}
		if delta && stats.Written != 0 {
			t.Errorf("%d bytes were written again", stats.Written)
		}
	}
	got := make([]byte, len(data))
	for i, at := range places {
		imagetest.Random(data, uint64(i))
		if _, err := target.ReadAt(got, at); err != nil || !bytes.Equal(got, data) {
			t.Errorf("the bytes at %d are others: %v", at, err)
		}
	}
	st, err := os.Stat(filepath.Join(dir, "copy"))
	if err != nil {
		t.Fatal(err)
	}
	if n := st.Sys().(*syscall.Stat_t).Blocks * 512; n > 16<<20 {
		t.Errorf("the restored file takes %d bytes", n)
	}
}
