package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/userland"
)

func TestNotes(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	for name, c := range map[string]struct {
		args []string
		want string // "" for none about shim and GRUB
	}{
		"none wanted":       {[]string{"--shim", "none"}, ""},
		"kernel not signed": {loaders(t), "the kernel carries no signature"},
		"base URL":          {append(loaders(t), "--base-url", "http://10.0.0.1:8080/boot"), "--base-url is for iPXE"},
		"base URL with HTTP": {append(loaders(t, "http"), "--base-url", "http://10.0.0.1:8080/boot"),
			"the kernel carries no signature"},
		"proxy":            {loaders(t), "GRUB 2.06 does not know proxy DHCP"},
		"no such firmware": {[]string{"--shim", "none", "--firmware", t.TempDir()}, "nothing in --firmware /"},
		"proxy, with iPXE": {loaders(t), "machines get iPXE"},
		"a backslash":      {append(loaders(t), "--append", `a=\b`), "GRUB does not hand --append on"},
	} {
		out := filepath.Join(t.TempDir(), "boot")
		text, err := mkimage(t, append(c.args, "--kernel", kernel, "--ipxe", ipxe, "--out", out, "--modules", "none",
			"--json", "--server", "https://a:1", "--pin", testPin)...)
		if err != nil {
			t.Fatal(name, err)
		}
		var r result
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		notes := strings.Join(r.Notes, "\n")
		if c.want == "" && notes != "" || !strings.Contains(notes, c.want) ||
			strings.Contains(notes, "--base-url") != (name == "base URL") {
			t.Errorf("%s: notes %q, want %q", name, notes, c.want)
		}
	}
}

// TestMemtestInDirectory lays Memtest86+ out where menus look for it, and says where one of the two is not there.
func TestMemtestInDirectory(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	test := make([]byte, 4096) // with the marks of one for BIOS
	test[0x1fe], test[0x1ff] = 0x55, 0xaa
	copy(test[0x202:], "HdrS")
	copy(test[1024:], "Memtest86+ v7.20")
	file := filepath.Join(t.TempDir(), "memtest86+x64.bin")
	if err := os.WriteFile(file, test, 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "boot")
	args := []string{"--kernel", kernel, "--ipxe", ipxe, "--shim", "none", "--modules", "none", "--memtest", file}
	text, err := mkimage(t, append(args, "--out", out)...)
	if err != nil || !strings.Contains(text, "no Memtest86+ for machines with UEFI") {
		t.Errorf("%s, %v", text, err)
	}
	got, err := os.ReadFile(filepath.Join(out, "memtest.bin"))
	if err != nil || !bytes.Equal(got, test) || manifest(t, out).Files["memtest.bin"].Size != 4096 {
		t.Errorf("%d bytes are laid out, %v", len(got), err)
	}
	if _, err := mkimage(t, append(args, "--usb", filepath.Join(t.TempDir(), "stick"))...); err == nil ||
		!strings.Contains(err.Error(), "--memtest is for") {
		t.Errorf("of a stick: %v", err)
	}
	args[len(args)-1] = kernel
	if _, err := mkimage(t, append(args, "--out", filepath.Join(t.TempDir(), "none"))...); err == nil ||
		!strings.Contains(err.Error(), "--memtest "+kernel) {
		t.Errorf("of another package: %v", err)
	}
}

func manifest(t *testing.T, dir string) *bootdir.Manifest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, bootdir.ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	var m bootdir.Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return &m
}

func TestBootDirectory(t *testing.T) {
	kernel, firmware, ipxe := inputs(t)
	const modules = "lib/modules/6.1.0-1/"
	for _, c := range []struct {
		name string
		args []string
		want []artifact
	}{
		{
			"everything", []string{"--server", "https://10.0.0.1:8443", "--pin", testPin, "--console", "ttyS0,115200",
				"--firmware", firmware},
			[]artifact{
				hasFile{"vmlinuz", "HdrS"}, hasFile{"initramfs.img", "\x1f\x8b"}, hasFile{"undionly.kpxe", "bios"},
				hasFile{"snponly.efi", "efi"},
				hasFile{"boot.ipxe", "initrd=initramfs.img BOOTIF=01-${netX/mac:hexhyp} console=tty0 " +
					"console=ttyS0,115200"},
				hasFile{"manifest.json", `"kernel": "6.1.0-1"`},
				hasRecord{"bbin/bb", ramfs.File, 0o755, "binary"},
				hasRecord{"init", ramfs.Symlink, 0o777, "bbin/uinit"},
				hasRecord{"etc/diskcast/site.json", ramfs.File, 0o644,
					`{"v":1,"server":"https://10.0.0.1:8443","pin":"` + testPin + `","console":"ttyS0,115200"}`},
				hasRecord{modules + "kernel/drivers/net/ethernet/intel/e1000.ko.zst", ramfs.File, 0o644, "\x7fELF"},
				hasRecord{modules + "kernel/fs/ext4/ext4.ko.zst", ramfs.File, 0o644, "\x7fELF"},
				hasRecord{modules + "modules.dep", ramfs.File, 0o644,
					"kernel/drivers/net/ethernet/intel/e1000.ko.zst: kernel/drivers/net/mii.ko.zst\n"},
				hasRecord{modules + "modules.alias", ramfs.File, 0o644, "alias pci:v8086* e1000\n"},
				hasRecord{modules + "modules.builtin", ramfs.File, 0o644, "inside"},
				hasRecord{"lib/firmware/card.bin", ramfs.File, 0o644, "firmware"},
				lacks(modules + "kernel/sound/beep.ko.zst"),
			},
		},
		{
			"a VLAN and an address", []string{"--vlan", "120", "--ip", "10.0.0.5/24::10.0.0.1"},
			[]artifact{hasRecord{"etc/diskcast/site.json", ramfs.File, 0o644,
				`{"v":1,"vlan":120,"ip":"10.0.0.5/24::10.0.0.1"}`}},
		},
		{
			"one module", []string{"--modules", "beep"},
			[]artifact{hasRecord{modules + "kernel/sound/beep.ko.zst", ramfs.File, 0o644, "beep"},
				lacks(modules + "kernel/fs/ext4/ext4.ko.zst"), lacks("lib/firmware/card.bin")},
		},
		{
			"more than usual", []string{"--modules", "default,beep"},
			[]artifact{hasRecord{modules + "kernel/sound/beep.ko.zst", ramfs.File, 0o644, "beep"},
				hasRecord{modules + "kernel/fs/ext4/ext4.ko.zst", ramfs.File, 0o644, "ext4"}},
		},
		{
			"no module", []string{"--modules", "none", "--base-url", "http://${next-server}:8080/boot", "--append",
				"a=1 b"},
			[]artifact{lacks(modules + "kernel/fs/ext4/ext4.ko.zst"),
				hasFile{"boot.ipxe", "kernel http://${next-server}:8080/boot/vmlinuz initrd="},
				hasFile{"boot.ipxe", "init_on_alloc=0 a=1 b ||"}},
		},
		{
			"Secure Boot", append(loaders(t), "--modules", "none", "--append", `a=1 b="x $y"`),
			[]artifact{
				hasFile{"shimx64.efi", "MZ"}, hasFile{"grubx64.efi", "mimg"},
				hasFile{"grub/grub.cfg",
					`linux "$cmdpath/vmlinuz" "BOOTIF=01-$net_default_mac" 'console=tty0' 'panic=60' 'quiet' ` +
						`'mitigations=off' 'cryptomgr.notests' 'init_on_alloc=0' 'a=1' 'b=x $y'; then`},
				hasFile{"manifest.json", `"http": false`},
			},
		},
		{
			"GRUB with HTTP", append(loaders(t, "http"), "--modules", "none", "--base-url",
				"http://10.0.0.1:8080/boot/"),
			[]artifact{hasFile{"grub/grub.cfg", `initrd "(http,10.0.0.1:8080)/boot/initramfs.img"`},
				hasFile{"manifest.json", `"http": true`}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "boot")
			if text, err := mkimage(t,
				append(c.args, "--kernel", kernel, "--ipxe", ipxe, "--out", out)...); err != nil {
				t.Fatal(err, text)
			}
			f, err := os.Open(filepath.Join(out, bootdir.ArchiveFile))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			a, err := ramfs.Unpack(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range c.want {
				w.check(t, out, a)
			}
		})
	}
}

// TestArch refuses a kernel for machines of another processor than is asked for, before anything is made.
func TestArch(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	args := []string{"--kernel", kernel, "--ipxe", ipxe, "--shim", "none", "--modules", "none"}
	for arch, want := range map[string]string{"amd64": "", "riscv64": "neither amd64 nor arm64",
		"arm64": "is a kernel for machines of amd64, and --arch says arm64"} {
		out := filepath.Join(t.TempDir(), "boot")
		_, err := mkimage(t, append(args, "--out", out, "--arch", arch)...)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", arch, err, want)
		}
		if _, err := os.Stat(out); (err == nil) != (want == "") {
			t.Errorf("%s: the boot directory: %v", arch, err)
		}
	}
}

func TestReproducible(t *testing.T) {
	kernel, firmware, ipxe := inputs(t)
	run := func(extra ...string) string {
		out := filepath.Join(t.TempDir(), "boot")
		args := append([]string{"--kernel", kernel, "--ipxe", ipxe, "--firmware", firmware, "--out", out}, extra...)
		if _, err := mkimage(t, args...); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(out, bootdir.ManifestFile))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	first := run()
	if second := run(); second != first {
		t.Errorf("two runs differ:\n%s\n%s", first, second)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	dated := run()
	if dated == first {
		t.Error("SOURCE_DATE_EPOCH changes nothing")
	}
	if again := run(); again != dated {
		t.Error("two runs with SOURCE_DATE_EPOCH differ")
	}
}

func TestOutput(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	out := filepath.Join(t.TempDir(), "boot")
	text, err := mkimage(t, "--kernel", kernel, "--ipxe", ipxe, "--out", out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{out + ": Linux 6.1.0-1, 3 modules", "initramfs.img",
		"note: 1 of 3 modules may ask for firmware", "(e1000)", "note: no --server"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text, err = mkimage(t, "--kernel", kernel, "--ipxe", ipxe, "--out", out, "--json", "--server", "https://a:1",
		"--pin", testPin)
	var r result
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	if err != nil || r.Out != out || r.Manifest == nil || len(r.Manifest.Modules) != 3 ||
		r.Manifest.Site.Pin != testPin || len(r.Notes) != 1 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestRefuses(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	dangling := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("gone", dangling); err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	meta, other := filepath.Join(t.TempDir(), "meta.deb"), filepath.Join(t.TempDir(), "other.deb")
	for name, control := range map[string]string{
		meta:  "Package: linux-image-amd64\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)\n",
		other: "Package: bash\nDepends: base-files\n",
	} {
		if err := os.WriteFile(name, debtest.WithControl(t, ".xz", control, debtest.File{Name: "usr/share/doc/"}),
			0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no pin":          {[]string{"--server", "https://a"}, "diskcast token"},
		"http server":     {[]string{"--server", "http://a", "--pin", testPin}, "https://10.0.0.1:8443"},
		"no host":         {[]string{"--server", "https://", "--pin", testPin}, "https://10.0.0.1:8443"},
		"short pin":       {[]string{"--pin", "sha256:00"}, "64 hexadecimal digits"},
		"console":         {[]string{"--console", "/dev/ttyS0"}, "ttyS0,115200"},
		"base URL":        {[]string{"--base-url", "10.0.0.1/boot"}, "http://10.0.0.1:8080/boot"},
		"two lines":       {[]string{"--append", "a\nboot"}, "end of a line"},
		"iPXE's comment":  {[]string{"--append", "a=1 # b"}, `--append: the word "#" begins a comment`},
		"module":          {[]string{"--modules", "nothing"}, `"nothing" is neither a group`},
		"no shim":         {[]string{"--shim", "/nowhere"}, "--shim /nowhere"},
		"shim is a pipe":  {[]string{"--shim", pipe, "--grub", pipe}, "no file but a pipe"},
		"no GRUB":         {[]string{"--shim", kernel}, "the package has no shimx64.efi.signed"},
		"iPXE":            {[]string{"--ipxe", filepath.Dir(kernel)}, "install the package ipxe"},
		"kernel":          {[]string{"--kernel", "/nowhere"}, "no such file"},
		"out":             {[]string{"--out", filepath.Dir(kernel)}, "not a boot directory"},
		"out is a file":   {[]string{"--out", kernel}, "is a file: name a folder"},
		"out in a file":   {[]string{"--out", kernel + "/boot/x"}, "is not a folder"},
		"out dangling":    {[]string{"--out", dangling}, "which leads nowhere"},
		"kernel by name":  {[]string{"--kernel", "linux-image-amd64"}, "apt-get download linux-image-amd64"},
		"modules by name": {[]string{"--modules-from", "linux-modules-6.1"}, "apt-get download linux-modules-6.1"},
		"no firmware":     {[]string{"--firmware", "/nowhere/firmware"}, "--firmware /nowhere/firmware: no such file"},
		"out read-only":   {[]string{"--out", "/proc/boot"}, "cannot be made: writing to /proc"},
		"command line":    {[]string{"--append", strings.Repeat("x", 1850)}, "shorten --append by "},
		"metapackage": {[]string{"--kernel", meta},
			"only names the real one: apt-get download linux-image-6.1.0-56-amd64"},
		"other package": {[]string{"--kernel", other},
			"no kernel (boot/vmlinuz-*) in the package bash; --kernel wants linux-image-RELEASE"},
		"words":           {[]string{"x"}, "unknown command"},
		"VLAN":            {[]string{"--vlan", "4095"}, "--vlan: VLAN"},
		"bond":            {[]string{"--bond", "lacp"}, "--bond: bond"},
		"address":         {[]string{"--ip", "10.0.0.300"}, "--ip: ip"},
		"bond's module":   {[]string{"--bond", "802.3ad"}, "--bond needs the module bonding"},
		"unknown setting": {[]string{"--serve"}, "unknown flag"},
	} {
		out := filepath.Join(t.TempDir(), "boot")
		_, err := mkimage(t, append([]string{"--kernel", kernel, "--ipxe", ipxe, "--out", out}, c.args...)...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: a boot directory was made", name)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "yesterday")
	if _, err := mkimage(t, "--kernel", kernel, "--ipxe", ipxe, "--out", "x"); err == nil ||
		!strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("SOURCE_DATE_EPOCH: %v", err)
	}
}

// TestWithoutIPXE: none is no folder, here as with --shim and --isolinux.
func TestWithoutIPXE(t *testing.T) {
	kernel, _, _ := inputs(t)
	out := filepath.Join(t.TempDir(), "boot")
	said, err := mkimage(t, "--kernel", kernel, "--ipxe", "none", "--out", out)
	if err != nil || !strings.Contains(said, "as --ipxe none says") {
		t.Fatalf("%v: %s", err, said)
	}
	if names, err := filepath.Glob(filepath.Join(out, "*pxe*")); err != nil || len(names) != 1 {
		t.Errorf("%v, %v, want boot.ipxe alone", names, err)
	}
}

// TestAtOnce refuses what cannot succeed before it does any work: the userland is not even asked for.
func TestAtOnce(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	for name, args := range map[string][]string{
		"out":          {"--out", kernel},
		"no kernel":    {"--out", filepath.Join(t.TempDir(), "boot"), "--kernel", "/nowhere"},
		"no modules":   {"--out", filepath.Join(t.TempDir(), "boot"), "--modules-from", "/nowhere"},
		"command line": {"--out", filepath.Join(t.TempDir(), "boot"), "--append", strings.Repeat("x", 3000)},
	} {
		cmd := newCommand(func(contract.Arch) ([]byte, error) { return nil, errors.New("the userland was asked for") })
		cmd.SetArgs(append([]string{"--kernel", kernel, "--ipxe", ipxe, "--shim", "none"}, args...))
		if err := cmd.Execute(); err == nil || strings.Contains(err.Error(), "asked for") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestModulesBeforeFirmware refuses a module that there is not before packages of firmware, which are large, are read.
func TestModulesBeforeFirmware(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	firmware := filepath.Join(t.TempDir(), "firmware.deb")
	if err := os.WriteFile(firmware, []byte("!<arch>\nxxxx"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := mkimage(t, "--kernel", kernel, "--ipxe", ipxe, "--firmware", firmware, "--modules", "nosuchmod", "--out",
		filepath.Join(t.TempDir(), "boot"))
	if err == nil || !strings.Contains(err.Error(), `"nosuchmod" is neither a group`) {
		t.Errorf("got %v, want the module named", err)
	}
}

// TestMemoryNote warns of an archive that nodes of 512 MiB cannot unpack.
func TestMemoryNote(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	firmware := filepath.Join(t.TempDir(), "firmware")
	if err := os.MkdirAll(firmware, 0o755); err != nil {
		t.Fatal(err)
	}
	for mib, want := range map[int64]bool{200: false, 230: true} {
		file := filepath.Join(firmware, "card.bin")
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(file, mib<<20); err != nil {
			t.Fatal(err)
		}
		text, err := mkimage(t, "--kernel", kernel, "--ipxe", ipxe, "--firmware", firmware, "--out",
			filepath.Join(t.TempDir(), "boot"))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(text, "MiB of memory for this archive, more than the usual 512"); got != want {
			t.Errorf("with %d MiB of firmware, warned %v, want %v:\n%s", mib, got, want, text)
		}
	}
}

// A checkout in which the userland was not built yet compiles, and says what to do when it is run.
func TestWithoutUserland(t *testing.T) {
	kernel, _, ipxe := inputs(t)
	cmd := newCommand(func(contract.Arch) ([]byte, error) { return nil, userland.ErrMissing })
	cmd.SetArgs([]string{"--kernel", kernel, "--ipxe", ipxe, "--out", filepath.Join(t.TempDir(), "boot")})
	err := cmd.Execute()
	if !errors.Is(err, userland.ErrMissing) || !strings.Contains(err.Error(), "run `make`") {
		t.Errorf("error %v", err)
	}
	if _, err := userland.Archive(contract.AMD64); err != nil && !errors.Is(err, userland.ErrMissing) {
		t.Errorf("embedded: %v", err)
	}
	if _, err := userland.Archive("riscv64"); err == nil || !strings.Contains(err.Error(), "of riscv64") {
		t.Errorf("an architecture that there is not: %v", err)
	}
}

func TestHelp(t *testing.T) {
	text, err := mkimage(t, "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--kernel", "Examples:", "default  net, storage, fs, input, health",
		"SOURCE_DATE_EPOCH"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestExitCode(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want int
	}{
		"nothing":      {nil, 2},
		"an argument":  {[]string{"--kernel", "k", "--out", "o", "extra"}, 2},
		"unknown flag": {[]string{"--kernle", "k"}, 2},
		"bad value":    {[]string{"--kernel", "k", "--out", filepath.Join(t.TempDir(), "o"), "--console", "tty S0"}, 2},
		"no kernel": {[]string{"--kernel", filepath.Join(t.TempDir(), "none"), "--out",
			filepath.Join(t.TempDir(), "o")}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := mkimage(t, c.args...); err == nil || exitCode(err) != c.want {
				t.Errorf("exit code %d of %v, want %d", exitCode(err), err, c.want)
			}
		})
	}
}

// TestKernelFolder: a folder in place of the kernel is told with what to name.
func TestKernelFolder(t *testing.T) {
	dir := t.TempDir()
	_, err := mkimage(t, "--kernel", dir, "--out", filepath.Join(dir, "boot"))
	if err == nil || !strings.Contains(err.Error(), "--kernel "+dir+" is a folder: name the kernel in it") {
		t.Error(err)
	}
}

// TestFor takes what one machine asks for, says what is left out, and what the machine lacks.
func TestFor(t *testing.T) {
	kernel, firmware, ipxe := inputs(t)
	file := filepath.Join(t.TempDir(), "lab.json")
	if err := os.WriteFile(file, []byte(`[{"id":"a","name":"lab-1","inventory":{"memory":1048576,"hardware":{"devices":[
		{"alias":"pci:v00001111d00002222sv0sd0bc02sc00i00"},{"alias":"pci:v8086x"}],
		"firmware":["card.bin","gone.bin"]}}}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "boot")
	args := []string{"--kernel", kernel, "--ipxe", ipxe, "--firmware", firmware, "--out", out, "--for", file}
	text, err := mkimage(t, args...)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"for lab-1: 1 modules for their hardware (e1000)", "a node needs about",
		"more than these machines have: lab-1 (1 MiB)", "no module of this kernel drives it",
		"firmware gone.bin is not",
		"lab-1 asked for it"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text, err = mkimage(t, append(args, "--json")...)
	var r result
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	if err != nil || r.For == nil || len(r.For.Taken) != 3 || len(r.For.Undriven) != 1 ||
		strings.Join(r.Manifest.For, " ") != "lab-1" || len(r.Manifest.Firmware) != 1 {
		t.Errorf("%v: %s", err, text)
	}
	text, err = command(t, "inspect", out)
	if err != nil || !strings.Contains(text, "lab-1; other machines may lack") {
		t.Errorf("inspect: %v\n%s", err, text)
	}
	for want, more := range map[string][]string{
		"nothing to pick from":         {"--for", file, "--modules", "none"},
		"`diskcast machine inventory`": {"--for", "/nowhere"},
		"is not of a machine":          {"--for", filepath.Join(out, bootdir.ManifestFile), "--out", out + "2"},
	} {
		_, err := mkimage(t, append([]string{"--kernel", kernel, "--ipxe", ipxe, "--out", out}, more...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %q", more, err, want)
		}
	}
}
