package boot

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/netboot"
)

const (
	guid1 = "11111111-2222-3333-4444-555555555551"
	guid2 = "11111111-2222-3333-4444-555555555552"
)

// TestOwnDisk has GRUB itself look for what a machine starts, on disks that other tools made.
func TestOwnDisk(t *testing.T) {
	need.Tools(t, "grub-emu", "sfdisk", "mkfs.fat", "mmd", "mcopy")
	const shim, boot = "EFI/debian/shimx64.efi", "EFI/BOOT/BOOTX64.EFI"
	// A disk is a list of partitions, each of which begins with its GUID.
	for _, c := range []struct {
		name  string
		start netboot.Start
		disks [][][]string
		want  string // what is started, or why nothing is
	}{
		{"nothing", netboot.Start{}, [][][]string{{{guid1}}}, lostNone},
		{"the fallback alone", netboot.Start{}, [][][]string{{{guid1, boot}}}, "(hd0,gpt1)/" + boot},
		{"a distribution, its GRUB, and the fallback", netboot.Start{},
			[][][]string{{{guid1, boot, "EFI/BOOT/grubx64.efi", "EFI/debian/grubx64.efi", shim}}},
			"(hd0,gpt1)/" + shim},
		{"a distribution without shim", netboot.Start{}, [][][]string{{{guid1, "EFI/arch/grubx64.efi"}}},
			"(hd0,gpt1)/EFI/arch/grubx64.efi"},
		{"systemd-boot", netboot.Start{},
			[][][]string{{{guid1, boot, "EFI/systemd/systemd-bootx64.efi", "EFI/Linux/a.efi"}}},
			"(hd0,gpt1)/EFI/systemd/systemd-bootx64.efi"},
		{"on the second partition of the second disk", netboot.Start{},
			[][][]string{{{guid1}}, {{guid1}, {guid2, shim}}}, "(hd1,gpt2)/" + shim},
		{"two systems on a partition", netboot.Start{}, [][][]string{{{guid1, shim, "EFI/ubuntu/shimx64.efi"}}},
			lostSeveral},
		{"two systems, of which one has no shim", netboot.Start{},
			[][][]string{{{guid1, shim, "EFI/arch/grubx64.efi"}}}, lostSeveral},
		{"the same system on two disks", netboot.Start{}, [][][]string{{{guid1, shim}}, {{guid2, shim}}}, lostSeveral},
		{"two fallbacks", netboot.Start{}, [][][]string{{{guid1, boot}}, {{guid2, boot}}}, lostSeveral},
		{"a system and another disk's fallback", netboot.Start{}, [][][]string{{{guid1, shim, boot}}, {{guid2, boot}}},
			lostSeveral},
		{"unified kernels alone", netboot.Start{}, [][][]string{{{guid1, "EFI/Linux/a.efi"}}}, lostSeveral},
		{"Windows", netboot.Start{}, [][][]string{{{guid1, boot, "EFI/Microsoft/Boot/bootmgfw.efi"}}}, lostWindows},
		{"Windows and a distribution", netboot.Start{},
			[][][]string{{{guid1, shim, "EFI/Microsoft/Boot/bootmgfw.efi"}}}, lostWindows},

		{"known", netboot.Start{Partition: guid2, File: shim},
			[][][]string{{{guid1, shim, "EFI/ubuntu/shimx64.efi"}}, {{guid2, shim, boot}}}, "(hd1,gpt1)/" + shim},
		{"known in the firmware's spelling", netboot.Start{Partition: guid1, File: "EFI/DEBIAN/SHIMX64.EFI"},
			[][][]string{{{guid1, shim}}}, "(hd0,gpt1)/EFI/DEBIAN/SHIMX64.EFI"},
		{"known, Windows", netboot.Start{Partition: guid1, File: "EFI/Microsoft/Boot/bootmgfw.efi"},
			[][][]string{{{guid1, shim, "EFI/Microsoft/Boot/bootmgfw.efi"}}},
			"(hd0,gpt1)/EFI/Microsoft/Boot/bootmgfw.efi"},
		{"known and gone, another is there", netboot.Start{Partition: guid1, File: shim},
			[][][]string{{{guid2, shim}, {guid1, boot}}}, lostNone},
		{"known, and the disk was copied", netboot.Start{Partition: guid1, File: shim},
			[][][]string{{{guid1, shim}}, {{guid1, shim}}}, lostSeveral},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var devices strings.Builder
			for i, parts := range c.disks {
				disk := filepath.Join(dir, fmt.Sprint("disk", i))
				makeDisk(t, disk, parts)
				fmt.Fprintf(&devices, "(hd%d) %s\n", i, disk)
			}
			got := "nothing was said"
			text := NewDir("").grubDisk(menuMAC, c.start) + grubLocal
			for _, line := range runGRUB(t, dir, devices.String(), text) {
				if what, ok := strings.CutPrefix(line, "CHAINED "); ok {
					got = what
				} else if why, ok := strings.CutPrefix(line, "ASKED /grub/"); ok {
					got, _, _ = strings.Cut(why, "-")
				}
			}
			if got != c.want {
				t.Errorf("GRUB takes %q, want %q", got, c.want)
			}
		})
	}
}

// runGRUB has grub-emu run a machine's configuration, and returns the lines that it printed. The commands that it lacks
// say what they are asked for; a chain loader does not return.
func runGRUB(t *testing.T, dir, devices, config string) []string {
	t.Helper()
	config = strings.ReplaceAll(config, "  source ", "  asked ")
	config = strings.ReplaceAll(config, "  sleep 5\n", "")
	config = "function chainloader { echo \"CHAINED $1\"; exit; }\nfunction asked { echo \"ASKED $1\"; exit; }\n" +
		"set cmdpath=\n" + config + "exit\n"
	for name, text := range map[string]string{"map": devices, "grub.cfg": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, need.Tool(t, "grub-emu"), "-d", dir, "-m", filepath.Join(dir, "map")).Output()
	if err != nil {
		t.Fatalf("grub-emu: %v: %s", err, out)
	}
	return strings.Split(regexp.MustCompile("\x1b\\[[0-9;]*[a-zA-Z]|\r").ReplaceAllString(string(out), ""), "\n")
}

// makeDisk makes a GPT of FAT partitions, each a GUID and the files on it.
func makeDisk(t *testing.T, disk string, parts [][]string) {
	t.Helper()
	const mib = 1 << 20
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, int64(len(parts)+1)*4*mib); err != nil {
		t.Fatal(err)
	}
	table := "label: gpt\n"
	for i, p := range parts {
		table += fmt.Sprintf("start=%d, size=%d, type=U, uuid=%s\n", (4*i+1)*mib/512, 3*mib/512, p[0])
	}
	tool(t, table, "sfdisk", "-q", disk)
	for i, p := range parts {
		start := (4*i + 1) * mib
		tool(t, "", "mkfs.fat", "--offset", fmt.Sprint(start/512), disk, fmt.Sprint(3*mib/1024))
		made := map[string]bool{".": true}
		for _, file := range p[1:] {
			var missing []string
			for d := path.Dir(file); !made[d]; d = path.Dir(d) {
				missing = append([]string{"::/" + d}, missing...)
				made[d] = true
			}
			at := fmt.Sprintf("%s@@%d", disk, start)
			if len(missing) > 0 {
				tool(t, "", "mmd", append([]string{"-i", at}, missing...)...)
			}
			tool(t, "x", "mcopy", "-i", at, "-", "::/"+file)
		}
	}
}

func tool(t *testing.T, stdin, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need.Tool(t, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}
