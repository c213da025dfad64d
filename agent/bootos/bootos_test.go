package bootos

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/agent/bootos/grub"
	"github.com/diskcast/diskcast/agent/treetest"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// mounted is a mounted partition, with files as treetest makes them.
func mounted(t *testing.T, number int, fs, uuid string, files map[string]string) Volume {
	t.Helper()
	return Volume{Number: number, Type: fs, UUID: uuid, Dir: treetest.Make(t, files)}
}

func f(dev int, path string) grub.File { return grub.File{Device: dev, Path: path} }

const espStub = "search.fs_uuid rrrr root hd0,gpt2\nset prefix=($root)'/boot/grub'\nconfigfile $prefix/grub.cfg\n"

const grubCfg = `set timeout=5
menuentry 'Debian' {
	search --no-floppy --fs-uuid --set=root rrrr
	linux /boot/vmlinuz-6.1 root=UUID=rrrr ro quiet
	initrd /boot/initrd.img-6.1
}
`

func TestFind(t *testing.T) {
	root := func(extra map[string]string) map[string]string {
		files := map[string]string{"etc/fstab": "", "boot/vmlinuz-6.1": "k", "boot/initrd.img-6.1": "i",
			"boot/vmlinuz-5.10": "k", "boot/initrd.img-5.10": "i"}
		for k, v := range extra {
			if v == "" {
				delete(files, k)
				continue
			}
			files[k] = v
		}
		return files
	}
	debian := System{Title: "Debian", Kernel: f(2, "/boot/vmlinuz-6.1"),
		Initrds: []grub.File{f(2, "/boot/initrd.img-6.1")},
		Args:    "BOOT_IMAGE=/boot/vmlinuz-6.1 root=UUID=rrrr ro quiet"}
	with := func(s System, source string) *System { s.Source = source; return &s }
	bare := func(s *System) *System { s.Note = noLoader; return s }
	tests := []struct {
		name string
		vols func(t *testing.T) []Volume
		want *System
	}{
		{"UEFI Debian", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 1, "vfat", "AAAA-0001",
				map[string]string{"EFI/debian/grubx64.efi": "x", "EFI/debian/grub.cfg": espStub,
					"EFI/BOOT/grub.cfg": "broken {"}),
				mounted(t, 2, "ext4", "rrrr", root(map[string]string{"boot/grub/grub.cfg": grubCfg}))}
		}, with(debian, "GRUB, /EFI/debian/grub.cfg on partition 1")},
		{"BIOS Debian", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 2, "ext4", "rrrr", root(map[string]string{"boot/grub/grub.cfg": grubCfg}))}
		}, bare(with(debian, "GRUB, /boot/grub/grub.cfg on partition 2"))},
		{"the EFI configuration points nowhere", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 1, "vfat", "AAAA-0001",
				map[string]string{"EFI/debian/grubx64.efi": "x",
					"EFI/debian/grub.cfg": strings.ReplaceAll(espStub, "gpt2", "gpt7")}),
				mounted(t, 2, "ext4", "rrrr", root(map[string]string{"boot/grub/grub.cfg": grubCfg}))}
		}, with(debian, "GRUB, /EFI/debian/grub.cfg on partition 1")},
		{"the entry's kernel is gone: not the next best", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 2, "ext4", "rrrr",
				root(map[string]string{"boot/grub/grub.cfg": grubCfg, "boot/vmlinuz-6.1": ""}))}
		}, nil},
		{"no boot loader, /boot apart", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 1, "ext4", "bbbb",
				map[string]string{"vmlinuz-6.9.1": "k", "vmlinuz-6.10.0": "k", "initramfs-6.10.0.img": "i",
					"vmlinuz-0-rescue-1": "k"}),
				mounted(t, 2, "xfs", "rrrr",
					map[string]string{"etc/fstab": "x", "etc/kernel/cmdline": "root=UUID=rrrr rw  quiet\n"})}
		}, &System{Note: noLoader, Title: "Linux 6.10.0", Source: "the newest kernel, /vmlinuz-6.10.0 on partition 1",
			Kernel: f(1, "/vmlinuz-6.10.0"), Initrds: []grub.File{f(1, "/initramfs-6.10.0.img")},
			Args: "root=UUID=rrrr rw quiet"}},
		{"links as Debian's root has them, absolute ones too", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 0, "ext4", "rrrr",
				map[string]string{"etc/fstab": "x", "vmlinuz": "->/boot/vmlinuz-x", "boot/vmlinuz-x": "k",
					"initrd.img": "->boot/i", "boot/i": "i",
					"extlinux.conf": "default l\nlabel l\n menu label ^Linux\n kernel /vmlinuz\n append " +
						"root=/dev/sda1 ro initrd=/initrd.img\n"})}
		}, &System{Note: noLoader, Title: "Linux", Source: "extlinux, /extlinux.conf on partition 0",
			Kernel: f(0, "/vmlinuz"), Initrds: []grub.File{f(0, "/initrd.img")},
			Args: "BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro initrd=/initrd.img"}},
		{"systemd-boot", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 1, "vfat", "AAAA-0001",
				map[string]string{"EFI/systemd/systemd-bootx64.efi": "#### LoaderInfo: systemd-boot 255 ####",
					"loader/entries/a.conf": "title Arch\nlinux /vmlinuz-linux\ninitrd /i.img\noptions " +
						"root=PARTUUID=1 rw\n", "vmlinuz-linux": "k", "i.img": "i",
					"loader/loader.conf": "default a.conf\n"}),
				mounted(t, 2, "ext4", "rrrr", map[string]string{"etc/fstab": "x"})}
		}, &System{Title: "Arch", Source: "systemd-boot, /EFI/systemd/systemd-bootx64.efi on partition 1",
			Kernel: f(1, "/vmlinuz-linux"), Initrds: []grub.File{f(1, "/i.img")}, Args: "root=PARTUUID=1 rw"}},
		{"btrfs with subvolumes", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 2, "btrfs", "rrrr",
				map[string]string{"@/etc/fstab": "x", "@/boot/vmlinuz-6.1": "k", "@/boot/initrd-6.1": "i"})}
		}, &System{Note: noLoader, Title: "Linux 6.1", Source: "the newest kernel, /@/boot/vmlinuz-6.1 on partition 2",
			Kernel: f(2, "/@/boot/vmlinuz-6.1"), Initrds: []grub.File{f(2, "/@/boot/initrd-6.1")},
			Args: "root=UUID=rrrr ro rootflags=subvol=@"}},
		{"extlinux with a default that is marked", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 1, "ext4", "rrrr",
				map[string]string{"boot/extlinux/extlinux.conf": "DEFAULT menu.c32\nPROMPT 0\nTIMEOUT 30\nLABEL " +
					"virt\n  MENU DEFAULT\n  LINUX ../vmlinuz-virt\n  INITRD ../u.img,../initramfs-virt\n  APPEND " +
					"root=UUID=1 modules=ext4\n",
					"boot/vmlinuz-virt": "k", "boot/u.img": "u", "boot/initramfs-virt": "i"})}
		}, &System{Note: noLoader, Title: "virt", Source: "extlinux, /boot/extlinux/extlinux.conf on partition 1",
			Kernel: f(1, "/boot/vmlinuz-virt"), Initrds: []grub.File{f(1, "/boot/u.img"), f(1, "/boot/initramfs-virt")},
			Args: "BOOT_IMAGE=../vmlinuz-virt root=UUID=1 modules=ext4 initrd=../u.img,../initramfs-virt"}},
		{"a kernel and two roots", func(t *testing.T) []Volume {
			return []Volume{mounted(t, 1, "ext4", "r1", root(nil)), mounted(t, 2, "ext4", "r2", root(nil))}
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Find(NewVolumes(tt.vols(t)...), Firmware{UEFI: true})
			if tt.want == nil {
				var restart *Restart
				if !errors.Is(err, ErrNoSystem) && !errors.As(err, &restart) {
					t.Fatalf("%+v, %v, want ErrNoSystem or a restart", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestLinksStayInside has links that lead out of the volume, in circles, and to nothing.
func TestLinksStayInside(t *testing.T) {
	v := NewVolumes(mounted(t, 1, "ext4", "", map[string]string{
		"up": "->../../../../../../etc/hostname", "abs": "->/etc/hostname", "loop": "->loop", "etc/hostname": "inside",
		"dir/in": "->../etc/hostname", "nowhere": "->/x/y", "todir": "->dir",
	}))
	for _, name := range []string{"up", "/abs", "dir/in", "/dir/../abs", "../../abs"} {
		if b, err := v.ReadFile(1, name, 100); err != nil || string(b) != "inside" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if _, err := v.ReadFile(1, "loop", 100); !errors.Is(err, errLoop) {
		t.Errorf("loop: %v", err)
	}
	if v.Exists(1, "nowhere", false) || v.Exists(1, "dir", false) || !v.Exists(1, "dir", true) ||
		v.Exists(2, "abs", false) {
		t.Error("what exists is wrong")
	}
	for name, want := range map[string][2]bool{"nowhere": {false, true}, "dir": {true, true}, "/dir/": {true, true},
		"abs": {false, true}, "dir/none": {}, "none/..": {}, "/": {true, true}, "": {true, true},
		"dir/..": {true, true}, "abs/x": {}, "todir": {false, true}, "todir/in": {false, true}} {
		if dir, is := v.Listed(1, name); [2]bool{dir, is} != want {
			t.Errorf("%q: %v, %v, want %v", name, dir, is, want)
		}
	}
	if _, err := v.ReadFile(1, "abs", 3); err == nil {
		t.Error("a file over the limit was read")
	}
}

// TestLinksAsGRUB has chains of links, and GRUB's own reader of file systems as the judge.
func TestLinksAsGRUB(t *testing.T) {
	judge := need.Tool(t, "grub-fstest")
	files := map[string]string{"l0": "x"}
	for i := range 40 {
		files[fmt.Sprintf("l%d", i+1)] = fmt.Sprintf("->l%d", i)
	}
	for _, c := range []struct {
		kind string
		made []string
	}{{"ext4", []string{"mkfs.ext4", "-q", "-d"}}, {"btrfs", []string{"mkfs.btrfs", "-q", "-r"}}} {
		need.Tool(t, c.made[0])
		volume := mounted(t, 1, c.kind, "", files)
		v := NewVolumes(volume)
		img := filepath.Join(t.TempDir(), "img")
		err := os.WriteFile(img, nil, 0o600)
		if err == nil {
			err = os.Truncate(img, 200<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
		args := append(c.made[1:], volume.Dir, img)
		if out, err := exec.CommandContext(t.Context(), c.made[0], args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.made[0], err, out)
		}
		for i := range 41 {
			name := fmt.Sprintf("/l%d", i)
			_, err := v.ReadFile(1, name, 100)
			if out, judged := exec.CommandContext(t.Context(), judge, img, "cat", name).CombinedOutput(); (err ==
				nil) != (judged == nil) {
				t.Errorf("%s, %d links: %v; GRUB: %v, %s", c.kind, i, err, judged, out)
			}
		}
	}
}

// TestInitrds checks how several initrds become one: each begins at a multiple of four bytes.
func TestInitrds(t *testing.T) {
	v := NewVolumes(mounted(t, 1, "ext4", "", map[string]string{"a": "12345", "b": "1234", "c": "1"}))
	r, err := openInitrds(v, []grub.File{f(1, "/a"), f(1, "/b"), f(1, "/c")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(io.NewSectionReader(r, 0, 100))
	if want := "12345\x00\x00\x0012341\x00\x00\x00"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if _, err := openInitrds(v, []grub.File{f(1, "/a"), f(1, "/d")}); err == nil {
		t.Error("an initrd that is not there was opened")
	}
}

func TestCommandLine(t *testing.T) {
	for _, tt := range [][3]string{
		{"root=x ro", "", "root=x ro"},
		{"root=x ro", "quiet console=ttyS0", "root=x ro quiet console=ttyS0"},
		{"root=x quiet", "quiet a", "root=x quiet a"},
		{"", "a", "a"},
	} {
		if got := commandLine(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%q + %q: %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}

func FuzzExtlinux(f *testing.F) {
	f.Add("default a\nlabel a\nkernel /k\nappend initrd=/i x\nmenu default\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := &extlinuxConfig{read: func(string) (string, error) { return text, nil }}
		if c.parse(text, 0) == nil {
			c.choose()
		}
	})
}

func FuzzIdentify(f *testing.F) {
	f.Add([]byte("XFSB"))
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := make([]byte, 70000)
		copy(disk, b)
		if len(b) > 2000 {
			copy(disk[65536:], b[2000:])
		}
		identify(bytes.NewReader(disk))
	})
}
