package osimage

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/uml"
)

// TestCells makes the disks of every cell, has each layer's own checker look at them, and asks the agent what they
// start.
func TestCells(t *testing.T) {
	if os.Getenv("DISKCAST_CELLS") == "" {
		t.Skip("make test-cells runs this (DISKCAST_CELLS=1)")
	}
	need.Root(t)
	need.Tools(t, "mmdebstrap", "sfdisk", "mkfs.fat", "mcopy", "objcopy", "grub-install", "grub-mkconfig", "extlinux",
		"mkfs.xfs", "mkfs.btrfs", "btrfs", "lvm", "mdadm", "insmod", uml.Program)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Hour)
	defer cancel()
	for _, loader := range CellLoaders {
		t.Run(loader, func(t *testing.T) {
			for _, root := range CellRoots {
				t.Run(root, func(t *testing.T) {
					var said strings.Builder
					c, err := MakeCell(ctx, Cache(), loader, root, &said)
					if err != nil {
						t.Fatal(err)
					}
					t.Log(said.String())
					checked, err := c.Check(ctx, t.TempDir(), c.Disks)
					if err != nil {
						t.Fatal(err)
					}
					t.Log(checked)
					for _, disk := range c.Disks {
						got := looked(ctx, t, disk, loader != "grub-bios" && loader != "extlinux")
						t.Log(got.Words)
						// A unified kernel alone is started by a boot entry, which the agent makes of a restored one.
						if !slices.Contains(strings.Fields(got.Args), Entry+loader+"-"+root) ||
							got.Note != "" && loader != "uki" {
							t.Errorf("of %s the agent would start %s", filepath.Base(disk), got.Words)
						}
					}
				})
			}
		})
	}
}

// found is what the agent would start of a disk, and what it says of it.
type found struct{ Args, Note, Words string }

const lookTask = "look"

func init() {
	uml.Handle(lookTask, func(t uml.Task) (string, error) {
		// An ESP wants FAT, and partitions loop devices.
		const load = "for m in drivers/block/loop fs/nls/nls_cp437 fs/nls/nls_iso8859-1 fs/nls/nls_utf8 fs/fat/fat " +
			"fs/fat/vfat; do insmod /usr/lib/uml/modules/*/kernel/$m.ko; done; mount -t sysfs sysfs /sys"
		if err := os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"); err != nil {
			return "", err
		}
		if err := os.Setenv("TMPDIR", uml.Mounts); err != nil {
			return "", err
		}
		if _, err := inGuest(load); err != nil {
			return "", err
		}
		s, err := bootos.Look(uml.Disk, t.Args[0] == "uefi", nil)
		if err != nil {
			return "", err
		}
		b, err := json.Marshal(found{s.Args, s.Note, s.Words()})
		return string(b), err
	})
}

// looked has the agent find what a disk starts, on a kernel that has all the file systems.
func looked(ctx context.Context, t *testing.T, disk string, uefi bool) (got found) {
	t.Helper()
	firmware := "bios"
	if uefi {
		firmware = "uefi"
	}
	out, err := uml.Run(ctx, t.TempDir(), uml.Task{Name: lookTask, Disk: disk, FS: "ext4", Args: []string{firmware}})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	return got
}
