package image

import (
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/diskcast/diskcast/internal/volume"
)

func TestGridFor(t *testing.T) {
	const tib = 1 << 40
	for disk, want := range map[int64]int64{0: 4 << 20, 1 << 30: 4 << 20, 8 * tib: 4 << 20, 8*tib + 4<<21: 8 << 20,
		16 * tib: 8 << 20, 100 * tib: 64 << 20, 1 << 60: 64 << 20} {
		if got := GridFor(disk); got != want {
			t.Errorf("%d bytes: a grid of %d, want %d", disk, got, want)
		}
	}
	// 60 bytes a chunk are those of a full disk (docs/image-format.md).
	for _, disk := range []int64{8 * tib, 9 * tib, 64 * tib, 128 * tib} {
		if n := (disk/GridFor(disk) + 1) * 60; n > MaxIndex/2+60 {
			t.Errorf("%d bytes: an index of %d", disk, n)
		}
	}
}

// TestIndexLimit builds an index until it is too large: the builder says so at once, and what to do.
func TestIndexLimit(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.NewBuilder(BuilderOptions{DiskSize: 1 << 50})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Abort()
	if b.index.Grid != 64<<20 {
		t.Errorf("a grid of %d", b.index.Grid)
	}
	for _, grid := range []int64{4 << 20, 64 << 20} {
		b.index, b.w = Index{DiskSize: 1 << 50, Grid: grid}, newChunkWriter(1<<50, grid)
		zeros := make([]Extent, 1<<20) // not what a disk gives, but it takes the room
		added := int64(0)
		for err = nil; err == nil && added < 200; added++ {
			err = b.Add(ChunkData{Cell: added, Zeros: zeros})
		}
		want := "--grid 8192K"
		if grid == MaxGrid {
			want = "partitions one by one"
		}
		if err == nil || !strings.Contains(err.Error(), want) || added != 128 {
			t.Errorf("after %d chunks of 2 MiB: %v", added, err)
		}
	}
}

func TestManifestLimit(t *testing.T) {
	sum := "sha256:" + strings.Repeat("0", 64)
	for size, ok := range map[int64]bool{128<<20 + 1: true, MaxIndex: true, MaxIndex + 1: false} {
		m, err := marshalManifest(descriptor(ConfigType, sum, 10), descriptor(IndexType, sum, size), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := CheckManifest(m); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "--grid") {
			t.Errorf("an index of %d bytes: %v", size, err)
		}
	}
}

// TestConfigLimit has a disk of which there is more to say than a config can hold.
func TestConfigLimit(t *testing.T) {
	c := &Config{V: ConfigVersion, DiskSize: 1 << 30, SectorSize: 512,
		Table: &volume.Table{Kind: "gpt", SectorSize: 512, DiskSize: 1 << 30}}
	if err := c.CheckSize(); err != nil {
		t.Error(err)
	}
	c.Table.Notes = []string{strings.Repeat("x", MaxConfig)}
	if err := c.CheckSize(); err == nil || !strings.Contains(err.Error(), "one by one") {
		t.Error(err)
	}
}

// TestLayoutLimit adds an entry that would make the list of images longer than anybody reads: the store stays as it is.
func TestLayoutLimit(t *testing.T) {
	s, err := OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	err = s.change(func(x *ocispec.Index) error {
		x.Manifests = append(x.Manifests,
			ocispec.Descriptor{Annotations: map[string]string{"note": strings.Repeat("x", maxLayoutIndex)}})
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "image rm") {
		t.Error(err)
	}
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("%d images, %v", len(list), err)
	}
}
