package table

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

// layouts are tables made by sfdisk and sgdisk. In a script @N stands for N MiB in sectors.
var layouts = []struct {
	name   string
	script string   // for sfdisk
	sgdisk []string // afterwards
	only   int      // sector size, 0: both
}{
	{name: "gpt-debian", script: `label: gpt
label-id: 3D3C1B50-0F0B-4C5C-9C3A-7D2F0B0D7A11
start=@1, size=@20, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=11111111-2222-3333-4444-555555555555, name="EFI System"
size=@100, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=61111111-2222-3333-4444-555555555555, name="root"
size=@30, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, uuid=71111111-2222-3333-4444-555555555555`},
	{name: "gpt-attributes", script: `label: gpt
1 : start=@1, size=@4, type=21686148-6449-6E6F-744E-656564454649, name="bios"
3 : start=@9, size=@20, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="Größe 数 🦆", attrs="RequiredPartition LegacyBIOSBootable GUID:60,63"
128 : start=@40, size=@8, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7, attrs="NoBlockIOProtocol"`},
	{name: "gpt-256-entries", script: `label: gpt
table-length: 256
first-lba: @1
200 : start=@2, size=@20, type=linux`},
	{name: "gpt-last-lba", script: `label: gpt
last-lba: @150
start=@1, size=@20, type=linux`},
	{name: "gpt-34", only: 512, script: `label: gpt
first-lba: 34
start=34, size=99, type=linux`},
	{name: "gpt-hybrid", script: `label: gpt
start=@1, size=@20, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
size=@30, type=linux
size=@30, type=EBD0A0A2-B9E5-4433-87C0-68B6B72699C7`, sgdisk: []string{"-h", "1:3"}},
	{name: "gpt-moved-array", only: 512, script: `label: gpt
start=@2, size=@20, type=linux`, sgdisk: []string{"-j", "64"}},
	{name: "dos-primary", script: `label: dos
label-id: 0xdeadbeef
start=@1, size=@20, type=c
start=@30, size=@40, type=83, bootable
start=@100, size=@8, type=82`},
	{name: "dos-logical", script: `label: dos
label-id: 0x01020304
1 : start=@1, size=@20, type=83, bootable
3 : start=@22, size=@100, type=5
5 : start=@23, size=@10, type=83
6 : start=@34, size=@20, type=7, bootable
7 : start=@60, size=@30, type=82`},
	{name: "dos-empty-extended", script: `label: dos
1 : start=@1, size=@20, type=83
4 : start=@22, size=@100, type=f`},
}

const diskSize = 256 * mib

// makeDisk partitions a disk with the real tools, with boot code and a boot loader in the gap.
func makeDisk(t *testing.T, script string, sg []string, ss int) (path, dev string) {
	t.Helper()
	volumetest.Root(t)
	volumetest.Need(t, "sfdisk", "sgdisk", "losetup")
	path = volumetest.Sparse(t, diskSize)
	dev, _ = volumetest.Loop(t, path, ss)
	volumetest.RunIn(t, sectors(script, ss), "sfdisk", "-q", "--no-reread", "--no-tell-kernel", dev)
	if sg != nil {
		volumetest.Run(t, "sgdisk", append(sg, dev)...)
	}
	f, _ := volumetest.Open(t, dev)
	sector := make([]byte, ss)
	if _, err := f.ReadAt(sector, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 440 {
		sector[i] = byte(i*7 + 1)
	}
	if _, err := f.WriteAt(sector, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	return path, dev
}

func sectors(script string, ss int) string {
	for n := 200; n > 0; n-- {
		script = strings.ReplaceAll(script, fmt.Sprintf("@%d", n), fmt.Sprint(n*mib/ss))
	}
	return script
}

// dumped is what sfdisk --json says.
type dumped struct {
	Table struct {
		Label, ID  string
		Device     string
		Partitions []struct {
			Node             string
			Start, Size      int64
			Type, UUID, Name string
			Attrs            string
			Bootable         bool
		}
	} `json:"partitiontable"`
}

// bySfdisk returns what sfdisk reads, in bytes, in our words.
func bySfdisk(t *testing.T, dev string, ss int) (id string, parts []volume.Partition) {
	t.Helper()
	return parseSfdisk(t, volumetest.Run(t, "sfdisk", "--json", dev), dev, ss)
}

func parseSfdisk(t *testing.T, text, dev string, ss int) (id string, parts []volume.Partition) {
	t.Helper()
	var d dumped
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Table.Partitions {
		var q volume.Partition
		fmt.Sscanf(strings.TrimPrefix(strings.TrimPrefix(p.Node, dev), "p"), "%d", &q.Number)
		q.Start, q.Size, q.Type = p.Start*int64(ss), p.Size*int64(ss), strings.ToLower(p.Type)
		q.UUID, q.Name, q.Bootable = strings.ToLower(p.UUID), p.Name, p.Bootable
		if d.Table.Label == "dos" {
			q.Type = fmt.Sprintf("0x%02s", p.Type)
		}
		for _, a := range strings.Fields(p.Attrs) {
			switch a {
			case "RequiredPartition":
				q.Attributes |= 1
			case "NoBlockIOProtocol":
				q.Attributes |= 2
			case "LegacyBIOSBootable":
				q.Attributes |= 4
			default:
				for _, bit := range strings.Split(strings.TrimPrefix(a, "GUID:"), ",") {
					var n int
					fmt.Sscan(bit, &n)
					q.Attributes |= 1 << n
				}
			}
		}
		if q.Type != "0x05" && q.Type != "0x0f" {
			parts = append(parts, q)
		}
	}
	return strings.ToLower(d.Table.ID), parts
}

// plain leaves out what sfdisk does not print.
func plain(parts []volume.Partition, dos bool) []volume.Partition {
	var out []volume.Partition
	for _, p := range parts {
		p.EBR, p.EBRStart = nil, 0
		if dos {
			p.UUID = ""
		}
		out = append(out, p)
	}
	return out
}

func verify(t *testing.T, dev string, tbl *volume.Table) {
	t.Helper()
	if out := volumetest.Run(t, "sfdisk", "--verify", dev); !strings.Contains(out, "No errors detected") {
		t.Errorf("sfdisk --verify: %s", out)
	}
	// sgdisk also wants partitions to be aligned and the array at sector 2, and cannot verify a hybrid MBR.
	if tbl.Kind == KindGPT {
		if out := volumetest.Run(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") && !hybrid(tbl.MBR) {
			t.Errorf("sgdisk -v: %s", out)
		}
	}
}

func TestAgainstSfdisk(t *testing.T) {
	for _, l := range layouts {
		for _, ss := range []int{512, 4096} {
			if l.only != 0 && l.only != ss {
				continue
			}
			t.Run(fmt.Sprintf("%s-%d", l.name, ss), func(t *testing.T) {
				path, dev := makeDisk(t, l.script, l.sgdisk, ss)
				f, size := volumetest.Open(t, path)
				tbl, err := Read(f, size, ss)
				if err != nil {
					t.Fatal(err)
				}
				if tbl.Kind == KindNone {
					t.Fatal(tbl.Notes)
				}
				id, want := bySfdisk(t, dev, ss)
				if d := cmp.Diff(want, plain(tbl.Partitions, tbl.Kind == KindDOS)); d != "" {
					t.Errorf("partitions (-sfdisk +ours): %s", d)
				}
				if id != tbl.DiskID {
					t.Errorf("disk id %s, sfdisk says %s", tbl.DiskID, id)
				}
				if len(tbl.Notes) > 0 && l.name != "gpt-hybrid" {
					t.Error(tbl.Notes)
				}
				same, err := Same(f, tbl, size, ss)
				if err != nil || !same {
					t.Errorf("Write would change the disk that was just read: %v %v", same, err)
				}
				// The table must survive being part of an image's JSON.
				text, err := json.Marshal(tbl)
				if err != nil {
					t.Fatal(err)
				}
				back := new(volume.Table)
				if err := json.Unmarshal(text, back); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(tbl, back); d != "" {
					t.Error(d)
				}
				for _, target := range []struct {
					name string
					size int64
					ss   int
				}{
					{"same", diskSize, ss}, {"larger", 300*mib + int64(ss), ss}, {"smaller", MinSize(tbl, ss), ss},
					{"other sectors", diskSize + 64*mib, 512 + 4096 - ss},
				} {
					t.Run(target.name, func(t *testing.T) {
						restoreTable(t, f, back, want, target.size, target.ss, l.name)
					})
				}
			})
		}
	}
}

func restoreTable(t *testing.T, src *os.File, tbl *volume.Table, want []volume.Partition, size int64, ss int, name string) {
	out, _ := volumetest.Open(t, volumetest.Sparse(t, size))
	junk := make([]byte, min(mib, size))
	rand.NewChaCha8([32]byte{}).Read(junk)
	out.WriteAt(junk, 0)
	out.WriteAt(junk, size-int64(len(junk)))
	err := Write(out, tbl, size, ss)
	if name == "gpt-34" && ss == 4096 {
		if err == nil || !strings.Contains(err.Error(), "not a multiple") {
			t.Errorf("a partition at sector 34 on a 4096-byte disk: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	same, err := Same(out, tbl, size, ss)
	if err != nil || !same {
		t.Errorf("Same after Write: %v %v", same, err)
	}
	dev, _ := volumetest.Loop(t, out.Name(), ss)
	verify(t, dev, tbl)
	id, got := bySfdisk(t, dev, ss)
	if id != tbl.DiskID {
		t.Errorf("disk id %s instead of %s", id, tbl.DiskID)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("sfdisk reads something else from the restored table (-source +restored): %s", d)
	}
	a, b := make([]byte, 446), make([]byte, 446)
	src.ReadAt(a, 0)
	out.ReadAt(b, 0)
	if !bytes.Equal(a, b) {
		t.Error("the boot code is lost")
	}
	again, err := Read(out, size, ss)
	if err != nil || again.Kind != tbl.Kind {
		t.Fatal(again, err)
	}
	if tbl.Kind == KindGPT && hybrid(tbl.MBR) != hybrid(again.MBR) {
		t.Error("the hybrid MBR is lost")
	}
}

func gptDisk(t *testing.T) (*os.File, int64) {
	t.Helper()
	tbl := sampleGPT()
	f, size := volumetest.Open(t, volumetest.Sparse(t, diskSize))
	if err := Write(f, tbl, size, 512); err != nil {
		t.Fatal(err)
	}
	return f, size
}

func sampleGPT() *volume.Table {
	mbr := make([]byte, 512)
	mbr[510], mbr[511] = 0x55, 0xaa
	e := entryAt(mbr, 0)
	copy(e, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0})
	e[12], e[13], e[14], e[15] = 0xff, 0xff, 0xff, 0xff
	return &volume.Table{Kind: KindGPT, SectorSize: 512, DiskSize: diskSize, DiskID: "3d3c1b50-0f0b-4c5c-9c3a-7d2f0b0d7a11", MBR: mbr,
		GPT: &volume.GPT{EntryCount: 128, EntrySize: 128, Entries: 1024, FirstUsable: 34 * 512, UsableEnd: diskSize - 33*512},
		Partitions: []volume.Partition{
			{Number: 1, Start: mib, Size: 10 * mib, Type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", UUID: "11111111-2222-3333-4444-555555555555", Name: "a"},
			{Number: 2, Start: 11 * mib, Size: 200 * mib, Type: "0fc63daf-8483-4772-8e79-3d69d8477de4", UUID: "21111111-2222-3333-4444-555555555555"},
		}}
}

func flip(t *testing.T, f *os.File, off int64) {
	t.Helper()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedGPT(t *testing.T) {
	const last = diskSize - 512
	for _, c := range []struct {
		name  string
		flips []int64
		kind  string
		note  string
	}{
		{"sound", nil, KindGPT, ""},
		{"primary header", []int64{512 + 40}, KindGPT, "The primary GPT is damaged (the header's checksum"},
		{"primary signature", []int64{512}, KindGPT, "The primary GPT is damaged (there is no signature)"},
		{"primary entries", []int64{1024 + 60}, KindGPT, "The primary GPT is damaged (the entries' checksum"},
		{"backup header", []int64{last + 40}, KindGPT, "The backup GPT is missing or damaged"},
		{"both", []int64{512 + 40, last + 40}, KindNone, "neither is the backup"},
		{"no protective MBR", []int64{450}, KindDOS, ""}, // 0xee becomes 0xfe, which is a partition type like any other
	} {
		t.Run(c.name, func(t *testing.T) {
			f, size := gptDisk(t)
			for _, off := range c.flips {
				flip(t, f, off)
			}
			if c.name == "no protective MBR" {
				f.WriteAt([]byte{0, 1, 0, 0}, 446+12) // 256 sectors, so that it is a possible one
			}
			tbl, err := Read(f, size, 512)
			if err != nil {
				t.Fatal(err)
			}
			if tbl.Kind != c.kind || !strings.Contains(strings.Join(tbl.Notes, " "), c.note) || (c.note == "") != (len(tbl.Notes) == 0) {
				t.Fatalf("kind %q, notes %q", tbl.Kind, tbl.Notes)
			}
			if tbl.Kind == KindGPT {
				if d := cmp.Diff(sampleGPT().Partitions, tbl.Partitions); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

func TestStaleBackup(t *testing.T) {
	f, size := gptDisk(t)
	if err := f.Truncate(size + 64*mib); err != nil {
		t.Fatal(err)
	}
	tbl, err := Read(f, size+64*mib, 512)
	if err != nil || len(tbl.Notes) != 1 || !strings.Contains(tbl.Notes[0], "not at the end") {
		t.Fatal(tbl, err)
	}
	// The primary table is gone after the disk grew: the backup is not where anybody would look.
	flip(t, f, 512)
	tbl, err = Read(f, size+64*mib, 512)
	if err != nil || tbl.Kind != KindNone {
		t.Fatal(tbl, err)
	}
}

func TestTooSmall(t *testing.T) {
	tbl := sampleGPT()
	need := MinSize(tbl, 512)
	if want := int64(211*mib + 33*512); need != want {
		t.Errorf("MinSize %d, want %d", need, want)
	}
	_, err := Layout(tbl, need-512, 512)
	var small *TooSmallError
	if !errors.As(err, &small) || small.Need != need || small.Have != need-512 || !strings.Contains(err.Error(), "512 bytes too small") {
		t.Error(err)
	}
	if _, err := Layout(tbl, need, 512); err != nil {
		t.Error(err)
	}
}

// A disk of 4096-byte sectors whose image file is read as if it had 512-byte ones.
func TestOtherSectorSize(t *testing.T) {
	f, size := volumetest.Open(t, volumetest.Sparse(t, diskSize))
	if err := Write(f, sampleGPT(), size, 4096); err != nil {
		t.Fatal(err)
	}
	tbl, err := Read(f, size, 512)
	if err != nil || tbl.SectorSize != 4096 || len(tbl.Notes) != 1 {
		t.Fatalf("%+v %v", tbl, err)
	}
	if d := cmp.Diff(sampleGPT().Partitions, tbl.Partitions); d != "" {
		t.Error(d)
	}
}

// What is not a table that can be trusted is captured whole.
func TestNotATable(t *testing.T) {
	volumetest.Need(t, "mkfs.fat")
	for _, c := range []struct {
		name string
		make func(t *testing.T, path string)
		note string
	}{
		{"blank", func(*testing.T, string) {}, "no partition table"},
		{"fat", func(t *testing.T, p string) { volumetest.Run(t, "mkfs.fat", "-I", p) }, "empty"},
		{"fat with a table for show", func(t *testing.T, p string) { volumetest.Run(t, "mkfs.fat", "-I", "--mbr=y", p) }, "describes the disk itself"},
		{"dynamic disk", func(t *testing.T, p string) { patch(t, p, 0x42, 63, 1000) }, "dynamic disk"},
		{"beyond the end", func(t *testing.T, p string) { patch(t, p, 0x83, 63, 1<<30) }, "not sound"},
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

// A boot loader in the gap is captured; what Write makes is not.
func TestRegions(t *testing.T) {
	f, size := gptDisk(t)
	tbl, err := Read(f, size, 512)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]volume.Extent{{Offset: 24576, Length: mib - 24576}}, tbl.Regions); d != "" {
		t.Error(d)
	}
	if _, err := f.WriteAt([]byte{1}, 20000); err != nil {
		t.Fatal(err)
	}
	if tbl, err = Read(f, size, 512); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]volume.Extent{{Offset: 34 * 512, Length: mib - 34*512}}, tbl.Regions); d != "" {
		t.Error(d)
	}
	if _, err := Layout(tbl, size, 4096); err == nil || !strings.Contains(err.Error(), "boot loader code") {
		t.Error(err)
	}
}

// A table from a hostile image must not reach a disk, nor cost memory.
func TestHostileTable(t *testing.T) {
	for name, change := range map[string]func(*volume.Table){
		"kind":          func(t *volume.Table) { t.Kind = "apm" },
		"no facts":      func(t *volume.Table) { t.GPT = nil },
		"entries":       func(t *volume.Table) { t.GPT.EntryCount = 1 << 40 },
		"entry size":    func(t *volume.Table) { t.GPT.EntrySize = 1 << 40 },
		"array":         func(t *volume.Table) { t.GPT.Entries = 1 << 62 },
		"negative":      func(t *volume.Table) { t.Partitions[0].Start = -4096 },
		"overflow":      func(t *volume.Table) { t.Partitions[1].Size = 1<<63 - 1 },
		"zero":          func(t *volume.Table) { t.Partitions[0].Number = 0 },
		"twice":         func(t *volume.Table) { t.Partitions[0].Number = 2 },
		"number":        func(t *volume.Table) { t.Partitions[0].Number = 129 },
		"overlap":       func(t *volume.Table) { t.Partitions[0].Size = 11 * mib },
		"on the table":  func(t *volume.Table) { t.Partitions[0].Start, t.Partitions[0].Size = 4096, 4096 },
		"type":          func(t *volume.Table) { t.Partitions[0].Type = "linux" },
		"no type":       func(t *volume.Table) { t.Partitions[0].Type = "00000000-0000-0000-0000-000000000000" },
		"uuid":          func(t *volume.Table) { t.Partitions[0].UUID = "" },
		"name":          func(t *volume.Table) { t.Partitions[0].Name = strings.Repeat("x", 37) },
		"mbr":           func(t *volume.Table) { t.MBR = t.MBR[:100] },
		"logical":       func(t *volume.Table) { t.Kind, t.Partitions[0].Number, t.Partitions[0].Type = KindDOS, 5, "0x83" },
		"region":        func(t *volume.Table) { t.Regions = []volume.Extent{{Offset: 0, Length: 4096}} },
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
