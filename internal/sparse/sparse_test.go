package sparse

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
)

// islands are where the sample has data, beside what begins and ends in the middle of a grain.
var islands = []struct{ off, n int64 }{{0, 1}, {grain - 3, 7}, {1 << 20, 3 << 20}, {7<<20 + 100, grain},
	{12<<20 - 5, 4}}

const size = 12 << 20

// sample makes a file with holes, and with zeros that are written.
func sample(t *testing.T) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "sample")
	if err := Create(path, size); err != nil {
		t.Fatal(err)
	}
	content = make([]byte, size)
	random := rand.NewChaCha8([32]byte{3})
	for _, i := range islands {
		_, _ = random.Read(content[i.off:][:i.n]) // never fails
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range append(islands, struct{ off, n int64 }{8 << 20, 3 << 20}) {
		if _, err := f.WriteAt(content[i.off:][:i.n], i.off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// check compares a file and says how many bytes of the disk it takes.
func check(t *testing.T, path string, want []byte) (room int64) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs", path)
	}
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Sys().(*syscall.Stat_t).Blocks * 512
}

func TestCopy(t *testing.T) {
	from, content := sample(t)
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.WriteFile(to, []byte("an older file"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Copy(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	if room := check(t, to, content); room > 5<<20 {
		t.Errorf("the copy takes %d bytes: zeros were written", room)
	}
}

func TestExtract(t *testing.T) {
	from, content := sample(t)
	to := filepath.Join(t.TempDir(), "part")
	for _, r := range []struct{ off, n int64 }{{0, size}, {100, 5<<20 + 1}, {4 << 20, 3 << 20}, {size - 10, 10},
		{7, 0}} {
		if err := Extract(t.Context(), from, r.off, r.n, to); err != nil {
			t.Fatal(r, err)
		}
		check(t, to, content[r.off:][:r.n])
	}
	if err := Extract(t.Context(), from, size-100, 200, to); err == nil {
		t.Error("more than there is was copied")
	}
}

func TestInsert(t *testing.T) {
	from, content := sample(t)
	to := filepath.Join(t.TempDir(), "disk")
	if err := Create(to, 3*size); err != nil {
		t.Fatal(err)
	}
	const at = size - 12345
	if err := Insert(t.Context(), from, to, at); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 3*size)
	copy(want[at:], content)
	check(t, to, want)
}

func TestCancelled(t *testing.T) {
	from, _ := sample(t)
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	stop(why)
	if err := Copy(ctx, from, filepath.Join(t.TempDir(), "copy")); !errors.Is(err, why) {
		t.Error(err)
	}
}

func TestData(t *testing.T) {
	path, content := sample(t)
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	runs := Data(f, size)
	if n := volume.Bytes(runs); n > 7<<20 {
		t.Errorf("%d bytes are data: %v", n, runs)
	}
	for _, hole := range volume.Invert(runs, size) {
		if !bytes.Equal(content[hole.Offset:hole.End()], make([]byte, hole.Length)) {
			t.Errorf("%+v is not zero", hole)
		}
	}
	// A file that is shorter than it should be is for a read to find, and a device that cannot tell is data.
	if runs := Data(f, size+1); volume.Bytes(runs) != size+1 {
		t.Errorf("of a file that is too short: %v", runs)
	}
	null, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if runs := Data(null, size); volume.Bytes(runs) != size {
		t.Errorf("of a device: %v", runs)
	}
}
