package table

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/testenv/need"
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
start=@1, size=@20, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=11111111-2222-3333-4444-555555555555, ` +
		`name="EFI System"
size=@100, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, uuid=61111111-2222-3333-4444-555555555555, name="root"
size=@30, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, uuid=71111111-2222-3333-4444-555555555555`},
	{name: "gpt-attributes", script: `label: gpt
1 : start=@1, size=@4, type=21686148-6449-6E6F-744E-656564454649, name="bios"
3 : start=@9, size=@20, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name="Größe 数 🦆", ` +
		`attrs="RequiredPartition LegacyBIOSBootable GUID:60,63"
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
	need.Root(t)
	need.Tools(t, "sfdisk", "sgdisk", "losetup")
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
		if out := volumetest.Run(t, "sgdisk", "-v", dev); !strings.Contains(out, "No problems found") &&
			!hybrid(tbl.MBR) {
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

func restoreTable(t *testing.T, src *os.File, tbl *volume.Table, want []volume.Partition, size int64, ss int,
	name string) {
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
