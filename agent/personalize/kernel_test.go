package personalize

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/grow"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const grubCfg = `set default=0
set timeout=1
menuentry 'Debian' {
	search --no-floppy --fs-uuid --set=root ` + fsUUID + `
	linux	/boot/vmlinuz-1 root=UUID=` + fsUUID + ` ro quiet
	initrd	/boot/initrd.img-1
}
submenu 'More' {
	menuentry 'Debian, rescue' {
		linux	/boot/vmlinuz-1 root=UUID=` + fsUUID + ` ro single ${extra}
	}
}
`

var aKernel = map[string]string{"boot/vmlinuz-1": "kernel", "boot/initrd.img-1": "initrd"}

const blsEntry = "title Fedora\nversion 1\nlinux /boot/vmlinuz-1\ninitrd /boot/initrd.img-1\n" +
	"options root=UUID=" + fsUUID + " ro\n"

// TestKernelWords adds words, and has the agent's own loaders say what would be started.
func TestKernelWords(t *testing.T) {
	words := []string{"console=ttyS0,115200", "quiet", "isolcpus=2-3"}
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string   // what it says, or the refusal
		have  []string // what is in the files then
	}{
		{name: "grub", files: map[string]string{"boot/grub/grub.cfg": grubCfg, "etc/default/grub": "GRUB_TIMEOUT=1"},
			want: "kernel words: console=ttyS0,115200 isolcpus=2-3, in /boot/grub/grub.cfg, /etc/default/grub",
			have: []string{"/boot/grub/grub.cfg: single ${extra} console=ttyS0,115200 isolcpus=2-3",
				"/etc/default/grub: GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX console=ttyS0,115200 isolcpus=2-3\""}},
		{name: "grub.d", files: map[string]string{"boot/grub/grub.cfg": grubCfg, "etc/default/grub": "x",
			"etc/default/grub.d/": ""}, want: "/etc/default/grub.d/zz-diskcast.cfg"},
		{name: "BLS", files: map[string]string{"boot/grub2/grub.cfg": "set timeout=1\ninsmod blscfg\nblscfg\n",
			"boot/loader/entries/fedora.conf": blsEntry, "etc/kernel/cmdline": "root=x ro\n"},
			want: "in /boot/loader/entries/fedora.conf, /etc/kernel/cmdline",
			have: []string{"/etc/kernel/cmdline: root=x ro console=ttyS0,115200 "}},
		{name: "extlinux", files: map[string]string{"boot/extlinux/extlinux.conf": "DEFAULT a\nLABEL a\n" +
			"  KERNEL /boot/vmlinuz-1\n  INITRD /boot/initrd.img-1\n  APPEND root=UUID=" + fsUUID + " quiet\n",
			"etc/update-extlinux.conf": "default_kernel_opts=\"quiet\"\n"},
			want: "in /boot/extlinux/extlinux.conf, /etc/update-extlinux.conf"},
		{name: "not a plain command", files: map[string]string{"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg,
			"ro quiet", "ro quiet; true")}, want: "line 5 loads a kernel and is not a plain command"},
		{name: "waits for somebody", files: map[string]string{"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg,
			"set timeout=1\n", "")}, want: "kernel words: what the machine's boot loader starts cannot"},
		{name: "a word that is elsewhere",
			files: map[string]string{"boot/grub/grub.cfg": "set timeout=1\nset a=\"/boot/vmlinuz-1 ro\"\n" +
				"menuentry a { search --fs-uuid --set=root " + fsUUID + "; linux $a; }\n"},
			want: "no file of GRUB, systemd-boot or extlinux"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := system{files: common(with(systemd, with(aKernel, tt.files)))}
			file := image(t, "ext4", s, "")
			said, err := withWords(t, file, []bootos.Device{{Path: file}}, words)
			if err != nil {
				said = err.Error()
			}
			if !strings.Contains(said, tt.want) {
				t.Fatalf("%s\nwant %q", said, tt.want)
			}
			volumetest.Run(t, "e2fsck", "-fn", file)
			for _, h := range tt.have {
				name, text, _ := strings.Cut(h, ": ")
				if got := volumetest.Run(t, "debugfs", "-R", "cat "+name, file); !strings.Contains(got, text) {
					t.Errorf("%s has no %q:\n%s", name, text, got)
				}
			}
			sys, err := bootos.Look(file, false, slog.New(slog.DiscardHandler))
			if err == nil {
				has := len(lacking(sys, words)) == 0
				if strings.HasPrefix(tt.want, "kernel words: console") && !has {
					t.Errorf("started with %q", sys.Args)
				}
			}
		})
	}
}

// withWords personalizes the devices of a disk that is a file.
func withWords(t *testing.T, disk string, devices []bootos.Device, words []string) (string, error) {
	t.Helper()
	var log bytes.Buffer
	p := &Personalizer{Dir: filepath.Join(t.TempDir(), "os"), Log: slog.New(slog.NewTextHandler(&log, nil)),
		Boots: func() (*bootos.System, error) { return bootos.Look(disk, false, slog.New(slog.DiscardHandler)) }}
	if devices[0].Path == disk {
		loop, detach := volumetest.Loop(t, disk, 512)
		defer detach()
		devices = []bootos.Device{{Path: loop}}
	}
	return p.Apply(t.Context(), devices, &personal.Document{V: 1, Things: personal.Settings{KernelWords: words}})
}

// TestBootApart has GRUB's files on a file system of their own, as Fedora has.
func TestBootApart(t *testing.T) {
	need.Root(t)
	need.Tools(t, "sfdisk", "mkfs.ext4", "e2fsck", "debugfs")
	const bootUUID = "99999999-2222-3333-4444-555555555555"
	tree := t.TempDir()
	(&system{files: map[string]string{"grub2/grub.cfg": "search --fs-uuid --set=root " + bootUUID +
		"\nset timeout=1\ninsmod blscfg\nblscfg\n",
		"loader/entries/f.conf": strings.ReplaceAll(blsEntry, "/boot/", "/"),
		"vmlinuz-1":             "k", "initrd.img-1": "i", "home/ops/": "", "etc/shadow": ""}}).put(t, tree)
	boot := volumetest.Sparse(t, 64<<20)
	volumetest.Run(t, "mkfs.ext4", "-q", "-U", bootUUID, "-d", tree, boot)
	root := image(t, "ext4", system{files: common(systemd)}, "UUID="+bootUUID+" /boot ext4 defaults 0 2\n")
	disk := volumetest.Sparse(t, 400<<20)
	volumetest.RunIn(t, "label: dos\nstart=2048, size=131072\nstart=133120, size=655360\n", "sfdisk", "-q", disk)
	for seek, from := range map[string]string{"1": boot, "65": root} {
		volumetest.Run(t, "dd", "if="+from, "of="+disk, "bs=1M", "seek="+seek, "conv=notrunc,sparse", "status=none")
	}
	devices := []bootos.Device{{Number: 1}, {Number: 2}}
	for i, part := range [][2]int64{{1 << 20, 64 << 20}, {65 << 20, 320 << 20}} {
		l, err := grow.Loop(disk, part[0], part[1], 512)
		must(t, err)
		defer l.Close()
		devices[i].Path = l.Name()
	}
	said, err := withWords(t, disk, devices, []string{"console=ttyS0"})
	if err != nil || !strings.Contains(said, "/boot/loader/entries/f.conf") {
		t.Fatalf("%s, %v", said, err)
	}
	for _, d := range devices {
		volumetest.Run(t, "e2fsck", "-fn", d.Path)
	}
	if got := volumetest.Run(t, "debugfs", "-R", "cat /loader/entries/f.conf", devices[0].Path); !strings.Contains(got,
		"ro console=ttyS0\n") {
		t.Errorf("%s", got)
	}
	again, err := withWords(t, disk, devices, []string{"console=ttyS0"})
	if err != nil || !strings.Contains(again, "they were there") {
		t.Errorf("a second time: %s, %v", again, err)
	}
	volumetest.Run(t, "debugfs", "-w", "-R", "feature needs_recovery", devices[0].Path)
	if _, err := withWords(t, disk, devices, []string{"quiet"}); err == nil ||
		!strings.Contains(err.Error(), "not shut down cleanly: its /boot, partition 1 (ext4)") {
		t.Errorf("/boot has a journal to replay: %v", err)
	}
}

// FuzzWords adds words to files that outsiders wrote: every byte that was there is still there, in its order.
func FuzzWords(f *testing.F) {
	f.Add(grubCfg)
	f.Add(blsEntry)
	f.Add("APPEND a\r\nlinux x \\\ny")
	f.Fuzz(func(t *testing.T, text string) {
		for _, by := range []func(string, string) (string, error){grubWords, blsWords, extlinuxWords, defaultGrubWords,
			updateExtlinuxWords} {
			got, err := by(text, "w0rd")
			if err != nil {
				continue
			}
			at := 0
			for i := range len(got) {
				if at < len(text) && got[i] == text[at] {
					at++
				}
			}
			rest := strings.Trim(text[min(at, len(text)):], " \t\n\r\v\f")
			if rest != "" {
				t.Fatalf("%q became %q", text, got)
			}
		}
	})
}

var errNone = errors.New("none")

func TestAdded(t *testing.T) {
	a := &bootos.System{Args: "root=x  ro"}
	if err := added(a, &bootos.System{Args: "root=x ro b"}, []string{"b"}); err != nil {
		t.Error(err)
	}
	for _, args := range []string{"root=x b", "root=x ro", "root=y ro b", "ro root=x b"} {
		if err := added(a, &bootos.System{Args: args}, []string{"b"}); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	p := &Personalizer{Boots: func() (*bootos.System, error) { return nil, errNone }}
	if _, err := p.boots(); !errors.Is(err, errNone) {
		t.Error(err)
	}
	p.Boots = func() (*bootos.System, error) { return &bootos.System{Unified: true}, nil }
	if _, err := p.boots(); err == nil || !strings.Contains(err.Error(), "one image with its words in it") {
		t.Error(err)
	}
}
