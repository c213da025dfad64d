package volumetest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/volume"
)

// SaveSample writes the file at path, gzipped, as testdata/NAME.gz: a sample for Fuzz.
func SaveSample(t testing.TB, name, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.MkdirAll("testdata", 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join("testdata", name+".gz"), out.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Samples reads all testdata/*.gz.
func Samples(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/*.gz")
	if err != nil || len(names) == 0 {
		t.Fatal("no samples in testdata", err)
	}
	samples := map[string][]byte{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if samples[filepath.Base(name)], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return samples
}

// patched is a sample with changes, which the fuzzer finds: a disk is too large to be its input. Each change is three
// bytes of address, one byte of length n, and n bytes.
type patched struct {
	base    []byte
	changes []change
}

type change struct {
	at   int64
	data []byte
}

func (p *patched) ReadAt(b []byte, off int64) (int, error) {
	if off >= int64(len(p.base)) {
		return 0, io.EOF
	}
	n := copy(b, p.base[off:])
	for _, c := range p.changes {
		if from, to := max(off, c.at), min(off+int64(n), c.at+int64(len(c.data))); from < to {
			copy(b[from-off:to-off], c.data[from-c.at:])
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Patch returns the sample with the changes that input describes.
func Patch(sample, input []byte) io.ReaderAt {
	p := &patched{base: sample}
	for len(input) >= 4 && len(p.changes) < 64 {
		at := int64(binary.LittleEndian.Uint32(input) & 0xffffff)
		n := min(int(input[3]), len(input)-4)
		p.changes = append(p.changes, change{at, input[4 : 4+n]})
		input = input[4+n:]
	}
	return p
}

// Fuzz changes the samples in testdata and opens them. Whatever is on the disk, the reader must not panic, not take
// seconds, and return either an error or extents that keep their contract. at are addresses worth changing.
func Fuzz[T volume.FileSystem](f *testing.F, open func(io.ReaderAt, int64) (T, error), at ...uint32) {
	samples := Samples(f)
	for name := range samples {
		f.Add(name, []byte{})
		for _, a := range at {
			for _, v := range [][]byte{{0}, {1}, {0xff}, {0xff, 0xff, 0xff, 0xff}} {
				f.Add(name, append([]byte{byte(a), byte(a >> 8), byte(a >> 16), byte(len(v))}, v...))
			}
		}
	}
	f.Fuzz(func(t *testing.T, name string, input []byte) {
		sample, ok := samples[name]
		if !ok {
			return
		}
		size := int64(len(sample))
		start := time.Now()
		fs, err := open(Patch(sample, input), size)
		if err != nil {
			return
		}
		ext, err := fs.Extents()
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if err != nil {
			if errors.Is(err, volume.ErrNotThis) {
				t.Error("Extents must not say that it is another file system:", err)
			}
			return
		}
		CheckExtents(t, size, ext)
		if fs.Type() == "" {
			t.Error("no type")
		}
		fs.Info()
	})
}
