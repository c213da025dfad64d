package convert

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/volume/table"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// limited is a scratch for fuzzing: nothing beyond 64 MiB.
func limited(t testing.TB) *scratch {
	t.Helper()
	d, err := newScratch(Options{Scratch: volumetest.Dir(t), MaxSize: 64 * mib})
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
	f.Add(append([]byte("\x00ntfsclone-image\x0a\x01\x00\x02\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x08"+
		"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x38\x00\x00\x00"),
		append(make([]byte, 6), append([]byte{1}, data[:512]...)...)...))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x24\x01\x09\x00"))
	f.Add([]byte("\xfd7zXZ\x00\x00\x04"))
	f.Add([]byte("\x04\x22\x4d\x18\x64\x40\xa7"))
	f.Add([]byte("BZh91AY&SY"))
	f.Add([]byte("\x02\x21\x4c\x18\x04\x00\x00\x00\x30abc"))
	f.Add([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00\x36\x00\x00\x00\x28\xb5\x2f\xfd\x04\x58\x54\x00"))
	f.Add([]byte("\x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"))
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "disk.raw", Mode: 0o600, Size: 1024}); err != nil {
		f.Fatal(err)
	}
	if _, err := w.Write(data[:1024]); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(archive.Bytes())
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
	// Clusters of 512 bytes: header, first table, second table with a plain and a compressed cluster, these two.
	seed := make([]byte, 4*512)
	copy(seed, "QFI\xfb")
	be.PutUint32(seed[4:], 3)
	be.PutUint32(seed[20:], 9)
	be.PutUint64(seed[24:], 3*512)
	be.PutUint32(seed[36:], 1)
	be.PutUint64(seed[40:], 512)
	be.PutUint32(seed[100:], 104)
	be.PutUint64(seed[512:], 1024|1<<63)
	be.PutUint64(seed[1024:], 1536|1<<63)
	be.PutUint64(seed[1032:], 2048|l2Packed)
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, 9)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("packed.."), 64)); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	seed = append(seed, packed.Bytes()...)
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
			if bytes.Equal(p, seed) {
				t.Fatal(err)
			}
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
	f.Add("label: gpt\nlast-lba: 2014\n/dev/sda1 : start= 2048, size= 4096, type=83\n",
		"Disk /dev/sda: 100000s\nSector size (logical/physical): 512B/512B\n")
	f.Fuzz(func(t *testing.T, dump, parted string) {
		table, err := parseSfdisk(dump, parted)
		if err == nil && (table.size < 0 || table.first() < 0) {
			t.Fatalf("%+v", table)
		}
	})
}

// FuzzLogicals makes boot records for partitions anywhere: what is written must be read as these partitions, by the
// reader of tables.
func FuzzLogicals(f *testing.F) {
	f.Add(uint16(100), uint16(3000), uint16(200), uint16(500), uint16(900), uint16(300), []byte{})
	f.Add(uint16(100), uint16(3000), uint16(900), uint16(500), uint16(200), uint16(700), []byte{})
	ebr := make([]byte, 512)
	le.PutUint32(ebr[446+8:], 100)
	le.PutUint32(ebr[462+8:], 799)
	le.PutUint32(ebr[462+12:], 10)
	ebr[510], ebr[511] = 0x55, 0xaa
	f.Add(uint16(100), uint16(3000), uint16(200), uint16(500), uint16(900), uint16(300), ebr)
	f.Fuzz(func(t *testing.T, start, size, start5, size5, start6, size6 uint16, ebr []byte) {
		at := func(n uint16) int64 { return int64(n) * 512 }
		d := limited(t)
		c := &clonezilla{dir: t.TempDir(), disk: "sda", out: d,
			table: sfdisk{label: "dos", sector: 512, size: 64 * mib, parts: []sfPart{
				{name: "sda4", number: 4, start: at(start), size: at(size), kind: "f"},
				{name: "sda6", number: 6, start: at(start6), size: at(size6), kind: "83"},
				{name: "sda5", number: 5, start: at(start5), size: at(size5), kind: "82"},
			}}}
		if err := os.WriteFile(filepath.Join(c.dir, "sda4-ebr"), ebr, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.setSize(c.table.size); err != nil {
			t.Fatal(err)
		}
		if start == 0 || size == 0 || size5 == 0 || size6 == 0 || start5 < start6+size6 && start6 < start5+size5 ||
			c.logicals() != nil {
			return
		}
		mbr := make([]byte, 512)
		if err := c.entry(mbr[446:], c.table.parts[0], 0); err != nil {
			t.Fatal(err)
		}
		mbr[510], mbr[511] = 0x55, 0xaa
		if err := d.write(mbr, 0); err != nil {
			t.Fatal(err)
		}
		got, err := table.Read(d, d.size, 512)
		if err != nil || len(got.Partitions) != 2 {
			t.Fatalf("%v, %+v", err, got)
		}
		for i, want := range []sfPart{c.table.parts[2], c.table.parts[1]} {
			if p := got.Partitions[i]; p.Number != want.number || p.Start != want.start || p.Size != want.size {
				t.Errorf("partition %+v, want %+v", p, want)
			}
		}
	})
}

func FuzzFooter(f *testing.F) {
	vhd := make([]byte, 2048)
	copy(vhd[1536:], "conectix")
	be.PutUint64(vhd[1536+48:], 1536)
	be.PutUint32(vhd[1536+60:], 2)
	sum := uint32(0)
	for _, c := range vhd[1536:] {
		sum += uint32(c)
	}
	be.PutUint32(vhd[1536+64:], ^sum)
	f.Add(vhd)
	f.Fuzz(func(t *testing.T, p []byte) {
		size, note, err := footer(bytes.NewReader(p), int64(len(p)))
		if err == nil && size != int64(len(p)) && (size != int64(len(p))-footerSize || note == "") {
			t.Fatalf("%d bytes of %d, %q", size, len(p), note)
		}
		if bytes.Equal(p, vhd) && (size != 1536 || err != nil) {
			t.Fatalf("%d bytes, %v", size, err)
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
