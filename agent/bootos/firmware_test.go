package bootos

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos/efi/efitest"
	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/imaging"
	"github.com/diskcast/diskcast/agent/treetest"
	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

// mkimage makes a GRUB as grub-install does.
func mkimage(t *testing.T, format, prefix, config string) string {
	t.Helper()
	need.Tools(t, "grub-mkimage")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config"), config)
	out := filepath.Join(dir, "grub")
	args := []string{"-O", format, "-p", prefix, "-o", out}
	if config != "" {
		args = append(args, "-c", filepath.Join(dir, "config"))
	}
	volumetest.Run(t, "grub-mkimage", append(args, "normal", "search", "part_gpt", "ext2")...)
	return out
}

func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		need.Skip(t, "%v: see .ci/packages", err)
	}
	return string(b)
}

// TestGRUBProgram follows GRUBs that grub-mkimage made, of which only the bytes say which of two systems they start.
func TestGRUBProgram(t *testing.T) {
	cfg := func(v string) string {
		return "set timeout=5\nmenuentry '" + v + "' { linux /boot/vmlinuz v=" + v + "; }\n"
	}
	for name, tt := range map[string]struct{ prefix, config, want string }{
		"a prefix with a partition": {"(,gpt3)/boot/grub", "", "two"},
		"the other partition":       {"(,gpt2)/boot/grub", "", "one"},
		"a configuration inside": {"/boot/grub",
			"search.fs_uuid ssss root hd0,gpt3\nset prefix=($root)/boot/grub\n", "two"},
		"a folder of its own partition": {"/EFI/own", "", "own"},
		"a folder that is not there":    {"/EFI/gone", "", "restart: /EFI/gone/grub.cfg"},
		"a volume group":                {"(lvmid/abc/def)/boot/grub", "", "restart: is not a partition"},
		"the disk that is started from": {"(hd0,gpt3)/boot/grub", "", "two"},
		"another disk":                  {"(hd1,gpt3)/boot/grub", "", "restart: is on a disk other than hd0"},
		"a disk of another driver":      {"(ahci0,gpt3)/boot/grub", "", "restart: is on a disk other than hd0"},
		"a partition that is none":      {"(,gpt0)/boot/grub", "", "restart: is not a partition"},
		"a whole disk":                  {"(hd0)/boot/grub", "", "restart: is not on partition 0"},
		"no folder":                     {"(hd0,gpt3)boot/grub", "", "restart: which is no folder"},
		"larger than a configuration": {"(,gpt3)/large", "",
			"restart: /large/grub.cfg on partition 3 cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			v := NewVolumes(
				mounted(t, 1, "vfat", "AAAA-0001", map[string]string{
					"EFI/BOOT/BOOTX64.EFI": content(t, mkimage(t, "x86_64-efi", tt.prefix, tt.config)),
					"EFI/own/grub.cfg":     "search.fs_uuid rrrr root\n" + cfg("own"),
				}),
				mounted(t, 2, "ext4", "rrrr",
					map[string]string{"boot/grub/grub.cfg": "set root=hd0,gpt2\n" + cfg("one"), "boot/vmlinuz": "k"}),
				mounted(t, 3, "ext4", "ssss",
					map[string]string{"boot/grub/grub.cfg": "set root=hd0,gpt3\n" + cfg("two"), "boot/vmlinuz": "k",
						"large/grub.cfg": cfg("large") + strings.Repeat("#\n", grub.MaxConfig/2)}))
			s, err := Find(v, Firmware{UEFI: true})
			words, restart := strings.CutPrefix(tt.want, "restart: ")
			var r *Restart
			switch {
			case restart && (!errors.As(err, &r) || !strings.Contains(err.Error(), words)):
				t.Errorf("%+v, %v, want %s", s, err, tt.want)
			case !restart && (err != nil || !strings.HasSuffix(s.Args, "v="+tt.want)):
				t.Errorf("%+v, %v, want %s", s, err, tt.want)
			}
		})
	}
}

// TestGRUBInTheGap has two configurations of GRUB on a disk for a BIOS: the core in the gap behind the table says which
// is meant.
func TestGRUBInTheGap(t *testing.T) {
	boot := content(t, "/usr/lib/grub/i386-pc/boot.img")
	core := content(t, mkimage(t, "i386-pc", "(,msdos2)/boot/grub", ""))
	disk := make([]byte, 1<<20)
	copy(disk, boot[:codeBytes])
	binary.LittleEndian.PutUint64(disk[0x5c:], 1)
	copy(disk[512:], core)
	binary.LittleEndian.PutUint64(disk[512+500:], 2)
	binary.LittleEndian.PutUint16(disk[512+508:], uint16((len(core)-1)/512))
	file := filepath.Join(t.TempDir(), "disk")
	write(t, file, string(disk))
	m := &Machine{Root: t.TempDir()}
	fw, err := m.firmware(result(file))
	if err != nil || fw.UEFI || fw.GRUB == nil || fw.GRUB.Prefix != "(,msdos2)/boot/grub" {
		t.Fatalf("%+v, %v", fw.GRUB, err)
	}
	v := NewVolumes(
		mounted(t, 1, "ext4", "rrrr",
			map[string]string{"boot/grub/grub.cfg": "set timeout=5\nmenuentry one { linux /vmlinuz one; }\n",
				"vmlinuz": "k"}),
		mounted(t, 2, "ext4", "ssss",
			map[string]string{"boot/grub/grub.cfg": "set timeout=5\nmenuentry two { linux /vmlinuz two; }\n",
				"vmlinuz": "k"}))
	if s, err := Find(v, fw); err != nil || !strings.HasSuffix(s.Args, "two") || s.Kernel.Device != 2 {
		t.Errorf("%+v, %v, want the second", s, err)
	}
}

func result(disk string, parts ...volume.Partition) *imaging.Result {
	return &imaging.Result{Disk: session.Disk{Path: disk},
		Config: &image.Config{Table: &volume.Table{Kind: "dos", DiskID: "0x1234abcd", Partitions: parts}}}
}

// TestBootCode reads the boot sectors of real loaders.
func TestBootCode(t *testing.T) {
	for name, want := range map[string]bootCode{
		"/usr/lib/grub/i386-pc/boot.img":     codeGRUB,
		"/usr/lib/syslinux/mbr/mbr.bin":      codeChain,
		"/usr/lib/syslinux/mbr/gptmbr.bin":   codeChain,
		"/usr/lib/syslinux/mbr/altmbr.bin":   codeChain,
		"/usr/lib/grub/i386-pc/diskboot.img": codeUnknown,
	} {
		if got := codeOf(sector(content(t, name))); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := codeOf(make([]byte, 512)); got != noCode {
		t.Errorf("zeros are %q", got)
	}
	if got := codeOf([]byte("GRUB")); got != noCode {
		t.Errorf("a sector that is cut off is %q", got)
	}
}

// TestExtlinuxInstalled has EXTLINUX' own installer make a disk, which is then followed from its first sector.
func TestExtlinuxInstalled(t *testing.T) {
	need.Root(t)
	need.Tools(t, "extlinux", "mkfs.ext4", "losetup")
	const start = 1 << 20
	image := volumetest.Sparse(t, 64<<20)
	part := volumetest.Sparse(t, 32<<20)
	volumetest.Run(t, "mkfs.ext4", "-q", part)
	dir, unmount := volumetest.Mount(t, part, "ext4", "")
	write(t, filepath.Join(dir, "boot/extlinux/extlinux.conf"),
		"default menu.c32\ntimeout 30\nlabel old\n kernel /old\nlabel new\n menu default\n kernel /vmlinuz\n append "+
			"ro\n")
	write(t, filepath.Join(dir, "vmlinuz"), "kernel")
	if out, err := exec.Command("extlinux", "--install",
		filepath.Join(dir, "boot/extlinux")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	unmount()
	disk, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	if _, err := disk.WriteAt([]byte(content(t, "/usr/lib/syslinux/mbr/mbr.bin")), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.NewOffsetWriter(disk, start), strings.NewReader(content(t, part))); err != nil {
		t.Fatal(err)
	}
	fw, err := (&Machine{Root: t.TempDir()}).firmware(result(image,
		volume.Partition{Number: 1, Start: start, Bootable: true}))
	if err != nil || codeOf(fw.MBR) != codeChain || codeOf(fw.PBR) != codeSyslinx {
		t.Fatalf("%q, %q, %v", codeOf(fw.MBR), codeOf(fw.PBR), err)
	}
	s, err := Find(mountedDisk(t, part), fw)
	if err != nil || s.Title != "new" || s.Kernel.Path != "/vmlinuz" {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestFirmware reads sysfs of a UEFI machine, whose boot entry is above the disk's fallback loader.
func TestFirmware(t *testing.T) {
	guid := [16]byte{0x8e, 0x0f, 0x3c, 0x5b, 0x5f, 0x0b, 0x51, 0x4a, 0x9d, 0x2e, 0x0c, 0x6d, 0x5f, 0x1f, 0x2a, 0x01}
	const global, loader = "-8be4df61-93ca-11d2-aa0d-00e098032b8c", "-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	root := treetest.Make(t, map[string]string{
		"sys/firmware/efi/efivars/BootOrder" + global: "\x07\x00\x00\x00\x03\x00",
		"sys/firmware/efi/efivars/Boot0003" + global: "\x07\x00\x00\x00" +
			string(efitest.BootEntry("Linux", guid, 1, `\EFI\Linux\b.efi`, nil)),
		"sys/firmware/efi/efivars/LoaderEntryDefault" + loader: "\x07\x00\x00\x00" + string(efitest.Wide("x.conf")),
	})
	fw, err := (&Machine{Root: root}).firmware(result("/dev/null"))
	if err != nil || !fw.UEFI || fw.Variables.Loader("LoaderEntryDefault") != "x.conf" {
		t.Fatalf("%+v, %v", fw, err)
	}
	uki := func(args string) string {
		return string(efitest.Program(efitest.Section{Name: ".linux", Data: "the kernel"},
			efitest.Section{Name: ".initrd", Data: "main"},
			efitest.Section{Name: ".ucode", Data: "micro"}, efitest.Section{Name: ".cmdline", Data: args}))
	}
	esp := mounted(t, 1, "vfat", "AAAA-0001",
		map[string]string{"EFI/BOOT/BOOTX64.EFI": uki("fallback"), "EFI/Linux/b.efi": uki("root=x ro\n")})
	esp.PartUUID = "5b3c0f8e-0b5f-4a51-9d2e-0c6d5f1f2a01"
	v := NewVolumes(esp)
	s, err := Find(v, fw)
	if err != nil || s.Args != "root=x ro" || !s.Unified {
		t.Fatalf("%+v, %v", s, err)
	}
	if !strings.Contains(s.Words(), `/EFI/Linux/b.efi as it is put together, command line "root=x ro"`) ||
		!strings.Contains(s.Source, `Boot0003 "Linux"`) {
		t.Error(s.Words())
	}
	kernel, initrd, err := open(v, s)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	defer initrd.Close()
	for f, want := range map[*os.File]string{kernel: "the kernel", initrd: "micro\x00\x00\x00main"} {
		b, err := io.ReadAll(io.NewSectionReader(f, 0, 1000))
		if err != nil || string(b) != want {
			t.Errorf("%q, %v, want %q", b, err, want)
		}
	}
	fw.BootEntries[0].Options = efitest.Wide("debug")
	var r *Restart
	if _, err := Find(v, fw); !errors.As(err, &r) || !strings.Contains(err.Error(), "words of its own") {
		t.Errorf("%v", err)
	}
}

// TestNothingMounted: a disk without a file system that we read may start all the same.
func TestNothingMounted(t *testing.T) {
	ntfs := Mount(t.TempDir(), []Device{{Number: 1, Path: filepath.Join(t.TempDir(), "gone")}})
	for name, tt := range map[string]struct {
		v       *Volumes
		fw      Firmware
		restart bool
	}{
		"Windows on a BIOS": {NewVolumes(),
			Firmware{MBR: sectors["chain"], PBR: sectors["windows"], Active: 1}, true},
		"GRUB with all else in LVM":            {NewVolumes(), Firmware{MBR: sectors["grub"]}, true},
		"a file system that could not be read": {ntfs, Firmware{UEFI: true}, true},
		"nothing at all":                       {NewVolumes(), Firmware{MBR: sectors["empty"]}, false},
		"nothing at all for UEFI":              {NewVolumes(), Firmware{UEFI: true}, false},
	} {
		s, err := Find(tt.v, tt.fw)
		var r *Restart
		if s != nil || errors.As(err, &r) != tt.restart || errors.Is(err, ErrNoSystem) == tt.restart {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestPartUUID(t *testing.T) {
	for _, tt := range []struct {
		table volume.Table
		part  volume.Partition
		want  string
	}{
		{volume.Table{Kind: "gpt"}, volume.Partition{Number: 1, UUID: "5B3C0F8E-0B5F-4A51-9D2E-0C6D5F1F2A01"},
			"5b3c0f8e-0b5f-4a51-9d2e-0c6d5f1f2a01"},
		{volume.Table{Kind: "dos", DiskID: "0x1234abcd"}, volume.Partition{Number: 10}, "1234abcd-0a"},
	} {
		if got := device(&tt.table, tt.part, "").PartUUID; got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func FuzzBootCode(f *testing.F) {
	for _, s := range sectors {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) { codeOf(b) })
}

func FuzzMountRoot(f *testing.F) {
	f.Add("36 35 98:0 /@/a\\040b /os/1 rw - btrfs /dev/sda1 rw\n")
	f.Fuzz(func(t *testing.T, s string) { _, _ = mountRoot(s, "/os/1") })
}
