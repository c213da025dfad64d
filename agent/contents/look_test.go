package contents

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const mib = 1 << 20

func diskOf(path string, size int64) session.Disk {
	return session.Disk{Path: path, Size: size, SectorSize: 512, Serial: "one"}
}

// look is what Look says of a file.
func look(t *testing.T, path string) session.Content {
	t.Helper()
	f, size := volumetest.Open(t, path)
	return Look(t.Context(), f, diskOf(path, size))
}

// TestLook makes a disk by foreign tools, and has sfdisk and blkid say what is on it.
func TestLook(t *testing.T) {
	need.Tools(t, "sfdisk", "mkfs.vfat", "mkfs.ext4", "mkfs.ntfs", "blkid", "mcopy", "mmd")
	disk := volumetest.Sparse(t, 160*mib)
	volumetest.RunIn(t, "label: gpt\nstart=2048,size=64M,type=U,name=\"EFI System\"\nsize=40M,name=root\nsize=40M\n"+
		"size=8M,name=blank\n", "sfdisk", "--quiet", disk)
	var parts struct {
		Table struct {
			ID         string
			Partitions []struct {
				Start, Size int64
				UUID, Name  string
			}
		} `json:"partitiontable"`
	}
	if err := json.Unmarshal([]byte(volumetest.Run(t, "sfdisk", "--json", disk)), &parts); err != nil {
		t.Fatal(err)
	}
	at := func(i int) int64 { return parts.Table.Partitions[i].Start * 512 }
	volumetest.Run(t, "mkfs.vfat", "-F", "16", "-n", "ESP", fmt.Sprintf("--offset=%d", at(0)/512), disk, "65536")
	// The folders lie behind what is read to tell file systems apart.
	volumetest.Run(t, "mcopy", "-i", fmt.Sprintf("%s@@%d", disk, at(0)), volumetest.Sparse(t, 4*mib), "::first")
	volumetest.Run(t, "mmd", "-i", fmt.Sprintf("%s@@%d", disk, at(0)), "::EFI", "::EFI/debian")
	// The head of a program for x64: MZ, where the PE header is, and the machine in it.
	program := append([]byte("MZ"), make([]byte, 126)...)
	program[0x3c] = 0x40
	copy(program[0x40:], "PE\x00\x00\x64\x86")
	loader := t.TempDir() + "/shimx64.efi"
	if err := os.WriteFile(loader, program, 0o600); err != nil {
		t.Fatal(err)
	}
	volumetest.Run(t, "mcopy", "-i", fmt.Sprintf("%s@@%d", disk, at(0)), loader, "::EFI/debian/shimx64.efi")
	volumetest.Run(t, "mkfs.ext4", "-q", "-L", "rootfs", "-E", fmt.Sprintf("offset=%d", at(1)), disk, "40m")
	ntfs := volumetest.Sparse(t, 40*mib)
	volumetest.Run(t, "mkfs.ntfs", "-q", "-F", "-f", "-L", "data", ntfs)
	volumetest.Run(t, "dd", "if="+ntfs, "of="+disk, "bs=1M", "conv=notrunc,sparse", "oflag=seek_bytes",
		fmt.Sprintf("seek=%d", at(2)))

	got := look(t, disk)
	if got.Table != "gpt" || !strings.EqualFold(got.TableID, parts.Table.ID) || got.Problem != "" || got.Doubt != "" ||
		len(got.Partitions) != 4 {
		t.Fatalf("%+v", got)
	}
	for i, p := range got.Partitions {
		foreign := blkid(t, disk, p.Start, p.Size)
		sf := parts.Table.Partitions[i]
		want := session.PartitionContent{Number: i + 1, Start: sf.Start * 512, Size: sf.Size * 512, Name: sf.Name,
			UUID: strings.ToLower(sf.UUID), FS: foreign["TYPE"], Label: foreign["LABEL"]}
		if want.FS == "" {
			want.FS = "raw"
		}
		if d := cmp.Diff(want, p); d != "" {
			t.Errorf("partition %d (-foreign +ours): %s", i+1, d)
		}
	}
	if d := cmp.Diff([]string{"debian (UEFI)"}, got.Starts); d != "" {
		t.Errorf("what starts: %s", d)
	}
	// The second partition cannot be read: what is in it is not known, and the others are told.
	f, size := volumetest.Open(t, disk)
	c := Look(t.Context(), failing{f, at(1), at(2)}, diskOf(disk, size))
	if !strings.HasPrefix(c.Problem, "partition 2: ") || len(c.Partitions) != 4 || c.More != 0 ||
		c.Partitions[1].FS != "" || c.Partitions[2].FS != "ntfs" {
		t.Errorf("a disk of which a part cannot be read: %+v", c)
	}

	// The folder of the boot loader cannot be read: that there is none is not said.
	raw, err := os.ReadFile(disk)
	if err != nil {
		t.Fatal(err)
	}
	entry := int64(bytes.Index(raw, []byte("SHIMX64 EFI")))
	if entry < at(0) || entry >= at(1) {
		t.Fatalf("the boot loader's name is at byte %d", entry)
	}
	c = Look(t.Context(), failing{f, entry, entry + 1}, diskOf(disk, size))
	if !strings.HasPrefix(c.Problem, "partition 1: what starts from it: ") || len(c.Partitions) != 4 ||
		len(c.Starts) != 0 {
		t.Errorf("an EFI system partition of which a folder cannot be read: %+v", c)
	}
}

// blkid is what libblkid says of a part of a file.
func blkid(t *testing.T, path string, off, size int64) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), need.Tool(t, "blkid"), "-p", "-o", "export", "-O", fmt.Sprint(off),
		"-S", fmt.Sprint(size), path).Output()
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 2) { // 2: nothing found
		t.Fatal(err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(out)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		fields[k] = strings.ReplaceAll(v, `\ `, " ")
	}
	return fields
}

// failing cannot be read from a byte up to another.
type failing struct {
	*os.File
	from, to int64
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.from && off < f.to {
		return 0, errors.New("input/output error")
	}
	return f.File.ReadAt(p, off)
}

// TestLookOthers has disks without a partition table, and one whose table contradicts itself.
func TestLookOthers(t *testing.T) {
	need.Tools(t, "sfdisk", "mkfs.ext4")
	blank := volumetest.Sparse(t, 16*mib)
	if c := look(t, blank); c.Table != "none" || len(c.Partitions) != 0 || c.Problem != "" || c.Doubt != "" {
		t.Errorf("blank: %+v", c)
	}
	whole := volumetest.Sparse(t, 16*mib)
	volumetest.Run(t, "mkfs.ext4", "-q", "-L", "whole", whole)
	if c := look(t, whole); len(c.Partitions) != 1 || c.Partitions[0].FS != "ext4" ||
		c.Partitions[0].Label != "whole" || c.Partitions[0].Number != 0 {
		t.Errorf("a file system on the whole disk: %+v", c)
	}
	torn := volumetest.Sparse(t, 16*mib)
	volumetest.RunIn(t, "label: gpt\nsize=4M\n", "sfdisk", "--quiet", torn)
	volumetest.Poke(t, torn, 512, func(p []byte) { copy(p, "no header") })
	volumetest.Poke(t, torn, 16*mib-512, func(p []byte) { copy(p, "no header") })
	if c := look(t, torn); c.Doubt == "" || c.Table != "" || len(c.Partitions) != 0 {
		t.Errorf("a GPT without headers: %+v", c)
	}
	dos := volumetest.Sparse(t, 16*mib)
	volumetest.RunIn(t, "label: dos\nsize=4M\n", "sfdisk", "--quiet", dos)
	volumetest.Poke(t, dos, 0, func(p []byte) { copy(p, "\xeb\x63 GRUB ") })
	if c := look(t, dos); c.Table != "dos" || len(c.Starts) != 1 || c.Starts[0] != "GRUB (BIOS)" ||
		!strings.HasSuffix(c.Partitions[0].UUID, "-01") {
		t.Errorf("MBR: %+v", c)
	}
}

// badSector cannot be read in some bytes.
type badSector struct {
	io.ReaderAt
	from, to int64
}

func (b badSector) ReadAt(p []byte, off int64) (int, error) {
	if off < b.to && off+int64(len(p)) > b.from {
		return 0, syscall.EIO
	}
	return b.ReaderAt.ReadAt(p, off)
}

// TestLookBadSector: what cannot be read of one partition is told as an error of reading, and the others are told.
func TestLookBadSector(t *testing.T) {
	need.Tools(t, "sfdisk", "mkfs.ext4")
	path := volumetest.Sparse(t, 64*mib)
	volumetest.Run(t, "sh", "-c", "printf 'label: gpt\\nsize=16MiB\\nsize=16MiB\\n' | sfdisk -q "+path)
	volumetest.Run(t, "mkfs.ext4", "-q", "-L", "second", "-E", "offset=17825792", path, "16M")
	f, size := volumetest.Open(t, path)
	c := Look(t.Context(), badSector{f, mib + 1024, mib + 2048}, diskOf("/dev/sda", size))
	if len(c.Partitions) != 2 || c.Partitions[0].FS != "" || c.Partitions[1].Label != "second" ||
		!strings.Contains(c.Problem, "input/output error") || strings.Contains(c.Problem, "encryption") {
		t.Errorf("%+v", c)
	}
}

// TestLookEnds stops when it is told to, and says so.
func TestLookEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errWork)
	if c := Look(ctx, bytes.NewReader(make([]byte, mib)), diskOf("/dev/sda", mib)); !strings.Contains(c.Problem,
		errWork.Error()) {
		t.Errorf("%+v", c)
	}
}

// FuzzLook reads any disk without harm, and tells of it within bounds.
func FuzzLook(f *testing.F) {
	f.Add(make([]byte, 4096))
	f.Add(append(bytes.Repeat([]byte("x"), 510), 0x55, 0xaa))
	f.Fuzz(func(t *testing.T, disk []byte) {
		c := Look(t.Context(), bytes.NewReader(disk), diskOf("/dev/sda", int64(len(disk))))
		inv := session.Inventory{Disks: []session.Disk{diskOf("/dev/sda", int64(len(disk)))},
			Survey: &session.Survey{Disks: []session.Content{c}}}
		inv.BoundSurvey()
		if d := cmp.Diff([]session.Content{c}, inv.Survey.Disks); d != "" {
			t.Errorf("a server would not believe it: %s", d)
		}
	})
}
