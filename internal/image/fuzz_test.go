package image_test

import (
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/volume"
)

func FuzzConfig(f *testing.F) {
	cfg := &image.Config{V: 1, DiskSize: 8 << 20, SectorSize: 512, Table: imagetest.GPT(8<<20, 512, 1<<20),
		Partitions: []image.Partition{{Number: 1, Start: 1 << 20, Size: 1 << 20, FS: "ext4", Label: "root",
			Used: 4096}},
		Level: "default", Content: "0000000000000000000000000000000000000000000000000000000000000000"}
	b, err := cfg.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	none := &image.Config{V: 1, DiskSize: 4096, SectorSize: 4096,
		Table:      &volume.Table{Kind: "none", SectorSize: 4096, DiskSize: 4096},
		Partitions: []image.Partition{{Size: 4096, FS: "raw"}}, Content: cfg.Content}
	if b, err = none.Marshal(); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := image.ParseConfig(b)
		if err != nil {
			return
		}
		again, err := c.Marshal()
		if err != nil {
			return // escapes can make it longer than what is allowed
		}
		if _, err := image.ParseConfig(again); err != nil {
			t.Fatalf("accepted %q, wrote %q, and refuse that: %v", b, again, err)
		}
	})
}

// FuzzDecode feeds hostile frames of which the checksums are right to the decoder.
func FuzzDecode(f *testing.F) {
	e, err := image.NewEncoder(image.Fast)
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range []int{1, 300, 5000, 30000} {
		b := make([]byte, n)
		imagetest.Fill(b, uint64(n))
		f.Add(e.Encode(nil, b), int64(n))
	}
	// A bomb: 8 bytes a block of 128 KiB.
	bomb := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58}
	for range 100 {
		bomb = append(bomb, 0x02, 0x00, 0x10, 'x')
	}
	const limit = 64 << 10
	f.Add(bomb, int64(limit))
	d, err := image.NewDecoder()
	if err != nil {
		f.Fatal(err)
	}
	out := make([]byte, limit+image.Slack+1)
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		if size <= 0 || size > limit || len(b) > 2*limit {
			return
		}
		fr := &image.Frame{Length: int64(len(b)), Size: size, CRC: image.Checksum(b)}
		guard := size + image.Slack
		out[guard] = 0xaa
		got, err := d.Decode(fr, b, out)
		if err == nil && int64(len(got)) != size {
			t.Fatalf("%d bytes for a frame of %d", len(got), size)
		}
		if out[guard] != 0xaa {
			t.Fatal("the decoder wrote beyond its buffer")
		}
	})
}

func FuzzManifest(f *testing.F) {
	s := newStore(f)
	take(f, s, "a", filled(300000, 1))
	m := open(f, s, "a")
	r, size, err := s.BlobReader(m.Manifest())
	if err != nil {
		f.Fatal(err)
	}
	defer r.Close()
	b := make([]byte, size)
	if _, err := r.ReadAt(b, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = image.CheckManifest(b)
	})
}
