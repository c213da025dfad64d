package convert

import (
	"bytes"
	"compress/zlib"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// ndzFile makes an imagezip file of a disk: a chunk for each quarter of it, the second half of each left out as free.
func ndzFile(t *testing.T, version int, disk []byte) [][]byte {
	t.Helper()
	var chunks [][]byte
	part := len(disk) / 4
	for i := range 4 {
		start, n := uint32(i*part/ndzSector), uint32(part/2/ndzSector)
		chunk := ndzImage(t, version, disk[i*part:i*part+part/2], [][2]uint32{{start, n}})
		le.PutUint32(chunk[8:], uint32(i))
		le.PutUint32(chunk[12:], map[bool]uint32{true: 4}[version == 1])
		if version > 1 {
			le.PutUint32(chunk[24:], start)
			le.PutUint32(chunk[28:], uint32((i+1)*part/ndzSector))
		}
		chunks = append(chunks, chunk)
	}
	return chunks
}

// TestImagezipWhole takes chunks away, changes their order, and cuts files: what is not all there is refused.
func TestImagezipWhole(t *testing.T) {
	_, disk := smallDisk(t)
	want := bytes.Clone(disk)
	for i := range 4 {
		clear(want[i*len(want)/4+len(want)/8 : (i+1)*len(want)/4])
	}
	read := func(chunks ...[]byte) (*scratch, error) {
		d := testScratch(t)
		err := readImagezip(bytes.NewReader(bytes.Join(chunks, nil)), d)
		d.done()
		return d, err
	}
	for version := 1; version <= 4; version++ {
		c := ndzFile(t, version, disk)
		d, err := read(c...)
		if err != nil {
			t.Fatal(err)
		}
		if version == 1 { // the table's backup, which is free to it, is behind its last region
			same(t, want[:len(want)-len(want)/8], content(t, d)[:len(want)-len(want)/8])
			if d.Size() != int64(len(want)) {
				t.Errorf("version 1: %d bytes, and the table names %d", d.Size(), len(want))
			}
		} else {
			same(t, want, content(t, d))
		}
		for name, x := range map[string]struct {
			chunks [][]byte
			want   string
		}{
			"the first is missing": {c[1:], "chunks are missing"},
			"one is missing":       {[][]byte{c[0], c[1], c[3]}, "chunk 3: chunks are missing"},
			"two are exchanged":    {[][]byte{c[0], c[2], c[1], c[3]}, "not in order"},
			"the last is missing": {c[:3],
				map[bool]string{true: "3 chunks of 4", false: "chunks are missing at its end"}[version == 1]},
			"the last is cut":        {[][]byte{c[0], c[1], c[2], c[3][:5000]}, "truncated"},
			"half a chunk is behind": {[][]byte{c[0], c[1], c[2], c[3], c[3][:5000]}, "truncated"},
			"one is there twice":     {[][]byte{c[0], c[1], c[1], c[2], c[3]}, "not in order"},
		} {
			if d, err := read(x.chunks...); err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("version %d, %s: %d bytes, %v", version, name, d.Size(), err)
			}
		}
		back := bytes.Clone(c[1])
		le.PutUint32(back[map[int]int{1: 24, 2: 36, 3: 36, 4: 344}[version]:], 0)
		if _, err := read(c[0], back, c[2], c[3]); err == nil ||
			!strings.Contains(err.Error(), "before the end of the one before it") {
			t.Errorf("version %d, a region that goes back: %v", version, err)
		}
	}
	for magic, what := range map[byte]string{0x6d: "version 5", 0x6e: "version 6"} {
		p := make([]byte, ndzChunk)
		copy(p, []byte{magic, 0x69, 0x69, 0x69})
		path := filepath.Join(volumetest.Dir(t), "later.ndz")
		if err := os.WriteFile(path, p, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), what) ||
			!strings.Contains(err.Error(), "imageunzip") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestImagezipRelocations: what imageunzip would put right in the data is refused, what it would leave alone is said.
func TestImagezipRelocations(t *testing.T) {
	data := bytes.Repeat([]byte("sector data here"), 32*8)
	for kind, want := range map[uint32]string{0: "", 6: "", 1: "slice with a BSD label", 2: "slice with a BSD label",
		3: "LILO", 4: "LILO", 5: "LILO", 7: "type 7", 100: "type 100"} {
		chunk := ndzImage(t, 3, data, [][2]uint32{{0, 8}})
		le.PutUint32(chunk[32:], 1)
		le.PutUint32(chunk[36+8:], kind)
		d := testScratch(t)
		err := readImagezip(bytes.NewReader(chunk), d)
		said := strings.Join(d.Notes(), " ")
		if refused := kind > 2 && kind != 6; refused != (err != nil) {
			t.Errorf("type %d: %v", kind, err)
		} else if refused {
			said = err.Error()
		}
		if !strings.Contains(said, want) || want == "" && strings.Contains(said, "slice") {
			t.Errorf("type %d: %s", kind, said)
		}
	}
	chunk := ndzImage(t, 3, data, [][2]uint32{{0, 8}})
	le.PutUint32(chunk[32:], 1<<20)
	if err := readImagezip(bytes.NewReader(chunk), testScratch(t)); err == nil {
		t.Error("a million relocations were taken")
	}
}

func ndzImage(t testing.TB, version int, data []byte, regions [][2]uint32) []byte {
	t.Helper()
	head := map[int]int{1: 24, 2: 36, 3: 36, 4: 344}[version]
	chunk := make([]byte, 4096, ndzChunk)
	le.PutUint32(chunk, uint32(ndzMagic+version-1))
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	at := 0
	for i, r := range regions {
		le.PutUint32(chunk[head+8*i:], r[0])
		le.PutUint32(chunk[head+8*i+4:], r[1])
		if _, err := w.Write(data[at : at+int(r[1])*ndzSector]); err != nil {
			t.Fatal(err)
		}
		at += int(r[1]) * ndzSector
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	le.PutUint32(chunk[4:], uint32(z.Len()))
	le.PutUint32(chunk[12:], 1)
	le.PutUint32(chunk[16:], 4096)
	le.PutUint32(chunk[20:], uint32(len(regions)))
	if version > 1 {
		le.PutUint32(chunk[28:], 4000)
	}
	chunk = append(chunk, z.Bytes()...)
	return chunk[:ndzChunk]
}

func TestImagezip(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte("sector data here"), 32*100)
	regions := [][2]uint32{{0, 40}, {100, 60}}
	for version := 1; version <= 4; version++ {
		path := filepath.Join(volumetest.Dir(t), "image.ndz")
		image := ndzImage(t, version, data, regions)
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		d := openDisk(t, path)
		size := 4000
		if version == 1 {
			size = 160
		}
		want := make([]byte, size*ndzSector)
		copy(want, data[:40*ndzSector])
		copy(want[100*ndzSector:], data[40*ndzSector:100*ndzSector])
		same(t, want, content(t, d))
		image[4096+20] ^= 1
		if err := readImagezip(bytes.NewReader(image), testScratch(t)); err == nil {
			t.Error("damage was not noticed")
		}
		if version == 4 {
			image[36] = 1
			if err := readImagezip(bytes.NewReader(image), testScratch(t)); !errors.Is(err, ErrFormat) {
				t.Errorf("encrypted: %v", err)
			}
		}
	}
}
