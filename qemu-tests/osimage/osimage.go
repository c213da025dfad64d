// Package osimage makes the disks that the tests restore: a small real Debian that boots to a login prompt, and,
// without any network, a disk of a few dozen megabytes with a varied tree for tests that boot nothing.
//
// Nothing is mounted. The tree is a directory (for Debian: made by mmdebstrap), mkfs.ext4 -d and mtools put trees into
// file systems, sfdisk writes the partition table. What goes in is listed file by file in Root and ESP, so that a
// restored disk can be held against the tree it came from and not only against the disk image in between.
package osimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
)

// Image is a finished disk with what is known of its contents.
type Image struct {
	Dir  string      // where everything of it lies
	Disk string      // raw disk, sparse
	Size int64       // bytes
	Root oracle.Tree // the root file system as it went in
	ESP  oracle.Tree // the EFI system partition as it went in
	FS   string      // of the root: ext4, xfs or btrfs

	// Kernel and Modules (the directory /lib/modules/RELEASE) are those of the Debian inside; empty for a small image.
	Kernel, Initrd, Modules string
	BtrfsInitrd             string // Initrd with btrfs' module
	// Shim and GRUB are Debian's signed boot loaders that start this kernel over the network with Secure Boot on; empty
	// for a small image.
	Shim, GRUB string
	// RootUUID and Cmdline boot the disk directly.
	RootUUID, Cmdline string
}

// Layout of every disk made here, in bytes.
const (
	mib      = 1 << 20
	espStart = 1 * mib
)

// layout is where the parts of a disk lie.
type layout struct {
	esp, root, swap int64 // sizes; swap may be 0
	diskGUID        string
	espGUID         string
	rootGUID        string
	swapGUID        string
	espID           string // FAT volume id, 8 hex digits
	rootUUID        string
}

func (l layout) rootStart() int64 { return espStart + l.esp }
func (l layout) swapStart() int64 { return l.rootStart() + l.root }

// size leaves room for the backup GPT.
func (l layout) size() int64 { return l.swapStart() + l.swap + mib }

// script is sfdisk's input.
func (l layout) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "label: gpt\nlabel-id: %s\nunit: sectors\nsector-size: 512\n\n", l.diskGUID)
	fmt.Fprintf(&b, "start=%d, size=%d, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, uuid=%s, name=\"EFI System\"\n",
		espStart/512, l.esp/512, l.espGUID)
	fmt.Fprintf(&b, "start=%d, size=%d, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, uuid=%s, name=\"root\"\n",
		l.rootStart()/512, l.root/512, l.rootGUID)
	if l.swap > 0 {
		fmt.Fprintf(&b, "start=%d, size=%d, type=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F, uuid=%s, name=\"swap\"\n",
			l.swapStart()/512, l.swap/512, l.swapGUID)
	}
	return b.String()
}

// format makes a disk of the trees under rootDir and espDir.
func (l layout) format(ctx context.Context, disk, rootDir, espDir string, log io.Writer) error {
	f, err := os.Create(disk)
	if err != nil {
		return err
	}
	if err := f.Truncate(l.size()); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := proc.Input(ctx, log, strings.NewReader(l.script()), "sfdisk", "--quiet", disk); err != nil {
		return err
	}
	if err := proc.Run(ctx, log, "mkfs.fat", "-F", "32", "-s", "1", "-n", "ESP", "-i", l.espID,
		"--offset", fmt.Sprint(espStart/512), disk, fmt.Sprint(l.esp/1024)); err != nil {
		return err
	}
	entries, err := filepath.Glob(filepath.Join(espDir, "*"))
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		args := append([]string{"-Q", "-s", "-m", "-i", fmt.Sprintf("%s@@%d", disk, espStart)}, entries...)
		if err := proc.Run(ctx, log, "mcopy", append(args, "::/")...); err != nil {
			return err
		}
	}
	if l.swap > 0 {
		if err := l.formatSwap(ctx, disk, log); err != nil {
			return err
		}
	}
	return proc.Run(ctx, log, "mkfs.ext4", "-q", "-F", "-L", "root", "-U", l.rootUUID, "-d", rootDir,
		"-E", fmt.Sprintf("offset=%d,hash_seed=%s,lazy_itable_init=0,nodiscard", l.rootStart(), l.rootUUID),
		disk, fmt.Sprintf("%dk", l.root/1024))
}

// formatSwap makes the swap area in a file of its own, since mkswap knows no offset on every Debian, and copies its
// header.
func (l layout) formatSwap(ctx context.Context, disk string, log io.Writer) error {
	part := disk + ".swap"
	defer os.Remove(part)
	if err := os.WriteFile(part, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(part, l.swap); err != nil {
		return err
	}
	if err := proc.Run(ctx, log, "mkswap", "-q", "-L", "swap", "-U", l.swapGUID, part); err != nil {
		return err
	}
	head, err := os.ReadFile(part)
	if err != nil {
		return err
	}
	return patch(disk, head[:4096], l.swapStart())
}

// key names a recipe: the same recipe makes the same disk, so its result can be kept.
func key(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:6])
}
