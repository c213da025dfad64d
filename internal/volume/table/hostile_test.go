package table

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// What is not a table that can be trusted is captured whole.
func TestNotATable(t *testing.T) {
	need.Tools(t, "mkfs.fat")
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string)
		note string
	}{
		{"blank", func(*testing.T, string) {}, "no partition table"},
		{"fat", func(t *testing.T, p string) { volumetest.Run(t, "mkfs.fat", "-I", p) },
			"boot sector of a file system"},
		{"fat with a table for show",
			func(t *testing.T, p string) { volumetest.Run(t, "mkfs.fat", "-I", "--mbr=y", p) },
			"boot sector of a file system"},
		{"dynamic disk", func(t *testing.T, p string) { patch(t, p, 0x42, 63, 1000) }, "dynamic disk"},
		{"beyond the end", func(t *testing.T, p string) { patch(t, p, 0x83, 63, 1<<30) }, "no place on the disk"},
		{"one beyond the end", func(t *testing.T, p string) { patch(t, p, 0x83, 63, 100, 0x83, 1000, 1<<30) },
			"not sound"},
		{"overlap", func(t *testing.T, p string) { patch(t, p, 0x83, 63, 1000, 0x83, 500, 1000) }, "overlap"},
		{"two containers", func(t *testing.T, p string) { patch(t, p, 5, 63, 1000, 15, 5000, 1000) }, "two extended"},
		{"chain loops", func(t *testing.T, p string) {
			patch(t, p, 5, 64, 10000)
			patchAt(t, p, 64*512, 0x83, 8, 8, 5, 100, 100)
			patchAt(t, p, 164*512, 0x83, 8, 8, 5, 0, 100)
		}, "comes back"},
		{"chain leaves", func(t *testing.T, p string) {
			patch(t, p, 5, 64, 10000)
			patchAt(t, p, 64*512, 0x83, 8, 8, 5, 20000, 100)
		}, "outside it"},
		{"chain is long", func(t *testing.T, p string) {
			patch(t, p, 5, 64, 100000)
			for i := range uint32(300) {
				patchAt(t, p, int64(64+100*i)*512, 0x83, 8, 8, 5, 100*(i+1), 100)
			}
		}, "more than 256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := volumetest.Sparse(t, 64*mib)
			c.make(t, path)
			f, size := volumetest.Open(t, path)
			tbl, err := Read(f, size, 512)
			if err != nil || tbl.Kind != KindNone || !strings.Contains(strings.Join(tbl.Notes, " "), c.note) {
				t.Errorf("%+v %v", tbl, err)
			}
		})
	}
}

func patch(t *testing.T, path string, entries ...uint32) { patchAt(t, path, 0, entries...) }

// patchAt writes a boot sector with entries of type, start, sectors.
func patchAt(t *testing.T, path string, off int64, entries ...uint32) {
	t.Helper()
	b := make([]byte, 512)
	b[510], b[511] = 0x55, 0xaa
	for i := 0; i < len(entries); i += 3 {
		if err := entryAt(b, i/3).set(byte(entries[i]), int64(entries[i+1]), int64(entries[i+2]), 0); err != nil {
			t.Fatal(err)
		}
	}
	f, _ := volumetest.Open(t, path)
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

// All that lies in no partition is in the regions; what Write makes is not.
func TestRegions(t *testing.T) {
	f, size := gptDisk(t)
	tbl, err := Read(f, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	before, behind := volume.Extent{Offset: 34 * 512, Length: mib - 34*512},
		volume.Extent{Offset: 211 * mib, Length: 45*mib - 33*512}
	if d := cmp.Diff([]volume.Extent{before, behind}, tbl.Regions); d != "" {
		t.Error(d)
	}
	if n := volume.Bytes(DropGaps(tbl)); n != behind.Length {
		t.Errorf("%d bytes were dropped, want %d", n, behind.Length)
	}
	if d := cmp.Diff([]volume.Extent{before}, tbl.Regions); d != "" {
		t.Error(d)
	}
}

// A table from a hostile image must not reach a disk, nor cost memory.
func TestHostileTable(t *testing.T) {
	for name, change := range map[string]func(*volume.Table){
		"kind":         func(t *volume.Table) { t.Kind = "apm" },
		"no facts":     func(t *volume.Table) { t.GPT = nil },
		"entries":      func(t *volume.Table) { t.GPT.EntryCount = 1 << 40 },
		"entry size":   func(t *volume.Table) { t.GPT.EntrySize = 1 << 40 },
		"array":        func(t *volume.Table) { t.GPT.Entries = 1 << 62 },
		"negative":     func(t *volume.Table) { t.Partitions[0].Start = -4096 },
		"overflow":     func(t *volume.Table) { t.Partitions[1].Size = 1<<63 - 1 },
		"zero":         func(t *volume.Table) { t.Partitions[0].Number = 0 },
		"twice":        func(t *volume.Table) { t.Partitions[0].Number = 2 },
		"number":       func(t *volume.Table) { t.Partitions[0].Number = 129 },
		"overlap":      func(t *volume.Table) { t.Partitions[0].Size = 11 * mib },
		"on the table": func(t *volume.Table) { t.Partitions[0].Start, t.Partitions[0].Size = 4096, 4096 },
		"type":         func(t *volume.Table) { t.Partitions[0].Type = "linux" },
		"no type":      func(t *volume.Table) { t.Partitions[0].Type = "00000000-0000-0000-0000-000000000000" },
		"uuid":         func(t *volume.Table) { t.Partitions[0].UUID = "" },
		"name":         func(t *volume.Table) { t.Partitions[0].Name = strings.Repeat("x", 37) },
		"mbr":          func(t *volume.Table) { t.MBR = t.MBR[:100] },
		"logical": func(t *volume.Table) {
			t.Kind, t.Partitions[0].Number, t.Partitions[0].Type = KindDOS, 5,
				"0x83"
		},
		"many logicals": func(t *volume.Table) { t.Kind, t.Partitions = KindDOS, make([]volume.Partition, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			tbl := sampleGPT()
			change(tbl)
			if p, err := Layout(tbl, diskSize, 512); err == nil {
				t.Errorf("%d pieces", len(p))
			} else {
				t.Log(err)
			}
		})
	}
}
