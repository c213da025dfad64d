package volumetest

import (
	"bytes"
	"encoding/binary"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

var update = flag.Bool("update-seeds", false, "write the fuzz seeds in testdata again from what mkfs makes")

const (
	sector   = 512
	maxDisk  = 1 << 36 // bytes: a fuzz target must not spend its time on the bitmaps of petabytes
	seedHead = 8
	seedItem = 12
)

// A seed is a disk of which only some pieces are there: u64 size, then {u64 offset, u32 length, bytes}, little-endian.
// All else is zero. So a whole file system's metadata fits into a fuzz corpus.
type disk struct {
	size   int64
	pieces []piece
}

type piece struct {
	off  int64
	data []byte
}

// parse takes any bytes: what does not make sense ends the list of pieces.
func parse(p []byte) (disk, bool) {
	if len(p) < seedHead {
		return disk{}, false
	}
	d := disk{size: int64(binary.LittleEndian.Uint64(p))}
	if d.size < 0 || d.size > maxDisk {
		return disk{}, false
	}
	for p = p[seedHead:]; len(p) >= seedItem; {
		off, n := int64(binary.LittleEndian.Uint64(p)), int(binary.LittleEndian.Uint32(p[8:]))
		p = p[seedItem:]
		n = min(n, len(p))
		if off < 0 || off > d.size-int64(n) {
			break
		}
		d.pieces = append(d.pieces, piece{off, p[:n]})
		p = p[n:]
	}
	slices.SortStableFunc(d.pieces, func(a, b piece) int { return int(min(1, max(-1, a.off-b.off))) })
	return d, true
}

func (d disk) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= d.size {
		return 0, io.EOF
	}
	var err error
	if int64(len(p)) > d.size-off {
		p, err = p[:d.size-off], io.EOF
	}
	clear(p)
	for _, piece := range d.pieces {
		if piece.off >= off+int64(len(p)) {
			break
		}
		if end := piece.off + int64(len(piece.data)); end > off {
			copy(p[max(0, piece.off-off):], piece.data[max(0, off-piece.off):])
		}
	}
	return len(p), err
}

// recorder remembers which sectors are read.
type recorder struct {
	r    io.ReaderAt
	mu   sync.Mutex
	seen map[int64]bool
}

func (r *recorder) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	for s := off / sector; s*sector < off+int64(len(p)); s++ {
		r.seen[s] = true
	}
	r.mu.Unlock()
	return r.r.ReadAt(p, off)
}

// Updating skips the test unless it runs with -update-seeds.
func Updating(t testing.TB) {
	t.Helper()
	if !*update {
		t.Skip("makes the fuzz seeds: only with -update-seeds")
	}
}

// Record writes path, NAME.seed in a folder testdata, when the test runs with -update-seeds: the sectors of image that
// use reads.
func Record(t testing.TB, path, image string, use func(r io.ReaderAt, size int64)) {
	t.Helper()
	if !*update {
		return
	}
	f, size := Open(t, image)
	rec := &recorder{r: f, seen: map[int64]bool{}}
	use(rec, size)
	var sectors []int64
	for s := range rec.seen {
		sectors = append(sectors, s)
	}
	slices.Sort(sectors)
	out := binary.LittleEndian.AppendUint64(nil, uint64(size))
	lengthAt, next := 0, int64(-1)
	p := make([]byte, sector)
	for _, s := range sectors {
		n, err := f.ReadAt(p, s*sector)
		if n < sector && err != io.EOF {
			t.Fatal(err)
		}
		if data := bytes.TrimRight(p[:n], "\x00"); len(data) == 0 {
			continue
		}
		if s != next {
			out = binary.LittleEndian.AppendUint64(out, uint64(s*sector))
			lengthAt = len(out)
			out = binary.LittleEndian.AppendUint32(out, 0)
		}
		out = append(out, p[:n]...)
		binary.LittleEndian.PutUint32(out[lengthAt:], uint32(len(out)-lengthAt-4))
		next = s + 1
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %s has %d bytes", path, len(out))
}

// Fuzz adds the seeds in testdata to f and fuzzes with disks of that form.
func Fuzz(f *testing.F, target func(t *testing.T, r io.ReaderAt, size int64)) {
	f.Helper()
	for _, path := range seeds(f, "testdata") {
		p, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if d, ok := parse(p); ok {
			target(t, d, d.size)
		}
	})
}

// Seeds calls use with every seed in a folder.
func Seeds(t *testing.T, dir string, use func(t *testing.T, r io.ReaderAt, size int64)) {
	t.Helper()
	for _, path := range seeds(t, dir) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			d, ok := parse(p)
			if !ok {
				t.Fatal("not a seed")
			}
			use(t, d, d.size)
		})
	}
}

func seeds(t testing.TB, dir string) []string {
	paths, err := filepath.Glob(filepath.Join(dir, "*.seed"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s has no seeds (%v): run the tests with -update-seeds", dir, err)
	}
	return paths
}
