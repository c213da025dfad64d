package personalize

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/agent/bootos"
	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/volume/volumetest"
)

const (
	userKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEXAMPLEEXAMPLEEXAMPLE me@there"
	hash    = "$6$saltsaltsalt$TheHashThatNobodyMaySee"
	label   = "system_u:object_r:etc_t:s0"
)

// system is a tree that imitates a distribution's.
type system struct {
	files   map[string]string // a name that ends in / is a folder; content "-> x" a link
	labels  bool
	network string // the file that its network is written to
}

const onEth0 = "auto lo\niface lo inet loopback\nauto eth0\niface eth0 inet dhcp\n"

func common(more map[string]string) map[string]string {
	f := map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nops:x:1000:1000::/home/ops:/bin/sh\n",
		"etc/group":  "root:x:0:\nops:x:1000:\n",
		"etc/shadow": "root:*:19000:0:99999:7:::\nops:$6$old$oldoldold:19000:0:99999:7:::\n",
		"etc/hosts":  "127.0.0.1\tlocalhost\n127.0.1.1\told.example old\n", "etc/hostname": "old\n",
		"root/": "", "home/ops/": "", "bin/sh": "x", "usr/share/zoneinfo/Europe/Berlin": "TZif2", "var/lib/": "",
		"etc/localtime": "-> /usr/share/zoneinfo/UTC", "usr/share/zoneinfo/UTC": "TZif2",
		"etc/ssh/sshd_config": "x", "etc/ssh/moduli": "the moduli", "etc/ssh/ssh_host_rsa_key": "old",
		"etc/ssh/ssh_host_rsa_key.pub": "old", "etc/ssh/ssh_host_ed25519_key": "old",
		"etc/ssh/ssh_host_ed25519_key.pub": "old", "etc/ssh/ssh_host_dsa_key": "old",
		"etc/ssh/ssh_host_ecdsa_key": "old", "etc/ssh/ssh_host_rsa_key-cert.pub": "old",
		"etc/motd": "old", "etc/out": "-> /../../../../../../../../tmp",
	}
	for name, content := range more {
		f[name] = content
	}
	return f
}

var systemd = map[string]string{"usr/lib/systemd/systemd": "x", "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
	"var/lib/systemd/random-seed": "seed", "etc/os-release": "-> ../usr/lib/os-release"}

func with(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

var systems = map[string]system{
	"debian": {files: common(with(systemd, map[string]string{
		"usr/lib/os-release": "ID=debian", "etc/timezone": "Etc/UTC\n", "etc/network/interfaces": onEN,
		"etc/systemd/system/multi-user.target.wants/networking.service": "-> /x", "boot/vmlinuz-1": "k",
		"boot/initrd.img-1": "i", "boot/grub/grub.cfg": grubCfg, "etc/default/grub": "GRUB_TIMEOUT=1\n",
		"var/lib/dbus/machine-id": "-> /etc/machine-id", "etc/cloud/cloud.cfg.d/": ""})),
		network: "etc/network/interfaces"},
	"ubuntu": {files: common(with(systemd, map[string]string{
		"usr/lib/os-release": "ID=ubuntu", "etc/timezone": "Etc/UTC\n",
		"var/lib/dbus/machine-id": "0123456789abcdef0123456789abcdef\n", "etc/netplan/50.yaml": "network:\n",
		"usr/lib/systemd/system-generators/netplan": "x", "boot/vmlinuz-1": "k", "boot/initrd.img-1": "i",
		"etc/systemd/system/sysinit.target.wants/systemd-resolved.service": "-> /x",
		"boot/grub/grub.cfg": strings.ReplaceAll(grubCfg, "/boot/", "/@/boot/"), "etc/default/grub.d/": "",
		"etc/cloud/cloud.cfg.d/": ""})), network: "etc/netplan/90-diskcast.yaml"},
	"fedora": {labels: true, files: common(with(systemd, map[string]string{"usr/lib/os-release": "ID=fedora",
		"etc/selinux/config": "SELINUX=enforcing\n", "boot/vmlinuz-1": "k", "boot/initrd.img-1": "i",
		"boot/grub2/grub.cfg": "search --fs-uuid --set=root " + fsUUID +
			"\nset timeout=1\ninsmod blscfg\nblscfg\n",
		"boot/loader/entries/fedora.conf": blsEntry, "etc/kernel/cmdline": "root=x ro\n",
		"etc/systemd/system/multi-user.target.wants/NetworkManager.service": "-> /x", "etc/cloud/cloud.cfg.d/": ""})),
		network: "etc/NetworkManager/system-connections/diskcast-525400123456.nmconnection"},
	"alpine": {files: common(map[string]string{"etc/os-release": "ID=alpine", "etc/network/interfaces": onEth0,
		"etc/runlevels/boot/networking": "-> /etc/init.d/networking", "boot/vmlinuz-1": "k", "boot/initrd.img-1": "i",
		"boot/extlinux/extlinux.conf": "DEFAULT a\nLABEL a\n KERNEL /boot/vmlinuz-1\n INITRD /boot/initrd.img-1\n" +
			" APPEND root=UUID=" + fsUUID + "\n",
		"etc/cloud/cloud.cfg.d/": ""}), network: "etc/network/interfaces"},
}

// put writes a system below dir.
func (s *system) put(t *testing.T, dir string) {
	t.Helper()
	for name, content := range s.files {
		full := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(full, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(full), 0o755))
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			must(t, os.Symlink(to, full))
			continue
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(content, "\x7fELF") {
			mode = 0o755
		}
		if name == "etc/shadow" {
			mode = 0o640
		}
		must(t, os.WriteFile(full, []byte(content), mode))
		if s.labels {
			must(t, unix.Setxattr(full, labelOf, []byte(label), 0))
		}
	}
	must(t, os.Chown(filepath.Join(dir, "home/ops"), 1000, 1000))
	must(t, os.Chown(filepath.Join(dir, "etc/shadow"), 0, 42))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fileSystem is how a file system is made and judged.
type fileSystem struct {
	make, judge []string
	sub         string
	fstab       string
}

var fileSystems = map[string]fileSystem{
	"ext4": {make: []string{"mkfs.ext4", "-q", "-U", fsUUID}, judge: []string{"e2fsck", "-fn"},
		fstab: "UUID=" + fsUUID + " / ext4 defaults 0 1\n"},
	"xfs": {make: []string{"mkfs.xfs", "-q", "-m", "uuid=" + fsUUID}, judge: []string{"xfs_repair", "-n"},
		fstab: "UUID=" + fsUUID + " / xfs defaults 0 0\n"},
	"btrfs": {make: []string{"mkfs.btrfs", "-q", "-U", fsUUID}, judge: []string{"btrfs", "check"},
		sub: "@", fstab: "UUID=" + fsUUID + " / btrfs subvol=@ 0 0\n"},
}

const fsUUID = "11111111-2222-3333-4444-555555555555"

// image makes a file system with a system in it.
func image(t *testing.T, fstype string, s system, fstab string) (file string) {
	t.Helper()
	return imageOf(t, fileSystems[fstype], fstype, s, fstab)
}

// imageOf is image with a file system that is made another way.
func imageOf(t *testing.T, fs fileSystem, fstype string, s system, fstab string) (file string) {
	t.Helper()
	need.Root(t)
	need.Tools(t, fs.make[0], fs.judge[0])
	file = volumetest.Sparse(t, imageSize)
	volumetest.Run(t, fs.make[0], append(fs.make[1:len(fs.make):len(fs.make)], file)...)
	dir, unmount := volumetest.Mount(t, file, fstype, "")
	if fs.sub != "" {
		volumetest.Run(t, "btrfs", "subvolume", "create", filepath.Join(dir, fs.sub))
		dir = filepath.Join(dir, fs.sub)
	}
	s.put(t, dir)
	must(t, os.WriteFile(filepath.Join(dir, "etc/fstab"), []byte(fs.fstab+fstab), 0o644))
	unmount()
	return file
}

// apply personalizes, and returns what was logged.
func apply(t *testing.T, file string, s personal.Settings) (log string, err error) {
	t.Helper()
	loop, detach := volumetest.Loop(t, file, 512)
	defer detach()
	var b bytes.Buffer
	p := &Personalizer{Dir: filepath.Join(t.TempDir(), "os"), Log: slog.New(slog.NewTextHandler(&b, nil)),
		Boots: func() (*bootos.System, error) { return bootos.Look(file, true, slog.New(slog.DiscardHandler)) }}
	words, err := p.Apply(t.Context(), []bootos.Device{{Path: loop}}, &personal.Document{V: 1, Things: s})
	if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), p.Dir) {
		t.Error("it is still mounted")
	}
	return b.String() + words, err
}

// everything is all that a Linux system can be given.
func everything(t *testing.T) personal.Settings {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Name: "opt/archive/in", Typeflag: tar.TypeReg, Mode: 0o640, Size: 6, Uid: 1000}))
	_, err := w.Write([]byte("SECRET"))
	must(t, errors.Join(err, w.Close()))
	return personal.Settings{Hostname: "pc-7.lab.example", MachineID: personal.New, SSHHostKeys: personal.New,
		AuthorizedKeys: map[string]string{"root": userKey + "\n", "ops": userKey},
		Passwords:      map[string]string{"ops": hash}, TimeZone: "Europe/Berlin",
		Seed: &personal.Seed{MetaData: "instance-id: x\n", UserData: "#cloud-config SECRET\n"}, Network: static,
		Files: []personal.File{{Path: "/etc/motd", Content: "SECRET"}, {Path: "/opt/lab/key", Mode: "0600",
			Content: "SECRET"}, {Path: "/etc/out/escaped-by-diskcast", Content: "SECRET"}},
		Archive:     &personal.Archive{Content: base64.StdEncoding.EncodeToString(b.Bytes())},
		Script:      &personal.Script{Run: "# SECRET\nread name < /etc/hostname\necho $name > /opt/by-script"},
		KernelWords: []string{"lab.seat=7"}}
}

// TestMatrix personalizes trees like those of distributions on each file system, and has foreign tools judge.
func TestMatrix(t *testing.T) {
	for _, tt := range []struct{ distribution, fstype string }{
		{"debian", "ext4"}, {"ubuntu", "btrfs"}, {"fedora", "xfs"}, {"alpine", "ext4"},
		{"windows", "ntfs"},
	} {
		t.Run(tt.distribution+" "+tt.fstype, func(t *testing.T) {
			if tt.fstype == "ntfs" {
				disk := ntfs(t, "Windows/System32/config/SYSTEM", "Windows/Panther/setupact.log")
				if said, err := answered(t, disk, byFUSE); err != nil ||
					!strings.Contains(said, "Windows/Panther/unattend.xml") {
					t.Errorf("%s, %v", said, err)
				}
				volumetest.Run(t, "ntfsfix", "-n", disk)
				return
			}
			s := systems[tt.distribution]
			s.files = with(with(s.files, shell(t)), map[string]string{"tmp/": ""})
			if tt.distribution == "debian" {
				s.files["sbin/ifup"] = debianIfup(t)
			}
			file := image(t, tt.fstype, s, "")
			log, err := apply(t, file, everything(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"SECRET", hash} {
				if strings.Contains(log, secret) {
					t.Errorf("the log tells %s: %s", secret, log)
				}
			}
			fs := fileSystems[tt.fstype]
			if out, err := exec.Command(fs.judge[0], append(fs.judge[1:], file)...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", fs.judge[0], err, out)
			}
			sys, err := bootos.Look(file, true, slog.New(slog.DiscardHandler))
			if err != nil || !strings.Contains(sys.Args+" ", " lab.seat=7 ") {
				t.Errorf("started with %+v, %v", sys, err)
			}
			options := "ro"
			if fs.sub != "" {
				options += ",subvol=" + fs.sub
			}
			dir, _ := volumetest.Mount(t, file, tt.fstype, options)
			judge(t, dir, s)
		})
	}
}

// modes are those of files that configure a network, by how their names end.
var modes = map[string]string{"": "644", ".yaml": "600", ".nmconnection": "600"}

// judge looks at a system that has everything.
func judge(t *testing.T, dir string, s system) {
	t.Helper()
	_, hasSystemd := s.files["usr/lib/systemd/systemd"]
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	want := map[string]string{"etc/hostname": "pc-7.lab.example\n", "etc/motd": "SECRET", "opt/lab/key": "SECRET",
		"etc/hosts":                     "127.0.0.1\tlocalhost\n127.0.1.1\tpc-7.lab.example pc-7\n",
		"root/.ssh/authorized_keys":     userKey + "\n",
		"home/ops/.ssh/authorized_keys": userKey + "\n", "var/lib/cloud/seed/nocloud/meta-data": "instance-id: x\n",
		"var/lib/cloud/seed/nocloud/user-data": "#cloud-config SECRET\n", "etc/ssh/moduli": "the moduli",
		"tmp/escaped-by-diskcast": "SECRET", "opt/archive/in": "SECRET", "opt/by-script": "pc-7.lab.example\n",
		"etc/shadow": "root:*:19000:0:99999:7:::\nops:" + hash + ":19000:0:99999:7:::\n"}
	if _, ok := s.files["etc/timezone"]; ok {
		want["etc/timezone"] = "Europe/Berlin\n"
	}
	for name, content := range want {
		if got := read(name); got != content {
			t.Errorf("%s is %q, want %q", name, got, content)
		}
	}
	if _, err := os.Lstat("/tmp/escaped-by-diskcast"); err == nil {
		t.Error("a link led out of the restored system")
	}
	if to, _ := os.Readlink(filepath.Join(dir, "etc/localtime")); to != "../usr/share/zoneinfo/Europe/Berlin" {
		t.Errorf("localtime leads to %s", to)
	}
	if id := read("etc/machine-id"); hasSystemd && id != "" || !hasSystemd && len(id) != 33 {
		t.Errorf("machine-id is %q", id)
	}
	if _, ok := s.files["var/lib/dbus/machine-id"]; ok {
		if to, _ := os.Readlink(filepath.Join(dir, "var/lib/dbus/machine-id")); to != "/etc/machine-id" {
			t.Error("dbus has a machine-id of its own")
		}
	}
	for _, name := range []string{"etc/ssh/ssh_host_dsa_key", "etc/ssh/ssh_host_rsa_key-cert.pub",
		"var/lib/systemd/random-seed"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s is still there (%v)", name, err)
		}
	}
	for name, want := range map[string]string{"etc/shadow": "640 0 42", "home/ops/.ssh": "700 1000 1000",
		"home/ops/.ssh/authorized_keys": "600 1000 1000", "opt/lab/key": "600 0 0", "etc/hostname": "644 0 0",
		"opt/archive/in": "640 1000 0", s.network: modes[filepath.Ext(s.network)] + " 0 0",
		"var/lib/cloud/seed/nocloud/user-data": "600 0 0"} {
		if got := strings.TrimSpace(volumetest.Run(t, "stat", "-c", "%a %u %g",
			filepath.Join(dir, name))); got != want {
			t.Errorf("%s has %s, want %s", name, got, want)
		}
	}
	if got := read(s.network); !strings.Contains(got, "10.0.0.5/24") ||
		!strings.Contains(strings.ToLower(got), nicMAC) {
		t.Errorf("%s is %q", s.network, got)
	}
	if got := read("etc/cloud/cloud.cfg.d/99-diskcast-network.cfg"); !strings.Contains(got, "config: disabled") {
		t.Errorf("cloud-init is told %q", got)
	}
	judgeKeys(t, dir)
	need.Tools(t, "pwck")
	if out, err := exec.Command("pwck", "-r", "-q", "-R", dir).CombinedOutput(); err != nil {
		t.Errorf("pwck: %v %s", err, out)
	}
	if s.labels {
		b := make([]byte, 100)
		n, err := unix.Getxattr(filepath.Join(dir, "etc/hostname"), labelOf, b)
		if err != nil || string(b[:n]) != label {
			t.Errorf("the label of etc/hostname is %q (%v)", b[:max(n, 0)], err)
		}
		if _, err := os.Stat(filepath.Join(dir, ".autorelabel")); err != nil {
			t.Errorf("new files have no label of the policy's, and no relabelling is asked for: %v", err)
		}
	}
}

// judgeKeys has OpenSSH read the host keys: the public one is that of the private one.
func judgeKeys(t *testing.T, dir string) {
	t.Helper()
	need.Tools(t, "ssh-keygen")
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		src := filepath.Join(dir, "etc/ssh/ssh_host_"+kind+"_key")
		b, err := os.ReadFile(src)
		must(t, err)
		file := filepath.Join(t.TempDir(), "key") // ssh-keygen wants a key that nobody else may read
		must(t, os.WriteFile(file, b, 0o600))
		private := strings.Fields(volumetest.Run(t, "ssh-keygen", "-y", "-f", file))
		public, err := os.ReadFile(src + ".pub")
		must(t, err)
		if p := strings.Fields(string(public)); len(p) < 2 || p[1] != private[1] {
			t.Errorf("%s: the public key is %q, ssh-keygen makes %q of the private one", kind, public, private)
		}
		volumetest.Run(t, "ssh-keygen", "-l", "-f", src+".pub")
	}
}

// TestRefused writes nothing where something cannot be.
func TestRefused(t *testing.T) {
	name := personal.Settings{Hostname: "a"}
	for _, tt := range []struct {
		name     string
		settings personal.Settings
		fstab    string
		more     map[string]string
		spoil    func(t *testing.T, file string)
		want     string
	}{
		{name: "dirty", settings: name, want: "not shut down cleanly", spoil: func(t *testing.T, file string) {
			volumetest.Run(t, "debugfs", "-w", "-R", "feature needs_recovery", file)
		}},
		{name: "no system", settings: name, want: "no root file system", spoil: func(t *testing.T, file string) {
			volumetest.Run(t, "mkfs.ext4", "-q", "-F", file)
		}},
		{name: "another root", settings: name, want: "its fstab has / on another file system",
			spoil: func(t *testing.T, file string) {
				// tune2fs wants a check that is no older, in seconds, than the last mount.
				volumetest.Run(t, "e2fsck", "-f", "-p", file)
				volumetest.Run(t, "tune2fs", "-f", "-U", "random", file)
			}},
		{name: "no user", settings: personal.Settings{Hostname: "a", Passwords: map[string]string{"eve": "!"}},
			want: "no user eve"},
		{name: "home elsewhere", fstab: "UUID=x /home ext4 defaults 0 2\n", want: "/home in fstab",
			settings: personal.Settings{Hostname: "a", AuthorizedKeys: map[string]string{"ops": userKey}}},
		{name: "no zone", settings: personal.Settings{Hostname: "a", TimeZone: "Mars/Olympus"}, want: "no /usr/share"},
		{name: "a folder in its place", settings: personal.Settings{Files: []personal.File{{Path: "/etc/ssh"}}},
			want: "not regular"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			need.Tools(t, "debugfs", "e2fsck", "tune2fs")
			s := systems["alpine"]
			s.files = with(s.files, tt.more)
			file := image(t, "ext4", s, tt.fstab)
			if tt.spoil != nil {
				tt.spoil(t, file)
			}
			_, err := apply(t, file, tt.settings)
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "not a regular", "not regular"),
				tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if tt.settings.Hostname == "" || tt.name == "no system" {
				return
			}
			out := volumetest.Run(t, "debugfs", "-R", "cat /etc/hostname", file)
			if !strings.Contains(out, "old") {
				t.Errorf("it was refused, and the hostname is %q", out)
			}
		})
	}
}

// TestUnreadNeighbour has a partition beside the root that looks like a file system and cannot be mounted.
func TestUnreadNeighbour(t *testing.T) {
	file := image(t, "ext4", systems["alpine"], "")
	root, detach := volumetest.Loop(t, file, 512)
	defer detach()
	spoilt := volumetest.Sparse(t, 16<<20)
	volumetest.Run(t, "mkfs.ext4", "-q", spoilt)
	volumetest.Poke(t, spoilt, 1024, func(p []byte) { p[24] = 200 }) // blocks of 2^210 bytes
	beside, detachBeside := volumetest.Loop(t, spoilt, 512)
	defer detachBeside()
	p := &Personalizer{Dir: filepath.Join(t.TempDir(), "os")}
	said, err := p.Apply(t.Context(), []bootos.Device{{Number: 1, Path: beside}, {Number: 2, Path: root}},
		&personal.Document{V: 1, Things: personal.Settings{Hostname: "a"}})
	if err != nil || !strings.Contains(said, "partition 2 (ext4): hostname: a") {
		t.Errorf("%q, %v", said, err)
	}
	if _, err := os.Stat(p.Dir); !os.IsNotExist(err) {
		t.Errorf("the folder of its mounts is left: %v", err)
	}
}

// TestTexts holds the small edits against what their formats want.
func TestTexts(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{hosts("127.0.0.1 localhost", "a"), "127.0.0.1 localhost\n127.0.1.1\ta\n"},
		{hosts("", "a.b"), "127.0.1.1\ta.b a\n"},
		{hosts("127.0.1.1 x\n::1 y\n127.0.1.1 z\n", "a"), "127.0.1.1\ta\n::1 y\n"},
		{withLines("k1", "k2\n\nk1\n"), "k1\nk2\n"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	if _, err := shadow("root:x:1\n", map[string]string{"root": "!"}); err == nil {
		t.Error("a line with too few fields was taken")
	}
	got, err := shadow("root:x:1:2:3:4:5:6:", map[string]string{"root": "!"})
	if err != nil || got != "root:!:1:2:3:4:5:6:" {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzTexts shows that what is not meant stays as it was, whatever the files hold.
func FuzzTexts(f *testing.F) {
	f.Add("root:x:1:2:3:4:5:6:7\nops:y:1:2:3:4:5:6:7\n")
	f.Add("127.0.1.1 a\n\n# x")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := shadow(text, nil); err != nil || got != text {
			t.Fatalf("%q became %q (%v)", text, got, err)
		}
		once := hosts(text, "a")
		if hosts(once, "a") != once {
			t.Fatalf("%q: a second time makes another file", text)
		}
		once = withLines(text, "k")
		if withLines(once, "k") != once {
			t.Fatalf("%q: a second time makes another file", text)
		}
	})
}
