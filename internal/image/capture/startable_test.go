package capture

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestStartable surveys disks that sfdisk and mtools made, and reads what UEFI firmware could start of them.
func TestStartable(t *testing.T) {
	need.Tools(t, "sfdisk", "mkfs.fat", "mmd", "mcopy")
	run := func(input, program string, args ...string) {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Stdin = strings.NewReader(input)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
		}
	}
	const start, sectors, size = 2048, 40960, 24 << 20
	for _, c := range []struct {
		name, label, kind string // of table and partition; no label: a file system on the whole disk
		files             []string
		damage            bool
		want              *image.EFI
	}{
		{"EFI/debian alone", "gpt", "U", []string{"EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi"}, false,
			&image.EFI{Loaders: []string{"EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi"}}},
		{"with fallback", "gpt", "U", []string{"EFI/BOOT/BOOTX64.EFI", "EFI/debian/shimx64.efi"}, false,
			&image.EFI{Fallbacks: []string{"EFI/BOOT/BOOTX64.EFI"}, Loaders: []string{"EFI/debian/shimx64.efi"}}},
		{"a fallback for another processor", "gpt", "U", []string{"EFI/BOOT/BOOTAA64.EFI"}, false, &image.EFI{}},
		{"in an MBR", "dos", "ef", []string{"EFI/BOOT/BOOTX64.EFI"}, false,
			&image.EFI{Fallbacks: []string{"EFI/BOOT/BOOTX64.EFI"}}},
		{"nothing to start", "gpt", "U", nil, false, &image.EFI{}},
		{"damaged", "gpt", "U", nil, true, &image.EFI{Problem: "partition 1: signature not found"}},
		{"a FAT that is no EFI system partition", "gpt", "L", []string{"EFI/BOOT/BOOTX64.EFI"}, false, nil},
		{"a stick without table that starts", "", "", []string{"EFI/BOOT/BOOTX64.EFI"}, false,
			&image.EFI{Fallbacks: []string{"EFI/BOOT/BOOTX64.EFI"}}},
		{"a stick without table that does not", "", "", nil, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			disk := filepath.Join(t.TempDir(), "disk.raw")
			if err := os.WriteFile(disk, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(disk, size); err != nil {
				t.Fatal(err)
			}
			at := 0
			if c.label != "" {
				at = start
				run(fmt.Sprintf("label: %s\nstart=%d, size=%d, type=%s\n", c.label, start, sectors, c.kind), "sfdisk",
					"-q", disk)
			}
			run("", "mkfs.fat", "-F", "16", "--offset", fmt.Sprint(at), disk, fmt.Sprint(sectors/2))
			where := fmt.Sprintf("%s@@%d", disk, at*512)
			made := map[string]bool{}
			for _, name := range c.files {
				for dir := range dirs(name) {
					if !made[dir] {
						made[dir] = true
						run("", "mmd", "-i", where, "::/"+dir)
					}
				}
				run(program, "mcopy", "-i", where, "-", "::/"+name)
			}
			f, err := os.OpenFile(disk, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if c.damage {
				if _, err := f.WriteAt(make([]byte, 512), start*512); err != nil {
					t.Fatal(err)
				}
			}
			d, err := Survey(f, size, 512)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, d.Config.EFI); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// program is the head of a PE file for x64.
var program = "MZ" + strings.Repeat("\x00", 58) + "\x40\x00\x00\x00" + "PE\x00\x00\x64\x86program"

// dirs yields the folders above a file, from the top.
func dirs(name string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i, r := range name {
			if r == '/' && !yield(name[:i]) {
				return
			}
		}
	}
}
