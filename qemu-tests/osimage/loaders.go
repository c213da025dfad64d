package osimage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// Programs of boot loaders, as Debian's packages systemd-boot-efi and grub-pc-bin install them.
const (
	sdBoot  = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	sdStub  = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	grubPC  = "/usr/lib/grub/i386-pc"
	grubMBR = grubPC + "/boot.img"
)

// Entry is a word on a variant's kernel command line that tells which of its entries was started.
const Entry = "diskcast.entry="

// words is the kernel command line of an entry of a variant.
func (b *base) words(entry string) string {
	return "root=UUID=" + b.RootUUID + " " + b.Cmdline + " " + Entry + entry
}

func init() {
	variants["systemd-boot"] = variant{esp: systemdBoot}
	variants["uki"] = variant{esp: unifiedKernel}
	variants["mbr-gap"] = variant{disk: mbrGap}
	variants["xen"] = variant{disk: xen}
	variants["btrfs"] = variant{disk: btrfsUpstream, fs: "btrfs"}
	variants["btrfs-suse"] = variant{disk: btrfsSUSE, fs: "btrfs"}
	variants["btrfs-extlinux"] = variant{disk: btrfsExtlinux, fs: "btrfs"}
}

// systemdBoot has two entries with boot counters: the newer one has no tries left, so the older one is to be started,
// whatever its version.
func systemdBoot(b *base, tree string) error {
	if err := os.RemoveAll(filepath.Join(tree, "EFI")); err != nil {
		return err
	}
	for from, to := range map[string]string{sdBoot: "EFI/systemd/systemd-bootx64.efi", b.Kernel: "debian/vmlinuz",
		b.Initrd: "debian/initrd.img"} {
		if err := place(from, filepath.Join(tree, to)); err != nil {
			return err
		}
	}
	entry := func(version, what string) string {
		return fmt.Sprintf("title Debian\nversion %s\nsort-key debian\nlinux /debian/vmlinuz\ninitrd "+
			"/debian/initrd.img\noptions %s\n", version, b.words(what))
	}
	return write(tree, map[string]string{
		"loader/loader.conf":                  "timeout 0\n",
		"loader/entries/debian-2+0-3.conf":    entry("2", "no-tries-left"),
		"loader/entries/debian-1+2.conf":      entry("1", "tries-left"),
		"loader/entries/a-broken+3.conf":      "title Broken\nversion 9\nlinux /debian/gone\n",
		"loader/entries/other-processor.conf": "title ARM\nversion 9\narchitecture aa64\nlinux /debian/vmlinuz\n",
	})
}

// unifiedKernel has one file: kernel, initrd and command line behind systemd's stub, which firmware starts by a boot
// entry.
func unifiedKernel(b *base, tree string) error {
	if err := os.RemoveAll(filepath.Join(tree, "EFI")); err != nil {
		return err
	}
	if err := write(b.dir, map[string]string{"cmdline": b.words("uki"),
		"os-release": "ID=debian\nPRETTY_NAME=\"Debian\"\nVERSION_ID=12\n"}); err != nil {
		return err
	}
	to := filepath.Join(tree, "EFI/Linux/debian.efi")
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	// The sections lie behind the stub's own, at the addresses that systemd-stub(7) has used since it has existed.
	args := []string{}
	for _, s := range []struct{ name, file, at string }{
		{".osrel", filepath.Join(b.dir, "os-release"), "0x20000"},
		{".cmdline", filepath.Join(b.dir, "cmdline"), "0x30000"},
		{".linux", b.Kernel, "0x2000000"}, {".initrd", b.Initrd, "0x4000000"},
	} {
		args = append(args, "--add-section", s.name+"="+s.file, "--change-section-vma", s.name+"="+s.at)
	}
	err := proc.Run(context.Background(), b.log, "objcopy", append(args, sdStub, to)...)
	return errors.Join(err, os.Remove(filepath.Join(b.dir, "cmdline")), os.Remove(filepath.Join(b.dir, "os-release")))
}

// gapStart is where the only partition of a disk with GRUB in the gap begins, in bytes.
const gapStart = 1 * mib

// mbrGap is a disk for BIOS: an MBR, GRUB in the gap behind it, and the Debian's root as its only partition.
func mbrGap(ctx context.Context, b *base, disk string) error { return b.biosDisk(ctx, disk, "") }

// biosDisk makes the disk; grubConfig takes the place of the Debian's when it is not empty.
func (b *base) biosDisk(ctx context.Context, disk, grubConfig string) error {
	root := filepath.Join(b.dir, "root.ext4")
	defer os.Remove(root)
	if err := b.extract(ctx, root); err != nil {
		return err
	}
	if grubConfig != "" {
		if err := b.replace(ctx, root, "/boot/grub/grub.cfg", grubConfig); err != nil {
			return err
		}
	}
	if err := b.onePartition(ctx, disk, root, debianLayout.root); err != nil {
		return err
	}
	return b.grubInGap(ctx, disk, "(hd0,msdos1)/boot/grub", "", "ext2")
}

// extract copies the Debian's root out of its disk.
func (b *base) extract(ctx context.Context, to string) error {
	l := debianLayout
	return proc.Run(ctx, b.log, "dd", "if="+b.Disk, "of="+to, "bs=1M", "conv=sparse", "status=none",
		"skip="+strconv.Itoa(int(l.rootStart()/mib)), "count="+strconv.Itoa(int(l.root/mib)))
}

// onePartition makes a disk with an MBR and one active partition, which holds what is in the file root, of size bytes.
func (b *base) onePartition(ctx context.Context, disk, root string, size int64) error {
	if err := errors.Join(os.Remove(disk), sparse.Create(disk, gapStart+size+mib)); err != nil {
		return err
	}
	script := fmt.Sprintf("label: dos\nlabel-id: 0xd15cca57\nstart=%d, size=%d, type=83, bootable\n", gapStart/512,
		size/512)
	if err := proc.Input(ctx, b.log, strings.NewReader(script), "sfdisk", "--quiet", disk); err != nil {
		return err
	}
	return sparse.Insert(ctx, root, disk, gapStart)
}

// grubInGap installs GRUB with a prefix, a configuration inside it (empty: none) and the modules of a file system and
// what it is in; with gzio too, because Xen's image is compressed.
func (b *base) grubInGap(ctx context.Context, disk, prefix, config string, fs ...string) error {
	core, file := filepath.Join(b.dir, "core.img"), filepath.Join(b.dir, "core.cfg")
	defer os.Remove(core)
	args := []string{"-O", "i386-pc", "-d", grubPC, "-o", core, "-p", prefix}
	if config != "" {
		if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
			return err
		}
		defer os.Remove(file)
		args = append(args, "-c", file)
	}
	args = append(args, "biosdisk", "part_msdos", "part_gpt", "normal", "configfile", "linux", "multiboot2", "gzio",
		"search", "search_fs_uuid", "echo", "serial", "terminal", "test", "loadenv", "minicmd")
	if err := proc.Run(ctx, b.log, "grub-mkimage", append(args, fs...)...); err != nil {
		return err
	}
	return embed(disk, core)
}

// embed puts GRUB where grub-install would: its first sector into the MBR, around the table, and its core behind it.
// Both hold, by default, that the core begins in sector 1 (GRUB, boot.S and diskboot.S: kernel_sector,
// blocklist_default_start).
func embed(disk, core string) error {
	first, err := os.ReadFile(grubMBR)
	if err != nil {
		return err
	}
	rest, err := os.ReadFile(core)
	if err != nil {
		return err
	}
	if len(first) != 512 || len(rest) > gapStart-512 || binary.LittleEndian.Uint64(first[0x5c:]) != 1 {
		return fmt.Errorf("GRUB's boot.img has %d bytes and names sector %d, its core has %d bytes", len(first),
			binary.LittleEndian.Uint64(first[0x5c:]), len(rest))
	}
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err1 := f.WriteAt(first[:440], 0)
	_, err2 := f.WriteAt(rest, 512)
	return errors.Join(err1, err2, f.Close())
}

// xenGRUB is the entry that Debian's 20_linux_xen makes.
const xenGRUB = `set timeout=0
set default=0
serial --unit=0 --speed=115200
terminal_output serial
menuentry 'Debian GNU/Linux, with Xen hypervisor' --class xen {
	search --no-floppy --fs-uuid --set=root @UUID@
	multiboot2 /boot/xen.gz placeholder com1=115200,8n1 console=com1 dom0_mem=256M loglvl=all noreboot=true ` +
	`${xen_rm_opts}
	module2 /boot/vmlinuz-@RELEASE@ placeholder root=UUID=@UUID@ ro quiet console=hvc0
	module2 --nounzip /boot/initrd.img-@RELEASE@
}
menuentry 'Debian GNU/Linux' {
	search --no-floppy --fs-uuid --set=root @UUID@
	linux /boot/vmlinuz-@RELEASE@ root=UUID=@UUID@ @CMDLINE@ ` + Entry + `without-xen
	initrd /boot/initrd.img-@RELEASE@
}
`

// xenPackage is the package with the hypervisor of Debian 12.
const xenPackage = "xen-hypervisor-4.17-amd64"

// xen is mbrGap with the hypervisor, which the first entry starts.
func xen(ctx context.Context, b *base, disk string) error {
	dir := filepath.Join(b.dir, "xen")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := proc.Run(ctx, b.log, "sh", "-ec",
		`cd "$1"; apt-get -qq -o APT::Sandbox::User=root download "$2"; dpkg-deb -x ./*.deb tree; `+
			`cp tree/boot/xen-*.gz xen.gz`, "sh", dir, xenPackage); err != nil {
		return fmt.Errorf("the package %s: %w", xenPackage, err)
	}
	config := strings.NewReplacer("@UUID@", b.RootUUID, "@RELEASE@", b.release, "@CMDLINE@", b.Cmdline).Replace(xenGRUB)
	if err := b.biosDisk(ctx, disk, config); err != nil {
		return err
	}
	part := filepath.Join(b.dir, "root.ext4")
	defer os.Remove(part)
	l := debianLayout
	if err := proc.Run(ctx, b.log, "dd", "if="+disk, "of="+part, "bs=1M", "conv=sparse", "status=none", "skip=1",
		"count="+strconv.Itoa(int(l.root/mib))); err != nil {
		return err
	}
	if err := proc.Run(ctx, b.log, "debugfs", "-w", "-R", "write "+filepath.Join(dir, "xen.gz")+" /boot/xen.gz",
		part); err != nil {
		return err
	}
	return overwrite(part, disk, gapStart)
}

// replace writes a file anew in an ext4 that nobody has mounted.
func (b *base) replace(ctx context.Context, part, name, text string) error {
	file := filepath.Join(b.dir, "replacement")
	defer os.Remove(file)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	if err := proc.Run(ctx, b.log, "debugfs", "-w", "-R", "rm "+name, part); err != nil {
		return err
	}
	return proc.Run(ctx, b.log, "debugfs", "-w", "-R", "write "+file+" "+name, part)
}

// place copies a file into a folder that is made.
func place(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copyFile(from, to)
}

func write(dir string, files map[string]string) error {
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
