package osimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/proc"
	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/uml"
)

// rollback is a Debian on btrfs whose default subvolume was changed. Both subvolumes have a whole system with a kernel, an initrd and a
// configuration of their own, and the command line of each says which it is: "before" or "after" the change.
type rollback struct {
	before, after string            // paths of the subvolumes from the top
	files         map[string]string // that each gets: @KERNEL@, @INITRD@ and @ARGS@ are those of its system, @SUB@ its path
	extlinux      string            // folder at the top that EXTLINUX is installed to, with a system named "top" beside it; empty: none
}

// btrfsSize is the size in bytes of the file system, which lies where mbrGap has its root.
const btrfsSize = 832 * mib

// snapshots is where openSUSE has the subvolumes of its system.
const snapshots = "@/.snapshots/%d/snapshot"

// grubEntry is a menu with one entry.
const grubEntry = `set timeout=0
serial --unit=0 --speed=115200
terminal_output serial
menuentry 'Debian on btrfs' {
	search --no-floppy --fs-uuid --set=root @UUID@
	linux @DIR@@KERNEL@ @ARGS@
	initrd @DIR@@INITRD@
}
`

// btrfsUpstream is a disk with GRUB as its authors and Debian make it, which knows no default subvolume: grub-install and grub-mkconfig, run after the
// change, have written the subvolume's path.
func btrfsUpstream(ctx context.Context, b *base, disk string) error {
	r := rollback{before: fmt.Sprintf(snapshots, 1), after: fmt.Sprintf(snapshots, 2),
		files: map[string]string{"boot/grub/grub.cfg": strings.ReplaceAll(grubEntry, "@DIR@", "/@SUB@")}}
	if err := b.btrfsDisk(ctx, disk, r); err != nil {
		return err
	}
	return b.grubInGap(ctx, disk, "(hd0,msdos1)/"+r.after+"/boot/grub", "", "btrfs")
}

// btrfsSUSE has what openSUSE's GRUB is installed with: its paths begin at the default subvolume, whichever that is. The GRUB itself is Debian's, which
// does not know this, so that the disk starts only from the agent.
func btrfsSUSE(ctx context.Context, b *base, disk string) error {
	const relative = "set btrfs_relative_path=\"yes\"\n"
	r := rollback{before: fmt.Sprintf(snapshots, 1), after: fmt.Sprintf(snapshots, 2),
		files: map[string]string{"boot/grub2/grub.cfg": relative + "export btrfs_relative_path\n" + strings.ReplaceAll(grubEntry, "@DIR@", "")}}
	if err := b.btrfsDisk(ctx, disk, r); err != nil {
		return err
	}
	return b.grubInGap(ctx, disk, "/boot/grub2", relative+"search.fs_uuid "+b.RootUUID+" root\nset prefix=($root)'/boot/grub2'\n", "btrfs")
}

// btrfsExtlinux has EXTLINUX, which knows no default subvolume: as Debian's installs itself it begins at the top, where it has its own kernel.
func btrfsExtlinux(ctx context.Context, b *base, disk string) error {
	r := rollback{before: "@before", after: "@after", extlinux: "boot/extlinux", files: map[string]string{
		"boot/extlinux/extlinux.conf": "SERIAL 0 115200\nDEFAULT debian\nLABEL debian\n\tLINUX @KERNEL@\n\tINITRD @INITRD@\n\tAPPEND @ARGS@\n"}}
	if err := b.btrfsDisk(ctx, disk, r); err != nil {
		return err
	}
	code, err := os.ReadFile(extlinuxMBR)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(code[:min(len(code), 440)], 0)
	return errors.Join(err, f.Close())
}

// extlinuxMBR is the first sector of a disk, as Debian's package syslinux-common has it, that starts the active partition.
const extlinuxMBR = "/usr/lib/syslinux/mbr/mbr.bin"

// btrfsDisk makes the disk with everything but what is in front of its partition. The file system is made by mkfs; its subvolumes by a user-mode Linux.
// Set-id bits are lost on the way, as debugfs reads the tree.
func (b *base) btrfsDisk(ctx context.Context, disk string, r rollback) error {
	ext4, tree, part := filepath.Join(b.dir, "root.ext4"), filepath.Join(b.dir, "tree"), filepath.Join(b.dir, "root.btrfs")
	defer os.RemoveAll(tree)
	defer os.Remove(part)
	defer os.Remove(ext4)
	if err := errors.Join(os.Mkdir(tree, 0o755), b.extract(ctx, ext4)); err != nil {
		return err
	}
	if err := proc.Run(ctx, b.log, "debugfs", "-R", "rdump / "+tree, ext4); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(tree, "lost+found")); err != nil {
		return err
	}
	if err := write(tree, map[string]string{"etc/fstab": "UUID=" + b.RootUUID + " / btrfs defaults 0 0\n"}); err != nil {
		return err
	}
	// What the Debian has in /boot is for its ext4.
	if err := errors.Join(os.RemoveAll(filepath.Join(tree, "boot")), os.Mkdir(filepath.Join(tree, "boot"), 0o755)); err != nil {
		return err
	}
	for from, to := range map[string]string{b.Kernel: "boot/vmlinuz", b.BtrfsInitrd: "boot/initrd"} {
		if err := copyFile(from, filepath.Join(tree, to)); err != nil {
			return err
		}
	}
	if err := sparse.Create(part, btrfsSize); err != nil {
		return err
	}
	if err := proc.Run(ctx, b.log, "mkfs.btrfs", "-q", "-f", "-K", "-L", "root", "-U", b.RootUUID, "--rootdir", tree, part); err != nil {
		return err
	}
	if fi, err := os.Stat(part); err != nil || fi.Size() != btrfsSize {
		return fmt.Errorf("mkfs.btrfs wants another size than %d MiB for the tree: %v, %v", btrfsSize/mib, fi, err)
	}
	args := []string{r.before, r.after, r.extlinux, b.RootUUID, b.Cmdline}
	for name, text := range r.files {
		args = append(args, name, text)
	}
	if _, err := uml.Run(ctx, b.dir, uml.Task{Name: makeRollback, Disk: part, FS: "btrfs", Args: args}); err != nil {
		return err
	}
	return b.onePartition(ctx, disk, part, btrfsSize)
}

const makeRollback = "make-rollback"

func init() { uml.Handle(makeRollback, inGuest) }

// inGuest turns the tree at the top of a btrfs into two subvolumes, and makes the second the default. It runs in the user-mode Linux.
func inGuest(t uml.Task) (string, error) {
	top, a := uml.Mounts, t.Args
	before, after, extlinux, uuid, cmdline, files := filepath.Join(top, a[0]), filepath.Join(top, a[1]), a[2], a[3], a[4], a[5:]
	if err := os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"); err != nil { // process 1 has none
		return "", err
	}
	do := func(name string, args ...string) error {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := unix.Mount(uml.Disk, top, t.FS, 0, "subvol=/"); err != nil {
		return "", err
	}
	old, err := os.ReadDir(top)
	if err != nil {
		return "", err
	}
	first := filepath.Join(top, "first")
	if err := do("btrfs", "subvolume", "snapshot", top, first); err != nil {
		return "", err
	}
	for _, e := range old {
		if extlinux != "" && e.Name() == "boot" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(top, e.Name())); err != nil {
			return "", err
		}
	}
	if dir, _, nested := strings.Cut(a[0], "/"); nested {
		if err := do("btrfs", "subvolume", "create", filepath.Join(top, dir)); err != nil {
			return "", err
		}
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(before), 0o755), os.MkdirAll(filepath.Dir(after), 0o755), os.Rename(first, before)); err != nil {
		return "", err
	}
	if err := do("btrfs", "subvolume", "snapshot", before, after); err != nil {
		return "", err
	}
	systems := map[string]string{"before": a[0], "after": a[1]}
	if extlinux != "" {
		systems["top"] = ""
	}
	for what, sub := range systems {
		root, kernel, initrd := filepath.Join(top, sub), "/boot/vmlinuz-"+what, "/boot/initrd-"+what
		err := errors.Join(os.Rename(filepath.Join(root, "boot/vmlinuz"), filepath.Join(root, kernel)),
			os.Rename(filepath.Join(root, "boot/initrd"), filepath.Join(root, initrd)))
		if err != nil {
			return "", err
		}
		fill := strings.NewReplacer("@KERNEL@", kernel, "@INITRD@", initrd, "@SUB@", sub, "@UUID@", uuid,
			"@ARGS@", "root=UUID="+uuid+" "+cmdline+" "+Entry+what)
		for i := 0; i+1 < len(files); i += 2 {
			if err := write(root, map[string]string{files[i]: fill.Replace(files[i+1])}); err != nil {
				return "", err
			}
		}
	}
	if extlinux != "" {
		if err := do("extlinux", "--install", filepath.Join(top, extlinux)); err != nil {
			return "", err
		}
	}
	if err := do("btrfs", "subvolume", "set-default", after); err != nil {
		return "", err
	}
	return "", unix.Unmount(top, 0)
}
