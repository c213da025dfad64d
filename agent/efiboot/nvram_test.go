package efiboot

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/efivars"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// nvram is a firmware's memory, with the ways in which firmware fails.
type nvram struct {
	vars   map[string][]byte
	writes []string
	refuse map[string]error // by variable
	forget string           // a variable that is taken and not kept
}

func (n *nvram) Names() ([]string, error) { return slices.Sorted(maps.Keys(n.vars)), nil }

func (n *nvram) Get(name string) ([]byte, error) {
	b, ok := n.vars[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return b, nil
}

func (n *nvram) Set(name string, data []byte) error {
	n.writes = append(n.writes, name)
	if err := n.refuse[name]; err != nil {
		return err
	}
	if name != n.forget {
		n.vars[name] = bytes.Clone(data)
	}
	return nil
}

func (n *nvram) Remove(name string) error {
	n.writes = append(n.writes, "-"+name)
	if err := n.refuse[name]; err != nil {
		return err
	}
	delete(n.vars, name)
	return nil
}

// show writes the memory down: the order, and each entry with its description and what it starts.
func (n *nvram) show(t *testing.T) string {
	t.Helper()
	order, damaged, err := efivars.ParseOrder(n.vars["BootOrder"])
	if err != nil || damaged {
		t.Fatalf("BootOrder %x: %v", n.vars["BootOrder"], err)
	}
	words := []string{}
	for _, id := range order {
		words = append(words, fmt.Sprintf("%X", id))
	}
	lines := []string{strings.Join(words, ",")}
	for _, v := range slices.Sorted(maps.Keys(n.vars)) {
		if _, ok := efivars.Number(v); !ok {
			continue
		}
		o, err := efivars.ParseOption(n.vars[v])
		if err != nil {
			lines = append(lines, v+" damaged")
			continue
		}
		line := fmt.Sprintf("%s %q", v, o.Description)
		if p, file, ok := o.Starts(); ok {
			line += fmt.Sprintf(" %s@%d %s", p.ID()[:8], p.Start, file)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

const (
	espGUID   = "aaaaaaaa-0001-4000-8000-000000000001"
	otherGUID = "bbbbbbbb-0001-4000-8000-000000000001"
	goneGUID  = "cccccccc-0001-4000-8000-000000000001"
)

// pe is the head of a PE file for x64, which makes a program of the text behind it.
var pe = "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00PE\x00\x00\x64\x86"

// makeDisk makes a disk with sfdisk and mtools: files on an EFI system partition with the GUID; "" as GUID is a disk
// without one.
func makeDisk(t *testing.T, table, guid string, files map[string]string) session.Disk {
	t.Helper()
	need.Tools(t, "sfdisk", "mkfs.fat", "mcopy")
	path := filepath.Join(t.TempDir(), "disk.raw")
	const size, start, sectors = 24 << 20, 2048, 40960
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("label: %s\nstart=%d, size=%d, type=%s", table, start, sectors,
		map[string]string{"gpt": "linux", "dos": "83"}[table])
	if guid != "" {
		script = fmt.Sprintf("label: %s\nstart=%d, size=%d, type=U", table, start, sectors)
		if table == "gpt" {
			script += ", uuid=" + guid
		}
	}
	run(t, script+"\n", "sfdisk", "-q", path)
	run(t, "", "mkfs.fat", "-F", "16", "-s", "1", "--offset", fmt.Sprint(start), path, fmt.Sprint(sectors/2))
	tree := t.TempDir()
	for name, text := range files {
		file := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(strings.ToLower(name), ".efi") && text != "" {
			head := pe
			if strings.Contains(name, "ia32") {
				head = strings.Replace(pe, "\x64\x86", "\x4c\x01", 1)
			}
			text = head + text
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) > 0 {
		run(t, "", "mcopy", "-Q", "-s", "-i", fmt.Sprintf("%s@@%d", path, start*512), filepath.Join(tree, "EFI"), "::/")
	}
	return session.Disk{Path: path, Size: size, SectorSize: 512}
}

func run(t *testing.T, input, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// uefi is a root with the sysfs of a machine that started by UEFI; bits is the size of the firmware's words, 0 is a
// BIOS.
func uefi(t *testing.T, bits int) string {
	t.Helper()
	root := t.TempDir()
	if bits > 0 {
		dir := filepath.Join(root, "sys/firmware/efi")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "fw_platform_size"), fmt.Appendln(nil, bits), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// to is an option for a file on the partition with the GUID.
func to(t *testing.T, description, guid string, start uint64, file string) []byte {
	t.Helper()
	p := efivars.Partition{Number: 1, Start: start, Size: 40960}
	var err error
	if p.Signature, p.GPT, err = efivars.Signature(guid); err != nil {
		t.Fatal(err)
	}
	return (&efivars.Option{Attributes: efivars.Active, Description: description,
		Path: efivars.DiskPath(&p, file)}).Bytes()
}

func pxe() []byte {
	return (&efivars.Option{Attributes: efivars.Active, Description: "UEFI PXEv4", Path: kinds["pxe4"].Path}).Bytes()
}

var debian = map[string]string{"EFI/debian/shimx64.efi": "shim", "EFI/debian/grubx64.efi": "grub",
	"EFI/debian/shimia32.efi": "shim32"}

func TestArch(t *testing.T) {
	for _, c := range []struct {
		kernel string
		small  bool
		want   string
	}{{"amd64", false, "x64"}, {"amd64", true, "ia32"}, {"arm64", false, "aa64"}} {
		if got := archOf(c.kernel, c.small); got != c.want {
			t.Errorf("%s, 32 bits %v: %s", c.kernel, c.small, got)
		}
	}
}
