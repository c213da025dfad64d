package osimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// LoaderPassphrase opens /boot of the variant "luks".
const LoaderPassphrase = "correct horse, battery"

// Where that variant's encrypted /boot is, in bytes, and what of it is header.
const (
	bootSize   = 128 * mib
	headerSize = 32 * mib
	bootUUID   = "d15cca57-0005-4deb-8000-00000000b00c"
	luksUUID   = "d15cca57-0006-4deb-8000-00000000b00c"
)

func init() { variants["luks"] = variant{disk: encryptedBoot} }

// encryptedGRUB asks for the passphrase on the serial console.
const encryptedGRUB = `serial --unit=0 --speed=115200
terminal_input serial
terminal_output serial
cryptomount -u LUKS
search.fs_uuid BOOT root cryptouuid/LUKS
set prefix=($root)'/grub'
`

// encryptedConfig is as Debian's grub-mkconfig makes it with GRUB_ENABLE_CRYPTODISK.
const encryptedConfig = `set timeout=0
menuentry 'Debian GNU/Linux' {
	insmod cryptodisk
	insmod luks2
	cryptomount -u LUKS
	set root='cryptouuid/LUKS'
	search --no-floppy --fs-uuid --set=root --hint='cryptouuid/LUKS' BOOT
	linux /vmlinuz-RELEASE WORDS
	initrd /initrd.img-RELEASE
}
`

// encryptedBoot is a disk for BIOS with GRUB in the gap, /boot in LUKS2 as its first partition, and the Debian's root
// as its second.
func encryptedBoot(ctx context.Context, b *base, disk string) error {
	fill := strings.NewReplacer("LUKS", strings.ReplaceAll(luksUUID, "-", ""), "BOOT", bootUUID, "RELEASE", b.release,
		"WORDS", b.words("luks"))
	tree, boot := filepath.Join(b.dir, "boot"), filepath.Join(b.dir, "boot.luks")
	defer os.RemoveAll(tree)
	defer os.Remove(boot)
	for from, to := range map[string]string{b.Kernel: "vmlinuz-" + b.release, b.Initrd: "initrd.img-" + b.release} {
		if err := place(from, filepath.Join(tree, to)); err != nil {
			return err
		}
	}
	key := filepath.Join(b.dir, "key")
	defer os.Remove(key)
	err := errors.Join(write(tree, map[string]string{"grub/grub.cfg": fill.Replace(encryptedConfig)}),
		os.WriteFile(key, []byte(LoaderPassphrase), 0o600),
		proc.Run(ctx, b.log, "mke2fs", "-q", "-t", "ext4", "-U", bootUUID, "-d", tree, boot,
			fmt.Sprintf("%dM", (bootSize-headerSize)/mib)))
	if err != nil {
		return err
	}
	if err := os.Truncate(boot, bootSize); err != nil {
		return err
	}
	// GRUB's processor is emulated: few iterations.
	if err := proc.Run(ctx, b.log, "cryptsetup", "reencrypt", "--encrypt", "-q", "--type", "luks2", "--pbkdf", "pbkdf2",
		"--pbkdf-force-iterations", "1000", "--uuid", luksUUID, "--reduce-device-size",
		fmt.Sprintf("%dM", headerSize/mib), "--key-file", key, boot); err != nil {
		return err
	}
	root := filepath.Join(b.dir, "root.ext4")
	defer os.Remove(root)
	if err := b.extract(ctx, root); err != nil {
		return err
	}
	size := debianLayout.root
	if err := errors.Join(os.Remove(disk), sparse.Create(disk, gapStart+bootSize+size+mib)); err != nil {
		return err
	}
	script := fmt.Sprintf("label: dos\nlabel-id: 0xd15cca58\nstart=%d, size=%d, type=83, bootable\n"+
		"start=%d, size=%d, type=83\n", gapStart/512, bootSize/512, (gapStart+bootSize)/512, size/512)
	if err := proc.Input(ctx, b.log, strings.NewReader(script), "sfdisk", "--quiet", disk); err != nil {
		return err
	}
	if err := errors.Join(sparse.Insert(ctx, boot, disk, gapStart),
		sparse.Insert(ctx, root, disk, gapStart+bootSize)); err != nil {
		return err
	}
	return b.grubInGap(ctx, disk, "(cryptouuid/"+fill.Replace("LUKS")+")/grub", fill.Replace(encryptedGRUB), "ext2",
		"cryptodisk", "luks2", "gcry_rijndael", "gcry_sha256")
}
