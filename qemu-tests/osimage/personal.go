package osimage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/diskcast/diskcast/internal/sparse"
	"github.com/diskcast/diskcast/internal/testenv/debian"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/oracle"
)

// Of the Debian that a restore makes a machine's own: it has an SSH server with keys, a machine-id, ifupdown with
// nothing but lo, and what it takes to start from LVM.
const (
	PersonalName     = "original"
	PersonalID       = "0123456789abcdef0123456789abcdef" // its machine-id
	personalPackages = packages + ",openssh-server,ifupdown,tzdata,lvm2,iputils-ping"
)

var personalLayout = layout{
	esp: 64 * mib, root: 640 * mib,
	diskGUID: "D15CCA57-0000-4E45-8000-00000000B00C",
	espGUID:  "D15CCA57-0001-4E45-8000-00000000B00C",
	rootGUID: "D15CCA57-0002-4E45-8000-00000000B00C",
	rootUUID: "d15cca57-0004-4e45-8000-00000000b00c",
	espID:    "d15cca59",
}

// Personal returns a Debian 12 with an identity.
func Personal(ctx context.Context, cache string, log logWriter) (*Image, error) {
	l, id, mirror := personalLayout, identity{name: PersonalName, machineID: PersonalID + "\n"},
		debian.Mirror()
	name := "personal-" + key("1", suite, personalPackages, id.name, id.machineID, cmdline, passwordHash, buildScript,
		grubConfig, l.script())
	return cached(ctx, cache, name, func(ctx context.Context, dir string) (meta, error) {
		root, esp := filepath.Join(dir, "root"), filepath.Join(dir, "esp")
		return system(ctx, dir, log, l, id, buildScript, root, esp, dir, suite, mirror, personalPackages)
	})
}

// The disk of PersonalLVM.
const (
	lvmGroup   = "lab-vg" // a dash, as Debian's installer has it: the device mapper's name has two
	lvmBoot    = 128 * mib
	lvmRoot    = 640 * mib
	lvmSwap    = 32 * mib
	lvmMember  = lvmRoot + lvmSwap + 8*mib
	lvmBootID  = "d15cca57-0005-4e45-8000-00000000b00c" // UUID of the file system
	lvmMapped  = "/dev/mapper/lab--vg-root"
	lvmBootAt  = espStart + 64*mib
	lvmGroupAt = lvmBootAt + lvmBoot
)

// lvmScript is sfdisk's input.
var lvmScript = fmt.Sprintf("label: gpt\nlabel-id: D15CCA57-0000-4E46-8000-00000000B00C\nunit: sectors\n"+
	"sector-size: 512\n\n"+
	"start=%d, size=%d, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=\"EFI System\"\n"+
	"start=%d, size=%d, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, name=\"boot\"\n"+
	"start=%d, size=%d, type=E6D6D379-F507-44C2-A23C-238F2A3DF928, name=\"lvm\"\n",
	espStart/512, 64*mib/512, lvmBootAt/512, lvmBoot/512, lvmGroupAt/512, lvmMember/512)

// PersonalLVM returns the same Debian as its installer lays it out with LVM: /boot in a partition, the root and swap in
// logical volumes.
func PersonalLVM(ctx context.Context, cache string, log logWriter) (*Image, error) {
	plain, err := Personal(ctx, cache, log)
	if err != nil {
		return nil, err
	}
	return cached(ctx, cache, "personal-lvm-"+key("1", plain.Dir, lvmScript),
		func(ctx context.Context, dir string) (meta, error) {
			b := &base{Image: plain, log: log, dir: dir, release: filepath.Base(plain.Modules)}
			esp, err := b.lvm(ctx, filepath.Join(dir, "disk.raw"))
			if err != nil {
				return meta{}, err
			}
			return meta{RootUUID: personalLayout.rootUUID, Cmdline: cmdline}, errors.Join(
				plain.Root.Save(filepath.Join(dir, "root.json")), esp.Save(filepath.Join(dir, "esp.json")))
		})
}

// lvm makes the disk.
func (b *base) lvm(ctx context.Context, disk string) (oracle.Tree, error) {
	tree := filepath.Join(b.dir, "tree")
	defer os.RemoveAll(tree)
	boot, err := b.lvmTree(ctx, tree)
	if err != nil {
		return nil, err
	}
	if err := proc.Run(ctx, b.log, "cp", "--sparse=always", b.Disk, disk); err != nil {
		return nil, err
	}
	esp, err := b.newESP(ctx, disk, func(_ *base, tree string) error {
		return os.WriteFile(filepath.Join(tree, "EFI/debian/grub.cfg"), []byte("search.fs_uuid "+lvmBootID+
			" root\nset prefix=($root)'/grub'\nconfigfile $prefix/grub.cfg\n"), 0o644)
	})
	if err != nil {
		return nil, err
	}
	// What lies behind the EFI system partition is made anew, and the table.
	if err := errors.Join(os.Truncate(disk, lvmBootAt), os.Truncate(disk, lvmGroupAt+lvmMember+mib)); err != nil {
		return nil, err
	}
	if err := proc.Input(ctx, b.log, strings.NewReader(lvmScript), "sfdisk", "--quiet", "--wipe", "never",
		disk); err != nil {
		return nil, err
	}
	if err := b.ext4(ctx, disk, boot, lvmBootAt, lvmBoot, "boot", lvmBootID); err != nil {
		return nil, err
	}
	member := filepath.Join(b.dir, "member")
	defer os.Remove(member)
	rootAt, swapAt, err := b.volumes(ctx, member)
	if err != nil {
		return nil, err
	}
	if err := b.ext4(ctx, member, tree, rootAt, lvmRoot, "root", personalLayout.rootUUID); err != nil {
		return nil, err
	}
	swap := layout{root: swapAt - espStart, swap: lvmSwap, swapGUID: "d15cca57-0006-4e45-8000-00000000b00c"}
	if err := swap.formatSwap(ctx, member, b.log); err != nil {
		return nil, err
	}
	return esp, sparse.Insert(ctx, member, disk, lvmGroupAt)
}

// ext4 puts a tree into a place of a file.
func (b *base) ext4(ctx context.Context, file, tree string, at, size int64, label, uuid string) error {
	return proc.Run(ctx, b.log, "mkfs.ext4", "-q", "-F", "-L", label, "-U", uuid, "-d", tree, "-E",
		fmt.Sprintf("offset=%d,hash_seed=%s,lazy_itable_init=0,nodiscard", at, uuid), file,
		fmt.Sprintf("%dk", size/1024))
}

// lvmTree takes the tree out of the plain Debian, and /boot out of that.
func (b *base) lvmTree(ctx context.Context, tree string) (boot string, err error) {
	if err := os.Mkdir(tree, 0o755); err != nil {
		return "", err
	}
	out, err := proc.Output(ctx, "debugfs", "-R", "rdump / "+tree,
		fmt.Sprintf("%s?offset=%d", b.Disk, personalLayout.rootStart()))
	if err != nil {
		return "", err
	}
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) > 1 {
		return "", fmt.Errorf("debugfs rdump: %s", strings.Join(lines[1:min(len(lines), 6)], "; "))
	}
	boot = filepath.Join(b.dir, "boot")
	if err := errors.Join(os.RemoveAll(filepath.Join(tree, "lost+found")), os.RemoveAll(boot)); err != nil {
		return "", err
	}
	if err := os.Rename(filepath.Join(tree, "boot"), boot); err != nil {
		return "", err
	}
	fill := strings.NewReplacer("root=UUID=@UUID@", "root="+lvmMapped, "@UUID@", lvmBootID, "@RELEASE@", b.release,
		"@CMDLINE@", cmdline, "/boot/", "/").Replace
	espUUID := strings.ToUpper(personalLayout.espID[:4] + "-" + personalLayout.espID[4:])
	fstab := fmt.Sprintf("%s / ext4 errors=remount-ro 0 1\nUUID=%s /boot ext4 defaults 0 2\nUUID=%s /boot/efi vfat "+
		"umask=0077,nofail 0 1\n", lvmMapped, lvmBootID, espUUID)
	return boot, errors.Join(os.Mkdir(filepath.Join(tree, "boot"), 0o755),
		os.WriteFile(filepath.Join(boot, "grub/grub.cfg"), []byte(fill(grubConfig)), 0o644),
		os.WriteFile(filepath.Join(tree, "etc/fstab"), []byte(fstab), 0o644))
}

// volumes has lvm make a physical volume with two logical ones, and tells where in it they begin.
func (b *base) volumes(ctx context.Context, file string) (root, swap int64, err error) {
	if err := sparse.Create(file, lvmMember); err != nil {
		return 0, 0, err
	}
	device, err := proc.Output(ctx, "losetup", "--find", "--show", file)
	if err != nil {
		return 0, 0, err
	}
	device = strings.TrimSpace(device)
	defer func() { err = errors.Join(err, proc.Run(ctx, b.log, "losetup", "-d", device)) }()
	// No other device is looked at, and none is made: this machine may have no device mapper.
	config := fmt.Sprintf(`devices { dir="/dev" filter=["a|^%s$|","r|.*|"] use_devicesfile=0 } `+
		`activation { udev_sync=0 udev_rules=0 monitoring=0 } global { event_activation=0 } `+
		`backup { backup=0 archive=0 }`, device)
	lvm := func(args ...string) (string, error) {
		return proc.Output(ctx, "lvm", append(args, "--driverloaded", "n", "--config", config)...)
	}
	create := []string{"lvcreate", "-q", "-y", "-an", "-Zn", "-Wn"}
	for _, command := range [][]string{{"pvcreate", "-q", "-y", "-ff", device},
		{"vgcreate", "-q", "-y", lvmGroup, device},
		append(create, "-L", strconv.Itoa(lvmRoot)+"B", "-n", "root", lvmGroup),
		append(create, "-L", strconv.Itoa(lvmSwap)+"B", "-n", "swap", lvmGroup)} {
		if _, err := lvm(command...); err != nil {
			return 0, 0, err
		}
	}
	out, err := lvm("pvs", "--segments", "--noheadings", "--nosuffix", "--units", "b", "-o",
		"lv_name,pe_start,pvseg_start,vg_extent_size")
	if err != nil {
		return 0, 0, err
	}
	at := map[string]int64{}
	for _, m := range regexp.MustCompile(`(?m)^\s*(\w+)\s+(\d+)\s+(\d+)\s+(\d+)\s*$`).FindAllStringSubmatch(out, -1) {
		var n [3]int64
		for i := range n {
			n[i], _ = strconv.ParseInt(m[i+2], 10, 64) // digits, as the pattern has it
		}
		at[m[1]] = n[0] + n[1]*n[2]
	}
	if at["root"] == 0 || at["swap"] == 0 {
		return 0, 0, fmt.Errorf("lvm tells of no volumes root and swap: %s", out)
	}
	return at["root"], at["swap"], nil
}
