package esp

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/volume/fat"
)

// tree is a partition as a test writes it down: path and content.
type tree map[string]string

func (t tree) List(dir string) ([]fat.Entry, error) {
	seen := map[string]fat.Entry{}
	for name, text := range t {
		rest := name
		if dir != "" {
			if len(name) <= len(dir) || !strings.EqualFold(name[:len(dir)], dir) || name[len(dir)] != '/' {
				continue
			}
			rest = name[len(dir)+1:]
		}
		first, _, deep := strings.Cut(rest, "/")
		e := fat.Entry{Name: first, Short: first, Dir: deep}
		if !deep {
			e.Size = int64(len(text))
		}
		seen[first] = e
	}
	if len(seen) == 0 && dir != "" {
		return nil, fmt.Errorf("%s: %w", dir, fs.ErrNotExist)
	}
	var out []fat.Entry
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		out = append(out, seen[name])
	}
	return out, nil
}

func (t tree) Head(name string, max int64) ([]byte, bool, error) {
	for n, text := range t {
		if strings.EqualFold(n, name) {
			return []byte(text[:min(int64(len(text)), max)]), int64(len(text)) <= max, nil
		}
	}
	return nil, false, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

// programs gives each .efi file that is not one yet the head of a program for its name's processor; "EMPTY" and "NO
// PROGRAM: " stay none.
func (t tree) programs() tree {
	out := tree{}
	for name, text := range t {
		switch lower := strings.ToLower(name); {
		case text == "EMPTY":
			text = ""
		case strings.HasPrefix(text, "NO PROGRAM"), strings.HasPrefix(text, "MZ"), !strings.HasSuffix(lower, ".efi"):
		case strings.Contains(lower, "ia32"):
			text = program(0x14c, text)
		default:
			text = program(0x8664, text)
		}
		out[name] = text
	}
	return out
}

// program is the head of a PE file for a processor.
func program(machine uint16, text string) string {
	b := make([]byte, 72)
	copy(b, "MZ")
	b[60] = 64
	copy(b[64:], "PE\x00\x00")
	binary.LittleEndian.PutUint16(b[68:], machine)
	return string(b) + text
}

func csv(lines string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(lines)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}

func TestLoader(t *testing.T) {
	x64 := program(0x8664, "loader")
	for _, c := range []struct {
		name  string
		files tree
		arch  string
		want  string // path, name; empty: nothing
		why   string
	}{
		{"no EFI folder", tree{"README": ""}, "x64", "", ""},
		{"an EFI folder without programs", tree{"EFI/BOOT/README.TXT": "x", "EFI/debian/grub.cfg": "x"}, "x64", "", ""},
		{"Debian's installer: EFI/debian and no fallback", tree{
			"EFI/debian/shimx64.efi": x64, "EFI/debian/grubx64.efi": x64 + "g", "EFI/debian/mmx64.efi": x64,
			"EFI/debian/fbx64.efi":   x64,
			"EFI/debian/BOOTX64.CSV": csv("shimx64.efi,debian,,This is the boot entry for debian\n"),
		}, "x64", "EFI/debian/shimx64.efi debian", "the only"},
		{"shim beside GRUB, without a list", tree{"EFI/ubuntu/grubx64.efi": "g", "EFI/ubuntu/shimx64.efi": "s"}, "x64",
			"EFI/ubuntu/shimx64.efi ubuntu", "the only"},
		{"GRUB alone", tree{"EFI/arch/grubx64.efi": "g"}, "x64", "EFI/arch/grubx64.efi arch", "the only"},
		{"the list's name and file",
			tree{"EFI/redhat/shimx64.efi": "s", "EFI/redhat/shimx64-redhat.efi": "r",
				"EFI/redhat/BOOTX64.CSV": csv("\nshimx64-redhat.efi,Red Hat Enterprise Linux,,c\r\n")},
			"x64", "EFI/redhat/shimx64-redhat.efi Red Hat Enterprise Linux", "the only"},
		{"a line of the list whose file is not there",
			tree{"EFI/a/shimx64.efi": "s", "EFI/a/BOOTX64.CSV": csv("gone.efi,Gone,,\nshimx64.efi,A,,\n")}, "x64",
			"EFI/a/shimx64.efi A", "the only"},
		{"a line of the list that wants options",
			tree{"EFI/a/shimx64.efi": "s", "EFI/a/BOOTX64.CSV": csv("shimx64.efi,fwupd,fwupdx64.efi,\n")}, "x64",
			"EFI/a/shimx64.efi a", "the only"},
		{"the list of another processor",
			tree{"EFI/a/shimx64.efi": "s", "EFI/a/shimia32.efi": "s",
				"EFI/a/BOOTIA32.CSV": csv("shimia32.efi,A 32,,\n")}, "ia32", "EFI/a/shimia32.efi A 32", "the only"},
		{"systemd-boot as bootctl installs it",
			tree{"EFI/systemd/systemd-bootx64.efi": x64, "EFI/BOOT/BOOTX64.EFI": x64}, "x64",
			"EFI/systemd/systemd-bootx64.efi systemd", "the same program as EFI/BOOT/BOOTX64.EFI"},
		{"systemd-boot before a kernel that it starts",
			tree{"EFI/systemd/systemd-bootx64.efi": "b", "EFI/Linux/linux-6.1.efi": x64}, "x64",
			"EFI/systemd/systemd-bootx64.efi systemd", "the first of 2"},
		{"a unified kernel alone", tree{"EFI/Linux/debian-6.1.efi": x64}, "x64", "EFI/Linux/debian-6.1.efi debian-6.1",
			"the only"},
		{"a unified kernel for another processor", tree{"EFI/Linux/debian-6.1.efi": program(0xaa64, "")}, "x64", "",
			""},
		{"Windows", tree{"EFI/Microsoft/Boot/bootmgfw.efi": x64, "EFI/Microsoft/Boot/BCD": "b",
			"EFI/BOOT/bootx64.efi": x64}, "x64", "EFI/Microsoft/Boot/bootmgfw.efi Windows Boot Manager",
			"the same program as EFI/BOOT/bootx64.efi"},
		{"Windows and Debian, the fallback is Windows'",
			tree{"EFI/Microsoft/Boot/bootmgfw.efi": x64, "EFI/debian/shimx64.efi": "s", "EFI/BOOT/bootx64.efi": x64},
			"x64", "EFI/Microsoft/Boot/bootmgfw.efi Windows Boot Manager", "the same program as"},
		{"Windows and Debian, no fallback", tree{"EFI/Microsoft/Boot/bootmgfw.efi": x64, "EFI/debian/shimx64.efi": "s"},
			"x64", "EFI/debian/shimx64.efi debian", "the first of 2"},
		{"rEFInd", tree{"EFI/refind/refind_x64.efi": "r"}, "x64", "EFI/refind/refind_x64.efi refind", "the only"},
		{"Limine under the fallback's name", tree{"EFI/limine/BOOTX64.EFI": "l"}, "x64",
			"EFI/limine/BOOTX64.EFI limine", "the only"},
		{"the fallback alone", tree{"EFI/BOOT/BOOTX64.EFI": "f", "EFI/BOOT/grubx64.efi": "g"}, "x64",
			"EFI/BOOT/BOOTX64.EFI BOOT", "what firmware starts"},
		{"a fallback that is nobody's copy", tree{"EFI/BOOT/BOOTX64.EFI": "f", "EFI/debian/grubx64.efi": "g"}, "x64",
			"EFI/BOOT/BOOTX64.EFI BOOT", "what firmware starts"},
		{"shim's second program enters what the list says",
			tree{"EFI/BOOT/BOOTX64.EFI": "old shim\nshim,4,UEFI shim", "EFI/BOOT/fbx64.efi": "fb",
				"EFI/fedora/shimx64.efi": "s", "EFI/fedora/BOOTX64.CSV": csv("shimx64.efi,Fedora,,")},
			"x64", "EFI/fedora/shimx64.efi Fedora", "what EFI/BOOT/BOOTX64.EFI would enter"},
		{"shim's second program left over beside systemd-boot",
			tree{"EFI/BOOT/BOOTX64.EFI": "sd-boot", "EFI/BOOT/fbx64.efi": "fb", "EFI/fedora/shimx64.efi": "s",
				"EFI/fedora/BOOTX64.CSV": csv("shimx64.efi,Fedora,,")},
			"x64", "EFI/BOOT/BOOTX64.EFI BOOT", "what firmware starts"},
		{"SUSE", tree{"EFI/boot/bootx64.efi": "\nshim,4,UEFI shim", "EFI/boot/fallback.efi": "fb",
			"EFI/opensuse/shim.efi": "s", "EFI/opensuse/grub.efi": "g", "EFI/opensuse/grubx64.efi": "h",
			"EFI/opensuse/MokManager.efi": "m",
			"EFI/opensuse/boot.csv":       csv("shim.efi,opensuse,,This is the boot entry for opensuse\n")},
			"x64", "EFI/opensuse/shim.efi opensuse", "what EFI/boot/bootx64.efi would enter"},
		{"SUSE without a fallback",
			tree{"EFI/opensuse/shim.efi": "s", "EFI/opensuse/grub.efi": "g", "EFI/opensuse/grubx64.efi": "h"}, "x64",
			"EFI/opensuse/shim.efi opensuse", "the only"},
		{"SUSE's systemd-boot behind shim",
			tree{"EFI/systemd/shim.efi": "s", "EFI/systemd/grub.efi": "b",
				"EFI/systemd/boot.csv": csv("shim.efi,openSUSE Boot Manager,,\n")},
			"x64", "EFI/systemd/shim.efi openSUSE Boot Manager", "the only"},
		{"SUSE's names for another processor",
			tree{"EFI/opensuse/shim.efi": program(0xaa64, "s"), "EFI/opensuse/boot.csv": csv("shim.efi,opensuse,,\n")},
			"x64", "", ""},
		{"shim's list for the processor comes before the one for all",
			tree{"EFI/a/shimx64.efi": "s", "EFI/a/shim.efi": "t", "EFI/a/BOOTX64.CSV": csv("shimx64.efi,One,,"),
				"EFI/a/boot.csv": csv("shim.efi,Two,,")},
			"x64", "EFI/a/shimx64.efi One", "the only"},
		{"a fallback of no bytes is none", tree{"EFI/BOOT/BOOTX64.EFI": "EMPTY", "EFI/debian/shimx64.efi": "s"}, "x64",
			"EFI/debian/shimx64.efi debian", "the only"},
		{"a fallback that is no program is none",
			tree{"EFI/BOOT/BOOTX64.EFI": "NO PROGRAM: text", "EFI/debian/shimx64.efi": "s"}, "x64",
			"EFI/debian/shimx64.efi debian", "the only"},
		{"a shim of no bytes is none",
			tree{"EFI/debian/shimx64.efi": "EMPTY", "EFI/debian/grubx64.efi": "g",
				"EFI/debian/BOOTX64.CSV": csv("shimx64.efi,debian,,")}, "x64", "EFI/debian/grubx64.efi debian",
			"the only"},
		{"nothing but what is no program", tree{"EFI/BOOT/BOOTX64.EFI": "EMPTY"}, "x64", "", ""},
		{"lower case, as Linux writes it", tree{"efi/boot/bootx64.efi": "f", "efi/debian/shimx64.efi": "f"}, "x64",
			"efi/debian/shimx64.efi debian", "the same program as efi/boot/bootx64.efi"},
		{"the fallback of another processor", tree{"EFI/BOOT/BOOTAA64.EFI": "f"}, "x64", "", ""},
		{"firmware's tools are no loaders",
			tree{"EFI/debian/fwupdx64.efi": x64, "EFI/debian/mmx64.efi": x64, "EFI/memtest86/memtestx64.efi": x64},
			"x64", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			contents, err := Scan(c.files.programs())
			if err != nil {
				t.Fatal(err)
			}
			l, why, ok := contents.Loader(c.arch)
			got := ""
			if ok {
				got = l.Path + " " + l.Name
			}
			if got != c.want || ok != (c.want != "") {
				t.Errorf("Loader = %q (%s), want %q", got, why, c.want)
			}
			if !strings.HasPrefix(why, c.why) {
				t.Errorf("because it is %q, want %q", why, c.why)
			}
		})
	}
}

func TestFallbacks(t *testing.T) {
	c, err := Scan(tree{"EFI/BOOT/BOOTX64.EFI": "a", "EFI/BOOT/bootia32.efi": "b", "EFI/BOOT/bootmgr.efi": "c",
		"EFI/BOOT/fbx64.efi": "d", "EFI/BOOT/BOOTAA64.EFI": "EMPTY", "EFI/BOOT/BOOTARM.EFI": "NO PROGRAM",
		"EFI/BOOT/BOOTRISCV64.EFI":     program(0xaa64, "another processor's"),
		"EFI/BOOT/BOOTLOONGARCH64.EFI": program(0x1234, "nobody's")}.programs())
	if err != nil {
		t.Fatal(err)
	}
	want := []Loader{{Path: "EFI/BOOT/BOOTX64.EFI", Name: "BOOT", Arch: "x64"},
		{Path: "EFI/BOOT/bootia32.efi", Name: "BOOT", Arch: "ia32"}}
	if d := cmp.Diff(want, c.Fallbacks, cmp.AllowUnexported(Loader{})); d != "" {
		t.Error(d)
	}
	if want := []string{"EFI/BOOT/BOOTAA64.EFI is empty", "EFI/BOOT/BOOTARM.EFI is no EFI program",
		"EFI/BOOT/BOOTLOONGARCH64.EFI is a program for a processor that is not known",
		"EFI/BOOT/BOOTRISCV64.EFI is a program for aa64"}; !slices.Equal(c.Unfit, want) {
		t.Errorf("Unfit = %q, want %q", c.Unfit, want)
	}
	if l, ok := c.Fallback("ia32"); !ok || l.Path != "EFI/BOOT/bootia32.efi" {
		t.Errorf("Fallback(ia32) = %v, %v", l, ok)
	}
}

func TestScanSaysWhatItCannotRead(t *testing.T) {
	if _, err := Scan(broken{tree{"EFI/debian/shimx64.efi": "s"}}); err == nil ||
		!strings.Contains(err.Error(), "bad cluster") {
		t.Errorf("Scan of a folder that cannot be read = %v", err)
	}
}

type broken struct{ tree }

func (b broken) List(dir string) ([]fat.Entry, error) {
	if path.Base(dir) == "debian" {
		return nil, fmt.Errorf("directory %s: bad cluster", dir)
	}
	return b.tree.List(dir)
}

// FuzzList has a partition whose list and program heads are any bytes.
func FuzzList(f *testing.F) {
	f.Add([]byte(csv("shimx64.efi,debian,,This is the boot entry\n")), []byte(program(0x8664, "")))
	f.Add([]byte(csv(",,,\nshimx64.efi")), []byte("MZ"))
	f.Fuzz(func(t *testing.T, list, head []byte) {
		files := tree{"EFI/a/BOOTX64.CSV": string(list), "EFI/a/shimx64.efi": program(0x8664, ""),
			"EFI/Linux/a.efi": string(head), "EFI/Microsoft/Boot/bootmgfw.efi": string(head)}
		c, err := Scan(files)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range c.Loaders {
			if _, _, err := files.Head(l.Path, 1<<20); err != nil || l.Arch == "" {
				t.Errorf("%+v is not in the tree: %v", l, err)
			}
		}
		if _, _, ok := c.Loader("x64"); !ok {
			t.Error("shimx64.efi was not found")
		}
	})
}
