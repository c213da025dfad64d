package image

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/volume"
)

// TestTooManyBlobs stores frames again when the image would otherwise refer to more blobs than an image may have.
func TestTooManyBlobs(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncoder(Fast)
	if err != nil {
		t.Fatal(err)
	}
	const n = 4
	chunk := func(i int) (ChunkData, []byte) {
		p := []byte{1, 2, 3, byte(i)}
		return ChunkData{Cell: int64(i), Extents: []Extent{{Offset: int64(i) * MinGrid, Length: 4}}, Sum: e.Sum(p)},
			e.Encode(nil, p)
	}
	build := func(limit int, chunks ...int) *Image {
		b, err := s.NewBuilder(BuilderOptions{DiskSize: n * MinGrid, Grid: MinGrid})
		if err != nil {
			t.Fatal(err)
		}
		b.old = limit
		for _, i := range chunks {
			c, stored := chunk(i)
			if !b.Has(c.Sum, 4) {
				c.Stored = stored
			}
			err := b.Add(c)
			if errors.Is(err, ErrNeedStored) {
				c.Stored = stored
				err = b.Add(c)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		cfg := &Config{SectorSize: 512, Table: &volume.Table{Kind: "none", SectorSize: 512, DiskSize: n * MinGrid},
			Partitions: []Partition{{Size: n * MinGrid, FS: "raw"}}}
		digest, err := b.Commit(cfg, "", time.Time{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.Open(digest)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		if err := m.Verify(context.Background(), nil); err != nil {
			t.Fatal(err)
		}
		return m
	}
	for i := range n {
		build(MaxBlobs, i)
	}
	if m := build(2, 0, 1, 2, 3); m.index.Blobs != 3 {
		t.Errorf("%d blobs, want two old ones and a new one", m.index.Blobs)
	}
}
