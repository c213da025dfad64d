package osimage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/internal/testenv/uml"
)

// rollback is a Debian on btrfs whose default subvolume was changed. Both subvolumes have a whole system with a kernel,
// an initrd and a configuration of their own, and the command line of each says which it is: "before" or "after" the
// change.
type rollback struct {
	Before, After string // paths of the subvolumes from the top
	// Files that each gets: @KERNEL@, @INITRD@ and @ARGS@ are those of its system, @SUB@ is its path.
	Files map[string]string
	// Extlinux is the folder at the top that EXTLINUX is installed to, with a system named "top" beside it; empty:
	// none.
	Extlinux      string
	UUID, Cmdline string
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

// btrfsUpstream is a disk with GRUB as its authors and Debian make it, which knows no default subvolume: grub-install
// and grub-mkconfig, run after the change, have written the subvolume's path.
func btrfsUpstream(ctx context.Context, b *base, disk string) error {
	r := rollback{Before: fmt.Sprintf(snapshots, 1), After: fmt.Sprintf(snapshots, 2),
		Files: map[string]string{"boot/grub/grub.cfg": strings.ReplaceAll(grubEntry, "@DIR@", "/@SUB@")}}
	if err := b.btrfsDisk(ctx, disk, r); err != nil {
		return err
	}
	return b.grubInGap(ctx, disk, "(hd0,msdos1)/"+r.After+"/boot/grub", "", "btrfs")
}

// btrfsSUSE has what openSUSE's GRUB is installed with: its paths begin at the default subvolume, whichever that is.
// The GRUB itself is Debian's, which does not know this, so that the disk starts only from the agent.
func btrfsSUSE(ctx context.Context, b *base, disk string) error {
	const relative = "set btrfs_relative_path=\"yes\"\n"
	r := rollback{Before: fmt.Sprintf(snapshots, 1), After: fmt.Sprintf(snapshots, 2),
		Files: map[string]string{"boot/grub2/grub.cfg": relative + "export btrfs_relative_path\n" +
			strings.ReplaceAll(grubEntry, "@DIR@", "")}}
	if err := b.btrfsDisk(ctx, disk, r); err != nil {
		return err
	}
	return b.grubInGap(ctx, disk, "/boot/grub2", relative+"search.fs_uuid "+b.RootUUID+
		" root\nset prefix=($root)'/boot/grub2'\n", "btrfs")
}

// btrfsExtlinux has EXTLINUX, which knows no default subvolume: as Debian's installs itself it begins at the top, where
// it has its own kernel.
func btrfsExtlinux(ctx context.Context, b *base, disk string) error {
	r := rollback{Before: "@before", After: "@after", Extlinux: "boot/extlinux", Files: map[string]string{
		"boot/extlinux/extlinux.conf": "SERIAL 0 115200\nDEFAULT debian\nLABEL debian\n\tLINUX @KERNEL@\n\tINITRD " +
			"@INITRD@\n\tAPPEND @ARGS@\n"}}
	if err := b.btrfsDisk(ctx, disk, r); err != nil {
		return err
	}
	code, err := os.ReadFile(extlinuxMBR)
	if err != nil {
		return err
	}
	return patch(disk, code[:min(len(code), 440)], 0)
}

// extlinuxMBR is the first sector of a disk, as Debian's package syslinux-common has it, that starts the active
// partition.
const extlinuxMBR = "/usr/lib/syslinux/mbr/mbr.bin"

// btrfsDisk makes the disk with everything but what is in front of its partition. The file system is made by mkfs; its
// subvolumes by a user-mode Linux. Set-id bits are lost on the way, as debugfs reads the tree.
func (b *base) btrfsDisk(ctx context.Context, disk string, r rollback) error {
	ext4, tree, part := filepath.Join(b.dir, "root.ext4"), filepath.Join(b.dir, "tree"),
		filepath.Join(b.dir, "root.btrfs")
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
	if err := write(tree, map[string]string{"etc/fstab": "UUID=" + b.RootUUID +
		" / btrfs defaults 0 0\n"}); err != nil {
		return err
	}
	// What the Debian has in /boot is for its ext4.
	if err := errors.Join(os.RemoveAll(filepath.Join(tree, "boot")),
		os.Mkdir(filepath.Join(tree, "boot"), 0o755)); err != nil {
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
	if err := proc.Run(ctx, b.log, "mkfs.btrfs", "-q", "-f", "-K", "-L", "root", "-U", b.RootUUID, "--rootdir", tree,
		part); err != nil {
		return err
	}
	if fi, err := os.Stat(part); err != nil || fi.Size() != btrfsSize {
		return fmt.Errorf("mkfs.btrfs wants another size than %d MiB for the tree: %v, %v", btrfsSize/mib, fi, err)
	}
	r.UUID, r.Cmdline = b.RootUUID, b.Cmdline
	work, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := uml.Run(ctx, b.dir,
		uml.Task{Name: makeRollback, Disk: part, FS: "btrfs", Args: []string{string(work)}}); err != nil {
		return err
	}
	return b.onePartition(ctx, disk, part, btrfsSize)
}

const makeRollback = "make-rollback"

func init() {
	uml.Handle(makeRollback, func(t uml.Task) (string, error) {
		var r rollback
		if err := json.Unmarshal([]byte(t.Args[0]), &r); err != nil {
			return "", err
		}
		// Process 1 has no PATH.
		if err := os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"); err != nil {
			return "", err
		}
		if err := unix.Mount(uml.Disk, uml.Mounts, t.FS, 0, "subvol=/"); err != nil {
			return "", err
		}
		return "", errors.Join(r.make(uml.Mounts), unix.Unmount(uml.Mounts, 0))
	})
}

// make turns the tree at the top of a btrfs into two subvolumes, and makes the second the default. It runs in the
// user-mode Linux.
func (r rollback) make(top string) error {
	before, after := filepath.Join(top, r.Before), filepath.Join(top, r.After)
	if err := r.move(top, before); err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(after), 0o755),
		in("btrfs", "subvolume", "snapshot", before, after)); err != nil {
		return err
	}
	systems := map[string]string{"before": r.Before, "after": r.After}
	if r.Extlinux != "" {
		systems["top"] = ""
	}
	for name, sub := range systems {
		if err := r.configure(top, name, sub); err != nil {
			return err
		}
	}
	if r.Extlinux != "" {
		if err := in("extlinux", "--install", filepath.Join(top, r.Extlinux)); err != nil {
			return err
		}
	}
	return errors.Join(in("btrfs", "subvolume", "set-default", before), in("btrfs", "subvolume", "set-default", after))
}

// move makes the tree at the top the subvolume to; with EXTLINUX its boot folder stays too.
func (r rollback) move(top, to string) error {
	old, err := os.ReadDir(top)
	if err != nil {
		return err
	}
	first := filepath.Join(top, "first")
	if err := in("btrfs", "subvolume", "snapshot", top, first); err != nil {
		return err
	}
	for _, e := range old {
		if r.Extlinux != "" && e.Name() == "boot" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(top, e.Name())); err != nil {
			return err
		}
	}
	if dir, _, nested := strings.Cut(r.Before, "/"); nested {
		if err := in("btrfs", "subvolume", "create", filepath.Join(top, dir)); err != nil {
			return err
		}
	}
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.Rename(first, to))
}

// configure gives kernel and initrd of a system its name, and writes its files.
func (r rollback) configure(top, name, sub string) error {
	root, kernel, initrd := filepath.Join(top, sub), "/boot/vmlinuz-"+name, "/boot/initrd-"+name
	err := errors.Join(os.Rename(filepath.Join(root, "boot/vmlinuz"), filepath.Join(root, kernel)),
		os.Rename(filepath.Join(root, "boot/initrd"), filepath.Join(root, initrd)))
	if err != nil {
		return err
	}
	fill := strings.NewReplacer("@KERNEL@", kernel, "@INITRD@", initrd, "@SUB@", sub, "@UUID@", r.UUID,
		"@ARGS@", "root=UUID="+r.UUID+" "+r.Cmdline+" "+Entry+name)
	files := map[string]string{}
	for file, text := range r.Files {
		files[file] = fill.Replace(text)
	}
	return write(root, files)
}

// inGuest runs a script inside the guest, and returns what it said.
func inGuest(script string, args ...string) (string, error) {
	cmd := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// in runs a program inside the guest.
func in(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
