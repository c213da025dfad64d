package convert

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/volume"
)

// limited is a scratch for fuzzing: nothing beyond 64 MiB.
func limited(t testing.TB) *scratch {
	t.Helper()
	d, err := newScratch(Options{Scratch: os.TempDir(), MaxSize: 64 * mib})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// FuzzStream goes through decompression, partclone, ntfsclone, imagezip and raw streams.
func FuzzStream(f *testing.F) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 512)
	for _, mode := range []uint16{sumNone, sumCRC32, sumXXH64, sumXXH128} {
		f.Add(build(data, 1024, mode, 3, true, false))
	}
	f.Add(build(data, 1024, 0, 0, false, true)[:6000])
	f.Add(append([]byte("\x00ntfsclone-image\x0a\x01\x00\x02\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x38\x00\x00\x00"),
		append(make([]byte, 6), append([]byte{1}, data[:512]...)...)...))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x24\x01\x09\x00"))
	f.Add([]byte("\xfd7zXZ\x00\x00\x04"))
	f.Add([]byte("\x04\x22\x4d\x18\x64\x40\xa7"))
	f.Add([]byte("BZh91AY&SY"))
	f.Fuzz(func(t *testing.T, p []byte) {
		d := limited(t)
		if _, err := unpackTo(bytes.NewReader(p), d); err != nil {
			return
		}
		d.done()
		if d.size > d.max {
			t.Fatalf("%d bytes", d.size)
		}
	})
}

// FuzzImagezip pads its input to a chunk.
func FuzzImagezip(f *testing.F) {
	for version := 1; version <= 4; version++ {
		image := ndzImage(f, version, make([]byte, 100*ndzSector), [][2]uint32{{0, 40}, {100, 60}})
		f.Add(bytes.TrimRight(image, "\x00"))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		chunk := make([]byte, ndzChunk)
		copy(chunk, p)
		_ = readImagezip(bytes.NewReader(chunk), limited(t))
	})
}

func FuzzQcow2(f *testing.F) {
	small := filepath.Join(f.TempDir(), "seed.qcow2")
	out, err := os.Create(small)
	if err != nil {
		f.Fatal(err)
	}
	data := bytes.NewReader(bytes.Repeat([]byte("x"), mib))
	if err := ExportQcow2(f.Context(), data, mib, []volume.Extent{{Offset: 70000, Length: 4096}}, out); err != nil {
		f.Fatal(err)
	}
	out.Close()
	seed, err := os.ReadFile(small)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, p []byte) {
		path := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		d, err := openQcow2(file)
		if err != nil {
			return
		}
		buf := make([]byte, 1<<16)
		for _, at := range []int64{0, 65536, d.Size() / 2, d.Size() - 100} {
			_, _ = d.ReadAt(buf, at)
		}
		if d.Size() < 1<<34 {
			_ = d.Allocated()
		}
	})
}

func FuzzSfdisk(f *testing.F) {
	f.Add("label: gpt\nlast-lba: 2014\n/dev/sda1 : start= 2048, size= 4096, type=83\n", "Disk /dev/sda: 100000s\nSector size (logical/physical): 512B/512B\n")
	f.Fuzz(func(t *testing.T, dump, parted string) {
		table, err := parseSfdisk(dump, parted)
		if err == nil && (table.size < 0 || table.first() < 0) {
			t.Fatalf("%+v", table)
		}
	})
}

func TestReadBeyondTheEnd(t *testing.T) {
	d := testScratch(t)
	if err := fill(bytes.NewReader(make([]byte, 10_000)), d); err != nil {
		t.Fatal(err)
	}
	d.done()
	p := make([]byte, 100)
	if n, err := d.ReadAt(p, 9_950); n != 50 || err != io.EOF {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if n, err := d.ReadAt(p, 10_000); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes, %v", n, err)
	}
	if d.Size() != 10_000 || len(d.Allocated()) != 0 {
		t.Errorf("%d bytes, %v", d.Size(), d.Allocated())
	}
}
