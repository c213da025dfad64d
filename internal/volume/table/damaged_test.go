package table

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

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
	return &volume.Table{Kind: KindGPT, SectorSize: 512, DiskSize: diskSize,
		DiskID: "3d3c1b50-0f0b-4c5c-9c3a-7d2f0b0d7a11", MBR: mbr,
		GPT: &volume.GPT{EntryCount: 128, EntrySize: 128, Entries: 1024, FirstUsable: 34 * 512,
			UsableEnd: diskSize - 33*512},
		Partitions: []volume.Partition{
			{Number: 1, Start: mib, Size: 10 * mib, Type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
				UUID: "11111111-2222-3333-4444-555555555555", Name: "a"},
			{Number: 2, Start: 11 * mib, Size: 200 * mib, Type: "0fc63daf-8483-4772-8e79-3d69d8477de4",
				UUID: "21111111-2222-3333-4444-555555555555"},
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
			if tbl.Kind != c.kind || !strings.Contains(strings.Join(tbl.Notes, " "), c.note) ||
				(c.note == "") != (len(tbl.Notes) == 0) {
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
	if !errors.As(err, &small) || small.Need != need || small.Have != need-512 ||
		!strings.Contains(err.Error(), "512 bytes too small") {
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

// TestCutGPT has a disk that is smaller than its own GPT says: that is no damage that a tool repairs.
func TestCutGPT(t *testing.T) {
	f, _ := gptDisk(t)
	for _, size := range []int64{diskSize - 40*512, diskSize / 2, mib} {
		if err := f.Truncate(size); err != nil {
			t.Fatal(err)
		}
		tbl, err := Read(f, size, 512)
		if err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(tbl.Notes, " ")
		if !tbl.Refused || !strings.Contains(notes, fmt.Sprintf("%d bytes are missing at its end", diskSize-size)) ||
			strings.Contains(notes, "sgdisk") {
			t.Errorf("%d bytes: refused %v, %s", size, tbl.Refused, notes)
		}
	}
}
