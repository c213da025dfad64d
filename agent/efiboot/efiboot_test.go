package efiboot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

func TestEnter(t *testing.T) {
	// Disks are only read: those with the same files are made once.
	all, disks, other := t, map[string]session.Disk{}, makeDisk(t, "gpt", otherGUID, debian)
	ssd := (&efivars.Option{Attributes: efivars.Active, Description: "UEFI SSD", Path: kinds["sata"].Path}).Bytes()
	for _, c := range []struct {
		name   string
		vars   map[string][]byte
		files  map[string]string
		want   string // the memory afterwards
		words  string
		writes int
	}{
		{"fresh variables", nil, debian,
			"0\nBoot0000 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi",
			`boot entry Boot0000 "debian (diskcast)" was made: it starts EFI/debian/shimx64.efi on partition 1`, 2},
		{"behind the network and before the rest",
			map[string][]byte{"Boot0000": pxe(), "Boot0001": ssd, "BootOrder": {0, 0, 1, 0}}, debian,
			"0,2,1\nBoot0000 \"UEFI PXEv4\"\nBoot0001 \"UEFI SSD\"\nBoot0002 \"debian (diskcast)\" aaaaaaaa@2048 " +
				"EFI/debian/shimx64.efi",
			"boot order 0000,0002,0001, the network before it as it was", 2},
		{"behind an entry that may be the network, and says so",
			map[string][]byte{"Boot0000": thinkPad("ON-PREMISE", "00112233445566778899aabbccddeeff").Bytes(),
				"Boot0001": ssd, "BootOrder": {0, 0, 1, 0}}, debian,
			"0,2,1\nBoot0000 \"ON-PREMISE\"\nBoot0001 \"UEFI SSD\"\nBoot0002 \"debian (diskcast)\" aaaaaaaa@2048 " +
				"EFI/debian/shimx64.efi",
			`Boot0000 "ON-PREMISE" before it may be the network and kept the place: if it is a disk, firmware starts ` +
				`that first`, 2},
		{"a damaged order is written anew, its whole numbers as they were",
			map[string][]byte{"Boot0000": pxe(), "Boot0001": ssd, "BootOrder": {0, 0, 1, 0, 7}}, debian,
			"0,2,1\nBoot0000 \"UEFI PXEv4\"\nBoot0001 \"UEFI SSD\"\nBoot0002 \"debian (diskcast)\" aaaaaaaa@2048 " +
				"EFI/debian/shimx64.efi",
			"BootOrder had half a number at its end", 2},
		{"a damaged order whose entry stands right is written anew all the same",
			map[string][]byte{"Boot0003": to(t, "debian (diskcast)", espGUID, 2048, "EFI/debian/shimx64.efi"),
				"BootOrder": {3, 0, 7}}, debian,
			"3\nBoot0003 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi", "written anew without it", 1},
		{"a number that only the order knows is left alone",
			map[string][]byte{"BootOrder": {0, 0}}, debian,
			"0,1\nBoot0001 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi", "Boot0001", 2},
		{"there already: nothing is written",
			map[string][]byte{"Boot0000": pxe(),
				"Boot0003":  to(t, "debian (diskcast)", espGUID, 2048, "EFI/debian/shimx64.efi"),
				"BootOrder": {0, 0, 3, 0}}, debian,
			"0,3\nBoot0000 \"UEFI PXEv4\"\nBoot0003 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi",
			"was there already", 0},
		{"an installer's entry for the loader is used, and kept as it is",
			map[string][]byte{"Boot0005": to(t, "debian", espGUID, 2048, "EFI/DEBIAN/SHIMX64.EFI"), "Boot0001": ssd,
				"BootOrder": {1, 0, 5, 0}}, debian,
			"5,1\nBoot0001 \"UEFI SSD\"\nBoot0005 \"debian\" aaaaaaaa@2048 EFI/DEBIAN/SHIMX64.EFI",
			`Boot0005 "debian" was there already`, 1},
		{"an entry with the partition at an older place is replaced",
			map[string][]byte{"Boot0005": to(t, "debian", espGUID, 4096, "EFI/debian/shimx64.efi"),
				"BootOrder": {5, 0}}, debian,
			"5\nBoot0005 \"debian\" aaaaaaaa@2048 EFI/debian/shimx64.efi", "was made anew", 1},
		{"an entry of ours for another loader of the partition is replaced",
			map[string][]byte{"Boot0002": to(t, "old (diskcast)", espGUID, 2048, "EFI/old/grubx64.efi"),
				"BootOrder": {2, 0}}, debian,
			"2\nBoot0002 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi", "was made anew", 1},
		{"duplicates of ours, and ours for partitions that are gone, are removed",
			map[string][]byte{
				"Boot0001":  to(t, "debian (diskcast)", espGUID, 2048, "EFI/debian/shimx64.efi"),
				"Boot0002":  to(t, "debian (diskcast)", espGUID, 2048, "EFI/debian/shimx64.efi"),
				"Boot0003":  to(t, "old (diskcast)", goneGUID, 2048, "EFI/old/grubx64.efi"),
				"BootOrder": {2, 0, 1, 0, 3, 0}}, debian,
			"1\nBoot0001 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi",
			"removed Boot0002, Boot0003 of earlier sessions", 5},
		{"entries of others for partitions that are gone, and ours for another disk, stay",
			map[string][]byte{"Boot0001": to(t, "Windows Boot Manager", goneGUID, 2048,
				"EFI/Microsoft/Boot/bootmgfw.efi"),
				"Boot0002":  to(t, "data (diskcast)", otherGUID, 2048, "EFI/debian/shimx64.efi"),
				"BootOrder": {1, 0, 2, 0}}, debian,
			"0,1,2\nBoot0000 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi\nBoot0001 \"Windows Boot " +
				"Manager\" cccccccc@2048 EFI/Microsoft/Boot/bootmgfw.efi\nBoot0002 \"data (diskcast)\" bbbbbbbb@2048 " +
				"EFI/debian/shimx64.efi",
			"boot order 0000,0001,0002", 2},
		{"its own disk first and the network behind it: nothing is written",
			map[string][]byte{"Boot0007": to(t, "debian", espGUID, 2048, "EFI/debian/shimx64.efi"), "Boot0001": pxe(),
				"BootOrder": {7, 0, 1, 0}}, debian,
			"7,1\nBoot0001 \"UEFI PXEv4\"\nBoot0007 \"debian\" aaaaaaaa@2048 EFI/debian/shimx64.efi",
			"boot order 0007,0001, the network behind it as it was behind a disk", 0},
		{"another disk for the next start alone is told",
			map[string][]byte{"Boot0001": ssd, "BootOrder": {1, 0}, "BootNext": {1, 0}}, debian,
			"0,1\nBoot0000 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi\nBoot0001 \"UEFI SSD\"",
			`the next restart is for Boot0001 ("UEFI SSD") alone, since BootNext is set`, 2},
		{"a damaged entry keeps its number",
			map[string][]byte{"Boot0000": {1, 2, 3}, "BootOrder": {0, 0}}, debian,
			"0,1\nBoot0000 damaged\nBoot0001 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi", "Boot0001",
			2},
		{"an entry that is switched off is its operator's",
			map[string][]byte{"Boot0000": append([]byte{0},
				to(t, "debian", espGUID, 2048, "EFI/debian/shimx64.efi")[1:]...), "BootOrder": {0, 0}}, debian,
			"0,1\nBoot0000 \"debian\" aaaaaaaa@2048 EFI/debian/shimx64.efi\nBoot0001 \"debian (diskcast)\" " +
				"aaaaaaaa@2048 EFI/debian/shimx64.efi", "Boot0001", 2},
		{"the fallback gets an entry too: older entries may name another disk",
			nil, map[string]string{"EFI/BOOT/BOOTX64.EFI": "f"},
			"0\nBoot0000 \"BOOT (diskcast)\" aaaaaaaa@2048 EFI/BOOT/BOOTX64.EFI",
			"what firmware starts that knows nothing of the disk", 2},
		{"the loader whose copy the fallback is",
			nil, map[string]string{"EFI/BOOT/BOOTX64.EFI": "same", "EFI/systemd/systemd-bootx64.efi": "same"},
			"0\nBoot0000 \"systemd (diskcast)\" aaaaaaaa@2048 EFI/systemd/systemd-bootx64.efi",
			"the same program as EFI/BOOT/BOOTX64.EFI", 2},
		{"a fallback of no bytes is none, and the words say so",
			nil, map[string]string{"EFI/BOOT/BOOTX64.EFI": "", "EFI/debian/shimx64.efi": "s"},
			"0\nBoot0000 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi",
			"; EFI/BOOT/BOOTX64.EFI is empty: firmware does not start it", 2},
		{"what an entry in the order names decides between two loaders",
			map[string][]byte{"Boot0001": to(t, "debian", espGUID, 2048, "EFI/debian/shimx64.efi"),
				"BootOrder": {1, 0}},
			map[string]string{"EFI/BOOT/BOOTX64.EFI": "w", "EFI/systemd/systemd-bootx64.efi": "w",
				"EFI/debian/shimx64.efi": "s"},
			"1\nBoot0001 \"debian\" aaaaaaaa@2048 EFI/debian/shimx64.efi", "what Boot0001 names already", 0},
		{"an entry whose loader the disk does not have decides nothing, and stays",
			map[string][]byte{"Boot0001": to(t, "fedora", espGUID, 2048, "EFI/fedora/shimx64.efi"),
				"BootOrder": {1, 0}}, debian,
			"0,1\nBoot0000 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi\nBoot0001 \"fedora\" " +
				"aaaaaaaa@2048 EFI/fedora/shimx64.efi", "Boot0000", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := fmt.Sprint(c.files)
			d, made := disks[key]
			if !made {
				d = makeDisk(all, "gpt", espGUID, c.files)
				disks[key] = d
			}
			n := &nvram{vars: maps.Clone(c.vars)}
			if n.vars == nil {
				n.vars = map[string][]byte{}
			}
			m := &Machine{Root: uefi(t, 64), Disks: func() []session.Disk { return []session.Disk{other, d} }, Vars: n}
			words, err := m.Enter(d)
			if err != nil {
				t.Fatal(err)
			}
			if got := n.show(t); got != c.want {
				t.Errorf("the firmware's memory is\n%s\nwant\n%s", got, c.want)
			}
			if !strings.Contains(words, c.words) {
				t.Errorf("it says %q, want %q in it", words, c.words)
			}
			if len(n.writes) != c.writes {
				t.Errorf("%d writes, want %d: %v", len(n.writes), c.writes, n.writes)
			}
			// A second session changes nothing.
			n.writes = nil
			if words, err = m.Enter(d); err != nil || !strings.Contains(words, "was there already") ||
				len(n.writes) > 0 {
				t.Errorf("the second time: %q, %v, writes %v", words, err, n.writes)
			}
		})
	}
}

// TestEnterSaysWhatItCannot has the words for every way in which a machine is left without an entry.
func TestEnterSaysWhatItCannot(t *testing.T) {
	gpt := func(files map[string]string) func(*testing.T) session.Disk {
		return func(t *testing.T) session.Disk { return makeDisk(t, "gpt", espGUID, files) }
	}
	unbootable := ErrUnbootable.Error()
	withFallback := map[string]string{"EFI/BOOT/BOOTX64.EFI": "f"}
	old := to(t, "debian", espGUID, 4096, "EFI/debian/shimx64.efi")
	for _, c := range []struct {
		name  string
		bits  int
		disk  func(*testing.T) session.Disk
		nvram *nvram
		want  []string
	}{
		{"the memory is full", 64, gpt(debian), &nvram{refuse: map[string]error{"Boot0000": unix.ENOSPC}},
			[]string{unbootable, "EFI/debian/shimx64.efi", "Boot0000", "memory for variables is full", "efibootmgr",
				"copy EFI/debian/shimx64.efi to EFI/BOOT/BOOTX64.EFI on its EFI system partition, and the " +
					"grubx64.efi beside it"}},
		{"the order cannot be written: the entry is taken back", 64, gpt(debian),
			&nvram{refuse: map[string]error{"BootOrder": unix.EPERM}},
			[]string{unbootable, "writing BootOrder", "protected"}},
		{"with a fallback there is hope", 64, gpt(withFallback),
			&nvram{refuse: map[string]error{"Boot0000": unix.EROFS}},
			[]string{"no boot entry was made", "Firmware starts EFI/BOOT/BOOTX64.EFI of this disk, if"}},
		{"firmware that forgets the entry", 64, gpt(debian), &nvram{forget: "Boot0000"},
			[]string{unbootable, "Boot0000 was written and cannot be read back"}},
		{"firmware that forgets the order", 64, gpt(debian),
			&nvram{vars: map[string][]byte{"BootOrder": {7, 0}}, forget: "BootOrder"},
			[]string{unbootable, "did not keep what was written to BootOrder"}},
		{"an order that cannot be written, with the entry in it", 64, gpt(debian),
			&nvram{refuse: map[string]error{"BootOrder": unix.EPERM},
				vars: map[string][]byte{"Boot0001": pxe(), "Boot0002": to(t, "sata", otherGUID, 2048, "EFI/x.efi"),
					"Boot0003": old, "BootOrder": {1, 0, 2, 0, 3, 0}}},
			[]string{`boot entry Boot0003 was made anew, but it did not get its place`, "protected",
				"boot order 0001,0002,0003,"}},
		{"an order that cannot be written, with the entry not in it: the entry is as it was", 64, gpt(debian),
			&nvram{refuse: map[string]error{"BootOrder": unix.EPERM},
				vars: map[string][]byte{"Boot0003": old, "BootOrder": {}}},
			[]string{unbootable, "none was put into the boot order", "protected"}},
		{"no EFI variables in the kernel", 64, gpt(debian), nil,
			[]string{unbootable, "the kernel offers no EFI variables"}},
		{"a loader for another processor", 32, gpt(map[string]string{"EFI/debian/shimx64.efi": "s"}), &nvram{},
			[]string{unbootable, "another processor", "ia32", "EFI/debian/shimx64.efi"}},
		{"a fallback of no bytes alone", 64, gpt(map[string]string{"EFI/BOOT/BOOTX64.EFI": ""}), &nvram{},
			[]string{unbootable, "no boot loader", "EFI/BOOT/BOOTX64.EFI is empty"}},
		{"a fallback that is for another processor", 64, gpt(map[string]string{"EFI/BOOT/BOOTAA64.EFI": "f"}), &nvram{},
			[]string{unbootable, "EFI/BOOT/BOOTAA64.EFI is a program for x64"}},
		{"an EFI system partition without loader", 64, gpt(map[string]string{"EFI/debian/grub.cfg": "x"}), &nvram{},
			[]string{unbootable, "EFI system partition (1) has no boot loader"}},
		{"no EFI system partition", 64, func(t *testing.T) session.Disk { return makeDisk(t, "gpt", "", nil) },
			&nvram{}, []string{unbootable, "starts by UEFI", "no EFI system partition"}},
		{"an EFI system partition that is no FAT", 64, func(t *testing.T) session.Disk {
			d := makeDisk(t, "gpt", espGUID, debian)
			write(t, d.Path, 1<<20, bytes.Repeat([]byte{0x55}, 4096))
			return d
		}, &nvram{}, []string{unbootable, "partition 1, the EFI system partition, cannot be read", "FAT"}},
		{"a disk for BIOS on UEFI", 64, func(t *testing.T) session.Disk {
			d := makeDisk(t, "dos", "", nil)
			write(t, d.Path, 0, []byte{0xfa, 0x33, 0xc0})
			return d
		}, &nvram{}, []string{unbootable, "boot code for BIOS", "CSM"}},
		{"a disk for UEFI on BIOS", 0, gpt(debian), &nvram{}, []string{unbootable, "starts by BIOS", "UEFI only"}},
		{"a disk without boot code on BIOS", 0, func(t *testing.T) session.Disk { return makeDisk(t, "dos", "", nil) },
			&nvram{}, []string{unbootable, "no boot code"}},
		{"two disks with one identity", 64, gpt(debian), &nvram{},
			[]string{`"debian (diskcast)" was made`, "same identity"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.disk(t)
			m := &Machine{Root: uefi(t, c.bits), Disks: func() []session.Disk { return []session.Disk{d} }}
			if c.nvram != nil {
				if c.nvram.vars == nil {
					c.nvram.vars = map[string][]byte{}
				}
				m.Vars = c.nvram
			}
			if c.name == "two disks with one identity" {
				twin := makeDisk(t, "gpt", espGUID, debian)
				m.Disks = func() []session.Disk { return []session.Disk{d, twin} }
			}
			words, err := m.Enter(d)
			if err == nil {
				t.Fatalf("all is well, it says: %s", words)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
			if got, want := errors.Is(err, ErrUnbootable), c.want[0] == unbootable; got != want {
				t.Errorf("%q is ErrUnbootable: %v, want %v", err, got, want)
			}
			if c.nvram == nil || c.nvram.refuse["BootOrder"] == nil {
				return
			}
			switch kept := c.nvram.vars["Boot0003"]; {
			case c.nvram.vars["Boot0000"] != nil:
				t.Errorf("an entry that nothing starts was left behind: %s", c.nvram.show(t))
			case kept != nil && bytes.Equal(kept, old) != errors.Is(err, ErrUnbootable):
				t.Errorf("Boot0003 is %x", kept)
			}
		})
	}
}

func write(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, at)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestOtherWays need no entry or another kind of it.
func TestOtherWays(t *testing.T) {
	t.Run("boot code on BIOS", func(t *testing.T) {
		d := makeDisk(t, "dos", "", nil)
		write(t, d.Path, 0, []byte{0xfa, 0x33, 0xc0})
		if words, err := (&Machine{Root: uefi(t, 0)}).Enter(d); err != nil ||
			!strings.Contains(words, "starts by BIOS") {
			t.Errorf("%q, %v", words, err)
		}
	})
	t.Run("32-bit firmware", func(t *testing.T) {
		n := &nvram{vars: map[string][]byte{}}
		d := makeDisk(t, "gpt", espGUID, debian)
		if _, err := (&Machine{Root: uefi(t, 32), Vars: n}).Enter(d); err != nil ||
			!strings.Contains(n.show(t), "EFI/debian/shimia32.efi") {
			t.Errorf("%v: %s", err, n.show(t))
		}
	})
	t.Run("an MBR", func(t *testing.T) {
		n := &nvram{vars: map[string][]byte{}}
		d := makeDisk(t, "dos", "esp", debian)
		run(t, "", "sfdisk", "-q", "--disk-id", d.Path, "0x1234abcd")
		if _, err := (&Machine{Root: uefi(t, 64), Vars: n}).Enter(d); err != nil ||
			!strings.Contains(n.show(t), "0x1234ab@2048 EFI/debian/shimx64.efi") {
			t.Errorf("%v: %s", err, n.show(t))
		}
	})
	t.Run("a file system on the whole disk", func(t *testing.T) {
		need.Tools(t, "mkfs.fat", "mmd", "mcopy")
		path := filepath.Join(t.TempDir(), "disk.raw")
		run(t, "", "mkfs.fat", "-C", path, "8192")
		run(t, "", "mmd", "-i", path, "::/EFI", "::/EFI/BOOT")
		run(t, pe+"f", "mcopy", "-i", path, "-", "::/EFI/BOOT/BOOTX64.EFI")
		n := &nvram{vars: map[string][]byte{}}
		words, err := (&Machine{Root: uefi(t, 64), Vars: n}).Enter(session.Disk{Path: path, Size: 8 << 20,
			SectorSize: 512})
		if err != nil || len(n.writes) > 0 || !strings.Contains(words, "firmware finds EFI/BOOT/BOOTX64.EFI") {
			t.Errorf("%q, %v, %v", words, err, n.writes)
		}
	})
}

// TestTidyWithout has a machine whose disk gets no entry any more: what earlier sessions made for it is removed, and
// nothing else.
func TestTidyWithout(t *testing.T) {
	vars := func() map[string][]byte {
		return map[string][]byte{
			"Boot0000":  to(t, "debian (diskcast)", espGUID, 2048, "EFI/debian/shimx64.efi"),
			"Boot0001":  to(t, "data (diskcast)", otherGUID, 2048, "EFI/debian/shimx64.efi"),
			"Boot0002":  to(t, "Windows Boot Manager", goneGUID, 2048, "EFI/Microsoft/Boot/bootmgfw.efi"),
			"Boot0003":  pxe(),
			"BootOrder": {3, 0, 0, 0, 1, 0, 2, 0},
		}
	}
	other := makeDisk(t, "gpt", otherGUID, debian)
	spoilt := makeDisk(t, "gpt", espGUID, debian)
	write(t, spoilt.Path, 1<<20, bytes.Repeat([]byte{0x55}, 4096))
	const kept = "3,0,1,2\nBoot0000 \"debian (diskcast)\" aaaaaaaa@2048 EFI/debian/shimx64.efi\n"
	const rest = "Boot0001 \"data (diskcast)\" bbbbbbbb@2048 EFI/debian/shimx64.efi\n" +
		"Boot0002 \"Windows Boot Manager\" cccccccc@2048 EFI/Microsoft/Boot/bootmgfw.efi\nBoot0003 \"UEFI PXEv4\""
	for _, c := range []struct {
		name       string
		disk       session.Disk
		disks      func() []session.Disk
		nvram      nvram
		want, says string
	}{
		{"no EFI system partition any more", makeDisk(t, "gpt", "", nil), nil, nvram{}, "3,1,2\n" + rest,
			"; removed Boot0000 of earlier sessions"},
		{"one without a loader", makeDisk(t, "gpt", espGUID, map[string]string{"EFI/debian/grub.cfg": "x"}), nil,
			nvram{}, "3,1,2\n" + rest, "; removed Boot0000 of earlier sessions"},
		{"one that cannot be read: nothing is removed", spoilt, nil, nvram{}, kept + rest, "cannot be read"},
		{"other disks are not known: nothing is removed", makeDisk(t, "gpt", "", nil), func() []session.Disk {
			return []session.Disk{{Path: "/nonexistent"}}
		}, nvram{}, kept + rest, "no EFI system partition"},
		{"variables that cannot be written", makeDisk(t, "gpt", "", nil), nil,
			nvram{refuse: map[string]error{"BootOrder": unix.EPERM}}, kept + rest,
			"; could not remove Boot0000 (writing BootOrder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := c.nvram
			n.vars = vars()
			m := &Machine{Root: uefi(t, 64), Disks: c.disks, Vars: &n}
			if m.Disks == nil {
				m.Disks = func() []session.Disk { return []session.Disk{other, c.disk} }
			}
			_, err := m.Enter(c.disk)
			if !errors.Is(err, ErrUnbootable) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v, want %q in it", err, c.says)
			}
			if got := n.show(t); got != c.want {
				t.Errorf("the firmware's memory is\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestEfibootmgr has efibootmgr read what Enter wrote, in a directory that stands for efivarfs.
func TestEfibootmgr(t *testing.T) {
	need.Tools(t, "efibootmgr")
	dir := efivars.Dir(t.TempDir() + "/")
	if err := dir.Set("Boot0004", pxe()); err != nil {
		t.Fatal(err)
	}
	if err := dir.Set("BootOrder", []byte{9, 0, 8, 0, 7, 0, 4, 0, 6, 0}); err != nil {
		t.Fatal(err)
	}
	if err := dir.Set("BootOrder", []byte{4, 0}); err != nil {
		t.Fatal(err)
	}
	d := makeDisk(t, "gpt", espGUID, debian)
	if _, err := (&Machine{Root: uefi(t, 64), Vars: dir}).Enter(d); err != nil {
		t.Fatal(err)
	}
	t.Setenv("EFIVARFS_PATH", string(dir))
	out := run(t, "", "efibootmgr", "-v")
	for _, want := range []string{
		"BootOrder: 0004,0000\n",
		"Boot0000* debian (diskcast)\tHD(1,GPT," + espGUID + ",0x800,0xa000)/File(\\EFI\\debian\\shimx64.efi)\n",
		"Boot0004* UEFI PXEv4\t",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("efibootmgr -v lacks %q:\n%s", want, out)
		}
	}
	if err := dir.Remove("Boot0000"); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.Get("Boot0000"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a variable that was removed: %v", err)
	}
}

// TestEnterIsBrief has the words of a machine with thousands of entries, which an event must carry.
func TestEnterIsBrief(t *testing.T) {
	n := &nvram{vars: map[string][]byte{}}
	var order []uint16
	for id := range uint16(5000) {
		n.vars[efivars.Name(id)] = (&efivars.Option{Attributes: efivars.Active, Description: "Slot"}).Bytes()
		order = append(order, id)
	}
	n.vars["BootOrder"] = efivars.OrderBytes(order)
	words, err := (&Machine{Root: uefi(t, 64), Vars: n}).Enter(makeDisk(t, "gpt", espGUID, debian))
	if err != nil || len(words) > 2000 || !strings.Contains(words, "0017,and 4977 more; Boot0000") ||
		!strings.Contains(words, "4976 more before it may be") {
		t.Errorf("%d bytes: %v, %s", len(words), err, words)
	}
}
