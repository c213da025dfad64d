package osimage

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/internal/testenv/uml"
)

// TestBootVariants makes every variant of the Debian, and has other programs look at what makes it one.
func TestBootVariants(t *testing.T) {
	if os.Getenv("DISKCAST_BOOT") == "" {
		t.Skip("make test-boot runs this (DISKCAST_BOOT=1)")
	}
	need.Root(t)
	need.Tools(t, "mmdebstrap", "sfdisk", "mkfs.fat", "mcopy", "mdir", "objcopy", "objdump", "grub-mkimage", "debugfs",
		"e2fsck", "fsck.fat", "dd",
		"mkfs.btrfs", "btrfs", "extlinux", "grub-fstest", "cryptsetup", uml.Program)
	for _, file := range []string{sdBoot, sdStub, grubMBR, extlinuxMBR} {
		if _, err := os.Stat(file); err != nil {
			need.Skip(t, "%v: .ci/packages boot", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	// The Debian itself comes from the cache; the variants are made anew.
	debian, err := Debian(ctx, Cache(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	if err := os.Symlink(debian.Dir, filepath.Join(cache, filepath.Base(debian.Dir))); err != nil {
		t.Fatal(err)
	}
	say := func(t *testing.T, name string, args ...string) string {
		t.Helper()
		var b strings.Builder
		if err := proc.Run(ctx, &b, name, args...); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for _, kind := range slices.Sorted(maps.Keys(variants)) {
		t.Run(kind, func(t *testing.T) {
			im, err := Variant(ctx, cache, kind, nil)
			if err != nil {
				t.Fatal(err)
			}
			esp := im.Disk + "@@1048576"
			switch kind {
			case "efi-debian":
				if out := say(t, "mdir", "-b", "-/", "-i", esp, "::/EFI"); strings.Contains(out, "BOOT/") ||
					!strings.Contains(out, "debian/shimx64.efi") {
					t.Errorf("its ESP holds\n%s", out)
				}
			case "systemd-boot":
				if out := say(t, "mdir", "-b", "-/", "-i", esp, "::/"); !strings.Contains(out, "debian-1+2.conf") ||
					strings.Contains(out, "EFI/BOOT") {
					t.Errorf("its ESP holds\n%s", out)
				}
			case "uki":
				file := filepath.Join(t.TempDir(), "uki.efi")
				say(t, "mcopy", "-n", "-i", esp, "::/EFI/Linux/debian.efi", file)
				if out := say(t, "objdump", "-h", file); !strings.Contains(out, ".linux") ||
					!strings.Contains(out, ".initrd") || !strings.Contains(out, ".cmdline") {
					t.Errorf("its sections are\n%s", out)
				}
			case "mbr-gap", "xen":
				if out := say(t, "sfdisk", "-d", im.Disk); !strings.Contains(out, "label: dos") ||
					!strings.Contains(out, "bootable") {
					t.Errorf("its table is\n%s", out)
				}
				part := filepath.Join(t.TempDir(), "root")
				say(t, "dd", "if="+im.Disk, "of="+part, "bs=1M", "skip=1", "count=448", "conv=sparse", "status=none")
				say(t, "e2fsck", "-fn", part)
				if kind == "xen" {
					if out := say(t, "debugfs", "-R", "ls -p /boot", part); !strings.Contains(out, "/xen.gz/") {
						t.Errorf("/boot holds\n%s", out)
					}
				}
			case "luks":
				fstest := exec.CommandContext(ctx, "grub-fstest", "-C", im.Disk, "ls",
					"(cryptouuid/"+strings.ReplaceAll(luksUUID, "-", "")+")/")
				fstest.Stdin = strings.NewReader(LoaderPassphrase + "\n")
				if out, err := fstest.Output(); err != nil || !strings.Contains(string(out), "vmlinuz-") {
					t.Errorf("its /boot holds\n%s (%v)", out, err)
				}
			case "btrfs", "btrfs-suse", "btrfs-extlinux":
				part := filepath.Join(t.TempDir(), "root")
				if err := sparse.Extract(ctx, im.Disk, gapStart, btrfsSize, part); err != nil {
					t.Fatal(err)
				}
				say(t, "btrfs", "check", part)
				after := fmt.Sprintf(snapshots, 2)
				if kind == "btrfs-extlinux" {
					after = "@after"
				}
				if got := defaultSubvolume(say(t, "btrfs", "inspect-internal", "dump-tree", "-t", "root",
					part)); got != filepath.Base(after) {
					t.Errorf("its default subvolume is %q, want %q", got, after)
				}
				if out := say(t, "grub-fstest", im.Disk, "ls", "(loop0,msdos1)/"+after+"/boot"); !strings.Contains(out,
					"vmlinuz-after") || strings.Contains(out, "before") {
					t.Errorf("/boot of the default subvolume holds\n%s", out)
				}
			}
		})
	}
}

// defaultSubvolume finds the name of the default subvolume in btrfs-progs' dump of the tree of roots: the entry
// "default" of the tree's own directory names its number, and the reference from its parent its name.
func defaultSubvolume(dump string) string {
	id := regexp.MustCompile(`location key \((\d+) ROOT_ITEM \d+\) type DIR\n.*\n\s+name: default\n`).
		FindStringSubmatch(dump)
	if id == nil {
		return ""
	}
	name := regexp.MustCompile(`key \(` + id[1] + ` ROOT_BACKREF \d+\).*\n.* name (.*)\n`).FindStringSubmatch(dump)
	if name == nil {
		return ""
	}
	return name[1]
}
