package restore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/image/capture"
	"github.com/diskcast/diskcast/internal/image/imagetest"
	"github.com/diskcast/diskcast/internal/image/restore"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/table"
)

// planned is a config and an index of a disk of which nothing is allocated, with partitions of the sizes.
func planned(sector int, fs []image.Partition) (*image.Config, *image.Index) {
	const size = 64 << 20
	var sizes []int64
	for _, p := range fs {
		sizes = append(sizes, p.Size)
	}
	g := imagetest.GPT(size, sector, sizes...)
	cfg := &image.Config{V: 1, DiskSize: size, SectorSize: sector, Table: g}
	for i, p := range g.Partitions {
		fs[i].Number, fs[i].Start = p.Number, p.Start
	}
	cfg.Partitions = fs
	return cfg, &image.Index{DiskSize: size, Grid: image.DefaultGrid}
}

func TestGrow(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		fs    string
		size  int64
		grown int
		end   int64 // of the last partition
		note  bool
	}{
		{"ext4", "ext4", 200 * mib, 2, 199 * mib, false},
		{"same size", "ext4", 64 * mib, 0, 31 * mib, false},
		{"swap last", "swap", 200 * mib, 0, 31 * mib, true},
		{"smaller", "ext4", 32 * mib, 0, 31 * mib, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, idx := planned(512, []image.Partition{{Size: 10 * mib, FS: "vfat"}, {Size: 20 * mib, FS: c.fs}})
			p, err := restore.NewPlan(cfg, idx, c.size, 512, restore.Grow())
			if err != nil {
				t.Fatal(err)
			}
			if g := p.Growth(); g.Number != c.grown || (g.Note != "") != c.note || len(p.Warnings()) > 0 {
				t.Errorf("%+v, warnings %q", g, p.Warnings())
			}
			target := dirty(c.size, 512)
			if err := p.WriteTable(target); err != nil {
				t.Fatal(err)
			}
			got, err := table.Read(target, c.size, 512)
			if err != nil {
				t.Fatal(err)
			}
			if last := got.Partitions[1]; last.End() != c.end {
				t.Errorf("the last partition ends at %d, want %d", last.End(), c.end)
			}
			if cfg.Table.Partitions[1].Size != 20*mib {
				t.Error("the image's own table was changed")
			}
		})
	}
}

func TestCutToTheFileSystem(t *testing.T) {
	const mib = 1 << 20
	// The file system has 12 of the partition's 40 MiB.
	cfg, idx := planned(512,
		[]image.Partition{{Size: 10 * mib, FS: "vfat"}, {Size: 40 * mib, FS: "ext4", FSSize: 12 * mib}})
	p, err := restore.NewPlan(cfg, idx, 30*mib, 512)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Warnings()) != 1 || !strings.Contains(p.Warnings()[0], "partition 2 is cut") {
		t.Errorf("warnings %q", p.Warnings())
	}
	target := dirty(30*mib, 512)
	if _, err := table.Read(target, 30*mib, 512); err != nil {
		t.Fatal(err)
	}
	if err := p.WriteTable(target); err != nil {
		t.Fatal(err)
	}
	got, err := table.Read(target, 30*mib, 512)
	if err != nil || got.Partitions[1].Size < 12*mib {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := restore.NewPlan(cfg, idx, 22*mib, 512); err == nil {
		t.Error("a disk that cuts the file system was accepted")
	}
}

func TestLargerSectors(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name    string
		fs      image.Partition
		refused bool
		warn    bool
	}{
		{"ext4 with 4 KiB blocks", image.Partition{FS: "ext4", BlockSize: 4096}, false, false},
		{"ext4 with 1 KiB blocks", image.Partition{FS: "ext4", BlockSize: 1024}, true, false},
		{"fat", image.Partition{FS: "vfat", BlockSize: 4096}, false, true},
		{"raw", image.Partition{FS: "raw"}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fs.Size = 10 * mib
			cfg, idx := planned(512, []image.Partition{c.fs})
			p, err := restore.NewPlan(cfg, idx, 64*mib, 4096)
			if (err != nil) != c.refused {
				t.Fatalf("error %v", err)
			}
			if err == nil && (len(p.Warnings()) > 0) != c.warn {
				t.Errorf("warnings %q", p.Warnings())
			}
		})
	}
	cfg, idx := planned(512, []image.Partition{{Size: 10*mib + 512, FS: "raw"}})
	if _, err := restore.NewPlan(cfg, idx, 64*mib, 4096); err == nil {
		t.Error("a partition of half a sector was accepted")
	}
}

// FuzzPlan gives hostile configs and indexes to the plan and carries out what it accepts.
func FuzzPlan(f *testing.F) {
	cfg, _ := planned(512, []image.Partition{{Size: 1 << 20, FS: "ext4", FSSize: 1 << 19}, {Size: 2 << 20, FS: "raw"}})
	cfg.Content = strings.Repeat("0", 64)
	add := func(cfg *image.Config, idx *image.Index) {
		c, err := cfg.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		x, err := idx.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(c, x, int64(64<<20), false)
		f.Add(c, x, int64(40<<20), true)
	}
	src := disk(f, 2<<20, 512, 3)
	im := captured(f, src, 512, capture.Options{Grid: 64 << 10})
	add(im.Config(), im.Index())
	add(cfg, &image.Index{DiskSize: cfg.DiskSize, Grid: 64 << 10, Chunks: []image.Chunk{
		{Cell: 20, Frame: -1, Zeros: []image.Extent{{Offset: 20 * 64 << 10, Length: 5000}}}}})
	dos := &volume.Table{Kind: "dos", SectorSize: 512, DiskSize: cfg.DiskSize, MBR: make([]byte, 512)}
	c := *cfg
	c.Table, c.Partitions = dos, nil
	add(&c, &image.Index{DiskSize: cfg.DiskSize, Grid: 64 << 10})
	const limit = 8 << 20
	f.Fuzz(func(t *testing.T, config, index []byte, size int64, grow bool) {
		cfg, err := image.ParseConfig(config)
		if err != nil {
			return
		}
		idx, err := image.ParseIndex(index)
		if err != nil || size < 0 {
			return
		}
		var o []restore.PlanOption
		if grow {
			o = append(o, restore.Grow())
		}
		p, err := restore.NewPlan(cfg, idx, size, 512, o...)
		if err != nil || size > limit || idx.Grid > 1<<20 {
			return
		}
		target := imagetest.NewMemory(make([]byte, size), 512)
		if err := p.WriteTable(target); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Present(context.Background(), target, nil); err != nil {
			t.Fatal(err)
		}
		w, err := restore.NewWriter(p, target, restore.WriterOptions{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Block(0, make([]byte, min(idx.ObjectSize(), 1<<20)))
		_ = w.Close()
	})
}
