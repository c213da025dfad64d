package osimage

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/debian"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/internal/testenv/uml"
)

// CellLoaders and CellRoots are what a cell is made of: a Debian that starts by each loader from each root. The root of
// btrfs is the subvolume that Debian's installer makes, LVM's a logical volume with ext4, md's a RAID 1 with ext4 of
// two whole machines' disks.
var (
	CellLoaders = []string{"grub-bios", "grub-efi", "systemd-boot", "uki", "extlinux"}
	CellRoots   = []string{"ext4", "xfs", "lvm", "md", "btrfs"}
)

// Cell is the disks of a machine that starts by a loader from a root.
type Cell struct {
	Loader, Root string
	Disks        []string // raw files: two of md, else one
}

// Identities of what is on the cells. disks.
const (
	CellUUID = "d15cca57-0004-4cce-8000-00000000b00c" // of the root's file system
	cellBoot = "d15cca57-0005-4cce-8000-00000000b00c" // of /boot's
	cellESP  = "d15cca5c"
	cellMD   = "d15cca57:cccccccc:80000000:0000b00c"
)

// What the machines' Debian is made of beside the minimal base: a kernel for virtual machines, sysvinit, and nothing
// for a network: little for an emulated processor to receive and to start.
const cellPackages = "linux-image-cloud-amd64,initramfs-tools,zstd,usr-is-merged,sysvinit-core,sysv-rc,initscripts," +
	"udev,kmod,e2fsprogs,util-linux"

// cellRoot is what a Debian needs for its root.
type cellRoot struct {
	size     int64  // of the partition, bytes
	disks    int    //
	packages string // more of them
	modules  string // of its initial ramdisk
	mdadm    string // its mdadm.conf
}

var cellRoots = map[string]cellRoot{
	"ext4": {size: 224 * mib, disks: 1, modules: "ext4"},
	"xfs":  {size: 320 * mib, disks: 1, modules: "xfs"}, // mkfs.xfs takes no less than 300 MiB
	"lvm":  {size: 240 * mib, disks: 1, packages: ",lvm2", modules: "dm_mod ext4"},
	"md": {size: 224 * mib, disks: 2, packages: ",mdadm", modules: "raid1 ext4",
		mdadm: "HOMEHOST <system>\nARRAY /dev/md/root UUID=" + cellMD + "\n"},
	"btrfs": {size: 320 * mib, disks: 1, packages: ",btrfs-progs", modules: "btrfs"},
}

// cellTable is sfdisk's input for the disks of a cell, and their size.
func cellTable(loader, root string) (script string, size int64) {
	const esp, boot, tail = 64 * mib, 64 * mib, mib
	r := cellRoots[root]
	gptTypes := map[string]string{"lvm": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
		"md": "A19D880F-05FC-4D3B-A006-743F0F84911E"}
	dosTypes := map[string]string{"lvm": "8e", "md": "fd"}
	of := func(types map[string]string, usual string) string {
		if t, is := types[root]; is {
			return t
		}
		return usual
	}
	switch {
	case loader != "grub-bios" && loader != "extlinux":
		return fmt.Sprintf("label: gpt\nsize=%d, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\nsize=%d, type=%s\n",
			esp/512, r.size/512, of(gptTypes, "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709")), mib + esp + r.size + tail
	case loader == "extlinux" && (root == "xfs" || root == "lvm" || root == "btrfs"):
		return fmt.Sprintf("label: dos\nsize=%d, type=83, bootable\nsize=%d, type=%s\n", boot/512, r.size/512,
			of(dosTypes, "83")), mib + boot + r.size + tail
	}
	return fmt.Sprintf("label: dos\nsize=%d, type=%s, bootable\n", r.size/512, of(dosTypes, "83")),
		mib + r.size + tail
}

//go:embed build-cell.sh
var buildCell string

// cellScript installs a cell in a user-mode Linux, and has it checked there.
//
//go:embed cell.sh
var cellScript string

// MakeCell returns the disks of a cell.
func MakeCell(ctx context.Context, cache, loader, root string, log logWriter) (*Cell, error) {
	r, is := cellRoots[root]
	if !is || !slices.Contains(CellLoaders, loader) {
		return nil, fmt.Errorf("no cell %s/%s is made here", loader, root)
	}
	plain, err := Debian(ctx, cache, "", log) // has the signed loaders
	if err != nil {
		return nil, err
	}
	tree, err := cellTree(ctx, cache, r, log)
	if err != nil {
		return nil, err
	}
	table, size := cellTable(loader, root)
	name := fmt.Sprintf("cell-%s-%s-%s", loader, root,
		key("1", cellScript, table, cmdline, filepath.Base(tree), filepath.Base(plain.Dir)))
	dir, err := kept(ctx, cache, name, func(ctx context.Context, dir string) error {
		c := cellAt(dir, loader, root)
		for _, disk := range c.Disks {
			if err := sparse.Create(disk, size); err != nil {
				return err
			}
			if err := proc.Input(ctx, log, strings.NewReader(table), "sfdisk", "--quiet", disk); err != nil {
				return err
			}
		}
		return c.install(ctx, dir, filepath.Join(tree, "root"), plain, log)
	})
	if err != nil {
		return nil, err
	}
	return cellAt(dir, loader, root), nil
}

// install puts a tree and its loader on the disks, which have their tables. dir is for scratch.
func (c *Cell) install(ctx context.Context, dir, tree string, plain *Image, log logWriter) error {
	scratch := filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		return err
	}
	if err := proc.Run(ctx, log, "mcopy", "-Q", "-s", "-i", fmt.Sprintf("%s@@%d", plain.Disk, espStart), "::/EFI",
		scratch); err != nil {
		return err
	}
	words := strings.TrimPrefix(strings.ReplaceAll(cmdline, " quiet", ""), "ro ")
	said, err := c.guest(ctx, dir, "install", "TREE="+tree, "FILES="+scratch, "SCRATCH="+scratch, "UUID="+CellUUID,
		"BOOT="+cellBoot, "ESP="+cellESP, "MD="+cellMD, "WORDS="+words)
	if log != nil {
		fmt.Fprint(log, said)
	}
	return errors.Join(err, os.RemoveAll(scratch))
}

func cellAt(dir, loader, root string) *Cell {
	c := &Cell{Loader: loader, Root: root}
	for i := range cellRoots[root].disks {
		c.Disks = append(c.Disks, filepath.Join(dir, fmt.Sprintf("disk-%d.raw", i)))
	}
	return c
}

// cellTree returns the folder with the Debian for a root, in root.
func cellTree(ctx context.Context, cache string, r cellRoot, log logWriter) (string, error) {
	if os.Geteuid() != 0 {
		return "", errors.New("making a Debian needs root; run with sudo")
	}
	args := []string{suite, debian.Mirror(), cellPackages + r.packages, r.modules, hostname, r.mdadm}
	name := "cell-tree-" + key(append([]string{"1", buildCell, passwordHash}, args...)...)
	return kept(ctx, cache, name, func(ctx context.Context, dir string) error {
		script, root := filepath.Join(dir, "build.sh"), filepath.Join(dir, "root")
		if err := os.WriteFile(script, []byte(buildCell), 0o700); err != nil {
			return err
		}
		if err := proc.Alone(ctx, log, "sh", append([]string{script, root}, args...)...); err != nil {
			return fmt.Errorf("make a Debian tree: %w", err)
		}
		return setPassword(filepath.Join(root, "etc/shadow"))
	})
}

// Check has the checkers of each layer look at disks that are the cell's: nothing is written.
func (c *Cell) Check(ctx context.Context, dir string, disks []string) (said string, err error) {
	on := &Cell{Loader: c.Loader, Root: c.Root, Disks: disks}
	return on.guest(ctx, dir, "check")
}

// guest runs the script on the disks in a user-mode Linux.
func (c *Cell) guest(ctx context.Context, dir, verb string, env ...string) (string, error) {
	fs := c.Root
	if fs == "lvm" || fs == "md" {
		fs = "ext4"
	}
	return uml.Run(ctx, dir, uml.Task{Name: cellTask, Disk: c.Disks[0], More: c.Disks[1:], FS: fs,
		Args: append([]string{verb, c.Loader, c.Root}, env...)})
}

const cellTask = "cell"

func init() {
	uml.Handle(cellTask, func(t uml.Task) (string, error) {
		for _, e := range append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, t.Args[3:]...) {
			name, value, _ := strings.Cut(e, "=")
			if err := os.Setenv(name, value); err != nil {
				return "", err
			}
		}
		return inGuest(cellScript, t.Args[:3]...)
	})
}
