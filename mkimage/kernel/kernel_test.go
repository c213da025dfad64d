package kernel_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/kernel"
	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
	"github.com/diskcast/diskcast/mkimage/pack/packtest"
)

func TestRelease(t *testing.T) {
	for _, c := range []struct {
		image   []byte
		arch    bootdir.Arch
		release string
	}{
		{kerneltest.Image("6.1.0-56-cloud-amd64"), bootdir.AMD64, "6.1.0-56-cloud-amd64"},
		{kerneltest.ARM64("6.1.0-50-arm64"), bootdir.ARM64, "6.1.0-50-arm64"},
	} {
		if arch, got, err := kernel.Read(c.image); err != nil || got != c.release || arch != c.arch {
			t.Errorf("%s %q, %v", arch, got, err)
		}
	}
	far := kerneltest.Image("6.1")
	far[0x20e], far[0x20f] = 0xff, 0xff
	none := kerneltest.Image("6.1")
	none[0x20e], none[0x20f] = 0, 0
	for name, image := range map[string][]byte{
		"empty": nil, "text": []byte(strings.Repeat("x", 2000)), "far": far, "none": none,
		"no name": kerneltest.Image(""),
		"path":    kerneltest.Image("../x"), "dots": kerneltest.Image(".."), "control": kerneltest.Image("6.1\n"),
		"short":          kerneltest.Image("6.1")[:0x20f],
		"ARM, no name":   kerneltest.ARM64(""),
		"ARM, path":      kerneltest.ARM64("../x"),
		"ARM, no banner": kerneltest.ARM64("6.1")[:64],
	} {
		if _, got, err := kernel.Read(image); err == nil {
			t.Errorf("%s: %q and no error", name, got)
		}
	}
}

// TestCutOff cuts images at each length: one with less than it has by its header is none, wherever it ends.
func TestCutOff(t *testing.T) {
	old := kerneltest.Image("2.6.13") // before protocol 2.04 a half of the size was something else
	binary.LittleEndian.PutUint16(old[0x206:], 0x203)
	four := kerneltest.Image("6.1")
	four[0x1f1] = 0
	noUEFI := kerneltest.ARM64("6.1")
	clear(noUEFI[0x3c:0x40])
	for name, c := range map[string]struct {
		image []byte
		whole int // size of the smallest that is taken
	}{
		"x86":                       {kerneltest.Image("6.1"), 3*512 + 256},
		"x86, four sectors unsaid":  {append(four, make([]byte, 1024)...), 5*512 + 256},
		"x86, a signature behind":   {append(kerneltest.Image("6.1"), 1, 2, 3), 3*512 + 256},
		"x86, before protocol 2.04": {old, 0x401},
		"ARM":                       {kerneltest.ARM64("6.1"), 0x100 + 256},
		"ARM without UEFI":          {noUEFI, 0x100 + len("Linux version ") + 1},
	} {
		for n := range len(c.image) + 1 {
			_, _, err := kernel.Read(c.image[:n])
			if (err == nil) != (n >= c.whole) {
				t.Fatalf("%s, %d bytes of %d: error %v", name, n, c.whole, err)
			}
		}
	}
	for _, image := range [][]byte{kerneltest.Image("6.1"), kerneltest.ARM64("6.1")} {
		want := fmt.Sprintf("the kernel is cut off: it has %d bytes, and by its header %d at least", len(image)-1,
			len(image))
		if _, _, err := kernel.Read(image[:len(image)-1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func FuzzRelease(f *testing.F) {
	f.Add(kerneltest.Image("6.1.0-1-amd64"))
	f.Add(kerneltest.ARM64("6.1.0-1-arm64"))
	f.Fuzz(func(t *testing.T, image []byte) {
		_, release, err := kernel.Read(image)
		if err == nil && (!fs.ValidPath(release) || strings.Contains(release, "/") || release == ".") {
			t.Errorf("release %q", release)
		}
	})
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	image := string(kerneltest.Image("6.1.0-1"))
	f := func(name, text string) debtest.File { return debtest.File{Name: name, Text: text} }
	debian := write(t, filepath.Join(dir, "debian.deb"),
		debtest.Package(t, ".xz", f("boot/vmlinuz-6.1.0-1", image), f("boot/System.map-6.1.0-1", "x"),
			f("lib/modules/6.1.0-1/kernel/a.ko", "a"), f("usr/share/doc/x", "x")))
	merged := write(t, filepath.Join(dir, "merged.deb"),
		debtest.Package(t, ".xz", f("boot/vmlinuz-6.1.0-1", image), f("usr/lib/modules/6.1.0-1/kernel/a.ko", "a")))
	alone := write(t, filepath.Join(dir, "image.deb"), debtest.Package(t, ".zst", f("boot/vmlinuz-6.1.0-1", image)))
	extra := write(t, filepath.Join(dir, "modules.deb"),
		debtest.Package(t, ".zst", f("lib/modules/6.1.0-1/kernel/a.ko", "a")))
	firmware := write(t, filepath.Join(dir, "firmware.deb"),
		debtest.Package(t, ".xz", f("lib/firmware/card.bin", "fw"),
			debtest.File{Name: "lib/firmware/link.bin", Link: "card.bin"},
			debtest.File{Name: "lib/firmware/out.bin", Link: "/etc/passwd"}))
	installed := filepath.Join(dir, "lib/modules/6.1.0-1")
	write(t, filepath.Join(installed, "kernel/a.ko"), []byte("a"))
	vmlinuz := write(t, filepath.Join(dir, "vmlinuz"), []byte(image))

	for _, c := range []struct {
		name string
		o    kernel.Options
	}{
		{"Debian's package", kernel.Options{Kernel: debian}},
		{"package with /usr/lib", kernel.Options{Kernel: merged}},
		{"split packages", kernel.Options{Kernel: alone, Modules: []string{extra}}},
		{"installed", kernel.Options{Kernel: vmlinuz, Modules: []string{installed}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Firmware = []string{firmware}
			k, err := kernel.Open(c.o)
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			if err := k.OpenFirmware(c.o); err != nil {
				t.Fatal(err)
			}
			if k.Release != "6.1.0-1" || string(k.Vmlinuz()) != image || len(k.Modules) != 1 {
				t.Fatalf("release %q, %d bytes, %d folders", k.Release, len(k.Vmlinuz()), len(k.Modules))
			}
			if data, err := fs.ReadFile(k.Modules[0], "kernel/a.ko"); err != nil || string(data) != "a" {
				t.Errorf("module: %q, %v", data, err)
			}
			for _, name := range []string{"card.bin", "link.bin"} {
				if data, err := fs.ReadFile(k.Firmware[0], name); err != nil || string(data) != "fw" {
					t.Errorf("firmware %s: %q, %v", name, data, err)
				}
			}
			if _, err := fs.ReadFile(k.Firmware[0], "out.bin"); err == nil {
				t.Error("a link out of the package was followed")
			}
		})
	}
}

func TestOpenLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	file := write(t, filepath.Join(t.TempDir(), "x.deb"),
		debtest.Package(t, "", debtest.File{Name: "boot/vmlinuz-1", Text: string(kerneltest.Image("1"))}))
	k, err := kernel.Open(kernel.Options{Kernel: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := kernel.Open(kernel.Options{Kernel: file, Modules: []string{"/nowhere"}}); err == nil {
		t.Error("no error")
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	image := string(kerneltest.Image("no-such-release"))
	pipe := filepath.Join(dir, "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(name, text string) debtest.File { return debtest.File{Name: name, Text: text} }
	for name, c := range map[string]struct {
		o    kernel.Options
		want string
	}{
		"absent": {kernel.Options{Kernel: filepath.Join(dir, "absent")}, "no such file"},
		"pipe":   {kernel.Options{Kernel: pipe}, "no file but a pipe"},
		"device": {kernel.Options{Kernel: "/dev/zero"}, "no file but a device"},
		"modules from a pipe": {kernel.Options{Kernel: write(t, filepath.Join(dir, "k"), []byte(image)),
			Modules: []string{pipe}}, "no file but a pipe"},
		"hard link to what is not taken": {kernel.Options{Kernel: write(t, filepath.Join(dir, "h"),
			packtest.PkgInfo(t, "arch", "pkgname = linux\n", packtest.File{Name: "usr/share/a.ko", Text: "a"},
				packtest.File{Name: "lib/modules/1/kernel/a.ko", Hard: "usr/share/a.ko"}))}, "a.ko"},
		"short": {kernel.Options{Kernel: write(t, filepath.Join(dir, "short"), []byte("x"))}, "too short"},
		"text": {kernel.Options{Kernel: write(t, filepath.Join(dir, "text"), []byte("this is no kernel"))},
			"not a Linux kernel image"},
		"cut off": {kernel.Options{Kernel: write(t, filepath.Join(dir, "cut"), []byte(image[:len(image)-16]))},
			"cut: the kernel is cut off"},
		"cut off in a package": {kernel.Options{Kernel: write(t, filepath.Join(dir, "cut.deb"),
			debtest.Package(t, "", f("boot/vmlinuz-1", image[:len(image)-16])))}, "cut.deb: the kernel is cut off"},
		"no modules": {kernel.Options{Kernel: write(t, filepath.Join(dir, "vmlinuz"), []byte(image))},
			"--modules-from"},
		"no kernel": {kernel.Options{Kernel: write(t, filepath.Join(dir, "a.deb"),
			debtest.Package(t, "", f("boot/x", "x")))}, "no kernel (boot/vmlinuz-*)"},
		"two kernels": {kernel.Options{Kernel: write(t, filepath.Join(dir, "b.deb"),
			debtest.Package(t, "", f("boot/vmlinuz-1", image),
				f("boot/vmlinuz-2", string(kerneltest.Image("2")))))}, "2 kernels"},
		"bad package": {kernel.Options{Kernel: write(t, filepath.Join(dir, "c.deb"), []byte("!<arch>\nxxxx"))},
			"ends early"},
		"not a folder": {kernel.Options{Kernel: filepath.Join(dir, "vmlinuz"), Modules: []string{dir}},
			"not a folder /lib/modules"},
		"modules of another": {kernel.Options{Kernel: filepath.Join(dir, "vmlinuz"),
			Modules: []string{write(t, filepath.Join(dir, "d.deb"),
				debtest.Package(t, "", f("lib/modules/other/kernel/a.ko", "a")))}},
			"d.deb: no modules of Linux no-such-release in the package"},
		"no firmware": {kernel.Options{Kernel: filepath.Join(dir, "vmlinuz"),
			Modules: []string{write(t, filepath.Join(dir, "e.deb"),
				debtest.Package(t, "", f("lib/modules/no-such-release/kernel/a.ko", "a")))},
			Firmware: []string{filepath.Join(dir, "a.deb")}},
			"no lib/firmware"},
	} {
		k, err := kernel.Open(c.o)
		if err == nil {
			err = errors.Join(k.OpenFirmware(c.o), k.Close())
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

func TestCmdlineSize(t *testing.T) {
	image := kerneltest.Image("6.1.0-1")
	set := func(protocol uint16, size uint32) []byte {
		b := bytes.Clone(image)
		binary.LittleEndian.PutUint16(b[0x206:], protocol)
		binary.LittleEndian.PutUint32(b[0x238:], size)
		return b
	}
	for _, c := range []struct {
		image []byte
		want  int
	}{
		{image, kernel.MaxCmdline}, {set(0x20f, 2047), 2047}, {set(0x20f, 1000), 1000},
		{set(0x205, 1000), kernel.MaxCmdline}, {set(0x20f, 1<<30), kernel.MaxCmdline}, {nil, kernel.MaxCmdline},
	} {
		if got := kernel.CmdlineSize(c.image); got != c.want {
			t.Errorf("CmdlineSize = %d, want %d", got, c.want)
		}
	}
}
