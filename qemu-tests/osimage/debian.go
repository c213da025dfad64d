package osimage

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/diskcast/diskcast/internal/testenv/debian"
	"github.com/diskcast/diskcast/internal/testenv/proc"
)

// logWriter receives what the programs say; nil for nobody.
type logWriter = io.Writer

// What the Debian is made of. A change of any of these makes another image.
const (
	suite    = "bookworm"
	hostname = "restored"
	// packages beside the minimal base. The cloud kernel has what virtual machines need and is a third of the usual
	// one.
	packages = "linux-image-cloud-amd64,initramfs-tools,zstd,systemd-sysv,udev,e2fsprogs,dosfstools," +
		"util-linux,kmod,iproute2"
	// cmdline is on the kernel line of the GRUB configuration. An emulated processor needs no mitigations, and the
	// self-tests of the kernel's ciphers take it two seconds.
	cmdline = "ro quiet console=ttyS0,115200n8 mitigations=off cryptomgr.notests"
	// User and Password log in on the serial console.
	User     = "root"
	Password = "diskcast"
	// passwordHash is `openssl passwd -6 -salt diskcast diskcast`.
	passwordHash = "$6$diskcast$.CPAXG50MY0mSPDnDkt8pH3gTWBhGxXm1XJvfr7UeZEwucFPDE8FtrLkLz.dwf9J.02gW9YGSvXqepEIBOmPI/"
)

// LoginPrompt is the pattern of the restored system's login prompt.
const LoginPrompt = `^` + hostname + ` login: `

var debianLayout = layout{
	esp: 64 * mib, root: 448 * mib,
	diskGUID: "D15CCA57-0000-4DEB-8000-00000000B00C",
	espGUID:  "D15CCA57-0001-4DEB-8000-00000000B00C",
	rootGUID: "D15CCA57-0002-4DEB-8000-00000000B00C",
	rootUUID: "d15cca57-0004-4deb-8000-00000000b00c",
	espID:    "d15cca57",
}

// BootWrites are the paths of the root that the booted Debian changes by itself before anybody logs in.
var BootWrites = []string{
	"etc/machine-id",  // systemd fills in an empty one
	"etc/.updated",    // systemd's update stamps
	"var/.updated",    //
	"var/lib/systemd", // random seed, timers, catalog
	"var/log",         // journal, wtmp
	"var/lib/dbus",    //
	"var/cache/ldconfig",
	"etc/ld.so.cache", // rewritten by ldconfig.service when an update stamp is missing
	"tmp", "var/tmp", "run", "root/.bash_history",
}

//go:embed build-debian.sh
var buildScript string

// grubConfig has the forms that the menu of an installed Debian has.
//
//go:embed grub.cfg
var grubConfig string

// Debian returns a disk with a small real Debian: GPT, ESP with Debian's signed shim and GRUB, ext4 root with kernel,
// GRUB configuration and a login on the serial port. The packages come from mirror ("" means debian.Mirror). It needs
// root: a tree with the right owners cannot be made without.
func Debian(ctx context.Context, cache, mirror string, log logWriter) (*Image, error) {
	if mirror == "" {
		mirror = debian.Mirror()
	}
	l := debianLayout
	name := "debian-" + key("2", suite, packages, hostname, cmdline, passwordHash, buildScript, grubConfig, l.script())
	return cached(ctx, cache, name, func(ctx context.Context, dir string) (meta, error) {
		root, esp := filepath.Join(dir, "root"), filepath.Join(dir, "esp")
		return system(ctx, dir, log, l, identity{name: hostname}, buildScript, root, esp, dir, suite, mirror, packages)
	})
}

// processor is what differs between a Debian for one and for another.
type processor struct {
	arch, efi, grub string // as Debian, UEFI's programs and GRUB's folders call it
	console         string
}

var (
	amd64 = processor{"amd64", "x64", "x86_64", "ttyS0,115200n8"}
	arm64 = processor{"arm64", "aa64", "arm64", "ttyAMA0"}
)

// words turns what is written for amd64 into what the processor needs: its serial line, and no line for GRUB, which has
// the firmware's console.
func (p processor) words(text string) string {
	if p == amd64 {
		return text
	}
	for _, line := range []string{"serial --unit=0 --speed=115200\n", "terminal_input serial\n",
		"terminal_output serial\n"} {
		text = strings.ReplaceAll(text, line, "")
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, amd64.console, p.console), amd64.arch, p.arch)
}

// DebianARM64 is Debian for machines of 64-bit ARM.
func DebianARM64(ctx context.Context, cache, mirror string, log logWriter) (*Image, error) {
	if mirror == "" {
		mirror = debian.Mirror()
	}
	l, id := debianLayout, identity{name: hostname, cpu: arm64}
	name := "arm64-" + key("1", suite, packages, hostname, cmdline, passwordHash, buildScript, grubConfig, l.script())
	return cached(ctx, cache, name, func(ctx context.Context, dir string) (meta, error) {
		root, esp := filepath.Join(dir, "root"), filepath.Join(dir, "esp")
		return system(ctx, dir, log, l, id, buildScript, root, esp, dir, suite, mirror, arm64.words(packages),
			arm64.arch, arm64.efi, arm64.grub)
	})
}

// identity is what a Debian has of its own before anything is restored.
type identity struct {
	name      string
	machineID string // with its line's end; empty: systemd makes one at the first start
	cpu       processor
}

// system makes a disk in dir of the trees root and esp there, the first of which a script makes that gets args.
func system(ctx context.Context, dir string, log logWriter, l layout, id identity, script string, args ...string) (meta,
	error) {
	if os.Geteuid() != 0 {
		return meta{}, errors.New("making a Debian needs root; run with sudo")
	}
	if id.cpu == (processor{}) {
		id.cpu = amd64
	}
	file := filepath.Join(dir, "build.sh")
	if err := os.WriteFile(file, []byte(script), 0o700); err != nil {
		return meta{}, err
	}
	if err := proc.Alone(ctx, log, "sh", append([]string{file}, args...)...); err != nil {
		return meta{}, fmt.Errorf("make a Debian tree: %w", err)
	}
	root := filepath.Join(dir, "root")
	release, err := customize(root, filepath.Join(dir, "esp"), l, id)
	if err != nil {
		return meta{}, err
	}
	if err := keepKernel(ctx, dir, root, release, log); err != nil {
		return meta{}, err
	}
	return meta{RootUUID: l.rootUUID, Cmdline: id.cpu.words(cmdline), Release: release, EFI: id.cpu.efi},
		finish(ctx, dir, l, log)
}

// keepKernel copies kernel, initial ramdisk and modules beside the disk.
func keepKernel(ctx context.Context, dir, root, release string, log logWriter) error {
	for from, to := range map[string]string{
		"boot/vmlinuz-" + release:    "vmlinuz",
		"boot/initrd.img-" + release: "initrd.img",
	} {
		if err := copyFile(filepath.Join(root, from), filepath.Join(dir, to)); err != nil {
			return err
		}
	}
	return proc.Run(ctx, log, "cp", "-a", filepath.Join(root, "usr/lib/modules"), filepath.Join(dir, "modules"))
}

// customize turns the plain tree into that of a machine, and returns its kernel's release.
func customize(root, esp string, l layout, id identity) (string, error) {
	kernels, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || len(kernels) != 1 {
		return "", fmt.Errorf("the Debian tree has kernels %v, want one (%v)", kernels, err)
	}
	release := strings.TrimPrefix(filepath.Base(kernels[0]), "vmlinuz-")
	fill := strings.NewReplacer("@UUID@", l.rootUUID, "@RELEASE@", release, "@CMDLINE@", cmdline).Replace
	espUUID := strings.ToUpper(l.espID[:4] + "-" + l.espID[4:])
	files := map[string]string{
		"etc/hostname":   id.name + "\n",
		"etc/hosts":      "127.0.0.1 localhost\n127.0.1.1 " + id.name + "\n",
		"etc/machine-id": id.machineID,
		"etc/fstab": fmt.Sprintf("UUID=%s / ext4 errors=remount-ro 0 1\nUUID=%s /boot/efi vfat "+
			"umask=0077,nofail 0 1\n", l.rootUUID, espUUID),
		"boot/grub/grub.cfg": id.cpu.words(fill(grubConfig)),
		"boot/efi/.keep":     "",
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	if err := setPassword(filepath.Join(root, "etc/shadow")); err != nil {
		return "", err
	}
	// Work that a freshly restored machine would do first, and that no test looks at.
	for _, unit := range []string{"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
		"e2scrub_all.timer",
		"e2scrub_reap.service", "fstrim.timer", "systemd-pstore.service", "getty@tty1.service",
		"getty-static.service"} {
		path := filepath.Join(root, "etc/systemd/system", unit)
		_ = os.Remove(path)
		if err := os.Symlink("/dev/null", path); err != nil {
			return "", err
		}
	}
	// Debian's signed GRUB looks for its configuration in EFI/debian of the partition that it was started from.
	grub := filepath.Join(esp, "EFI", "debian", "grub.cfg")
	if err := os.MkdirAll(filepath.Dir(grub), 0o755); err != nil {
		return "", err
	}
	return release, os.WriteFile(grub,
		[]byte("search.fs_uuid "+l.rootUUID+" root\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"),
		0o644)
}

func setPassword(shadow string) error {
	b, err := os.ReadFile(shadow)
	if err != nil {
		return err
	}
	lines := strings.Split(string(b), "\n")
	for i, line := range lines {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && f[0] == User {
			lines[i] = User + ":" + passwordHash + ":" + f[2]
		}
	}
	fi, err := os.Stat(shadow)
	if err != nil {
		return err
	}
	return os.WriteFile(shadow, []byte(strings.Join(lines, "\n")), fi.Mode().Perm())
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(0o644))
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
