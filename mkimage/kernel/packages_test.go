package kernel_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/kernel"
	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
	"github.com/diskcast/diskcast/mkimage/pack/packtest"
)

// rpms are Fedora's three packages of one kernel, by rpmbuild.
func rpms(t *testing.T) (core, modulesCore, modules string) {
	t.Helper()
	need.Tool(t, "rpmbuild")
	dir := t.TempDir()
	const tree = "lib/modules/6.1.0-1/"
	for name, files := range map[string][]packtest.File{
		"kernel-core": {{Name: tree + "vmlinuz", Text: string(kerneltest.Image("6.1.0-1"))},
			{Name: tree + "modules.builtin", Text: "kernel/lib/inside.ko\n"}},
		"kernel-modules-core": {{Name: tree + "kernel/fs/a.ko.xz", Text: "a"}},
		"kernel-modules":      {{Name: tree + "kernel/drivers/b.ko.xz", Text: "b"}},
	} {
		write(t, filepath.Join(dir, name+".rpm"), packtest.RPM(t, name, "w3.zstdio", nil, files...))
	}
	return filepath.Join(dir, "kernel-core.rpm"), filepath.Join(dir, "kernel-modules-core.rpm"),
		filepath.Join(dir, "kernel-modules.rpm")
}

func TestOpenRPM(t *testing.T) {
	core, modulesCore, modules := rpms(t)
	k, err := kernel.Open(kernel.Options{Kernel: core, Modules: []string{modulesCore, modules}})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if k.Release != "6.1.0-1" || len(k.Modules) != 3 || len(k.Sources) != 3 {
		t.Fatalf("release %q, %d folders, packages %v", k.Release, len(k.Modules), k.Sources)
	}
	if s := k.Sources[0]; s.Name != "kernel-core" || s.Version != "6.1.0-1" || s.Format != "rpm" || s.Part != "kernel" {
		t.Errorf("the kernel's package is %+v", s)
	}
	for i, name := range []string{"modules.builtin", "kernel/fs/a.ko.xz", "kernel/drivers/b.ko.xz"} {
		if _, err := fs.ReadFile(k.Modules[i], name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Arch has the kernel beside the modules, Alpine without a release in its name.
func TestOpenArchAndAlpine(t *testing.T) {
	image := string(kerneltest.Image("6.1.0-1"))
	for format, files := range map[string][]packtest.File{
		"arch": {{Name: "usr/lib/modules/6.1.0-1/vmlinuz", Text: image},
			{Name: "usr/lib/modules/6.1.0-1/kernel/a.ko.zst", Text: "a"}},
		"apk": {{Name: "boot/vmlinuz-lts", Text: image}, {Name: "lib/modules/6.1.0-1/kernel/a.ko.zst", Text: "a"}},
	} {
		file := write(t, filepath.Join(t.TempDir(), "linux"),
			packtest.PkgInfo(t, format, "pkgname = linux-lts\npkgver = 6.1\narch = x86_64\n", files...))
		k, err := kernel.Open(kernel.Options{Kernel: file})
		if err != nil {
			t.Errorf("%s: %v", format, err)
			continue
		}
		if _, err := fs.ReadFile(k.Modules[0], "kernel/a.ko.zst"); err != nil || k.Release != "6.1.0-1" ||
			k.Sources[0].Format != format {
			t.Errorf("%s: release %q, %v: %v", format, k.Release, k.Sources, err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestOpenARM64 has the kernel for 64-bit ARM where each distribution's package has it, compressed or not.
func TestOpenARM64(t *testing.T) {
	need.Tool(t, "rpmbuild")
	plain := string(kerneltest.ARM64("6.1.0-1"))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(plain)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	zboot := string(kerneltest.Zboot("gzip", packed.Bytes()))
	arch := func(files ...packtest.File) []byte {
		return packtest.PkgInfo(t, "arch", "pkgname = linux-aarch64\npkgver = 6.1\narch = aarch64\n", files...)
	}
	file := func(name, text string) packtest.File { return packtest.File{Name: name, Text: text} }
	module := func(lib string) packtest.File { return file(lib+"/modules/6.1.0-1/kernel/a.ko", "a") }
	for name, data := range map[string][]byte{
		"deb": debtest.Package(t, ".xz", debtest.File{Name: "boot/vmlinuz-6.1.0-1", Text: plain},
			debtest.File{Name: "lib/modules/6.1.0-1/kernel/a.ko", Text: "a"}),
		"Alpine": packtest.PkgInfo(t, "apk", "pkgname = linux-lts\npkgver = 6.1\narch = aarch64\n",
			file("boot/vmlinuz-lts", zboot), module("lib")),
		"Alpine's gzip": packtest.PkgInfo(t, "apk", "pkgname = linux-lts\npkgver = 6.1\narch = aarch64\n",
			file("boot/vmlinuz-lts", packed.String()), module("lib")),
		"Arch":            arch(file("boot/Image", plain), file("boot/Image.gz", packed.String()), module("usr/lib")),
		"only compressed": arch(file("boot/Image.gz", packed.String()), module("usr/lib")),
		"Fedora": packtest.RPM(t, "kernel-core", "w3.zstdio", nil, file("lib/modules/6.1.0-1/vmlinuz", zboot),
			module("lib")),
		"SUSE": packtest.RPM(t, "kernel-default", "w3.zstdio", nil, file("usr/lib/modules/6.1.0-1/Image", plain),
			packtest.File{Name: "boot/Image-6.1.0-1", Link: "../usr/lib/modules/6.1.0-1/Image"}, module("usr/lib")),
	} {
		k, err := kernel.Open(kernel.Options{Kernel: write(t, filepath.Join(t.TempDir(), "linux"), data)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := fs.ReadFile(k.Modules[0], "kernel/a.ko"); err != nil || k.Release != "6.1.0-1" ||
			k.Arch != bootdir.ARM64 || string(k.Vmlinuz()) != plain {
			t.Errorf("%s: release %q for %s: %v", name, k.Release, k.Arch, err)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPackedImageAsFile: Ubuntu's /boot/vmlinuz for arm64 is an Image in gzip, which begins like a package of Alpine.
func TestPackedImageAsFile(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(kerneltest.ARM64("6.1.0-1"))
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "kernel"), 0o755); err != nil {
		t.Fatal(err)
	}
	k, err := kernel.Open(kernel.Options{Kernel: write(t, filepath.Join(t.TempDir(), "vmlinuz"), packed.Bytes()),
		Modules: []string{folder}})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if k.Release != "6.1.0-1" || k.Arch != bootdir.ARM64 {
		t.Errorf("release %q for %s", k.Release, k.Arch)
	}
}

// TestHardLinks has a kernel and a module that are other names of files before them, and the package named twice.
func TestHardLinks(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "linux"), packtest.PkgInfo(t, "arch", "pkgname = linux\n",
		packtest.File{Name: "usr/lib/modules/6.1.0-1/kernel/a.ko", Text: "a"},
		packtest.File{Name: "usr/lib/modules/6.1.0-1/kernel/b.ko", Hard: "usr/lib/modules/6.1.0-1/kernel/a.ko"},
		packtest.File{Name: "boot/vmlinuz-6.1.0-1", Text: string(kerneltest.Image("6.1.0-1"))},
		packtest.File{Name: "usr/lib/modules/6.1.0-1/vmlinuz", Hard: "boot/vmlinuz-6.1.0-1"}))
	k, err := kernel.Open(kernel.Options{Kernel: file, Modules: []string{file}})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if len(k.Modules) != 1 {
		t.Fatalf("%d folders of modules of one package", len(k.Modules))
	}
	if b, err := fs.ReadFile(k.Modules[0], "kernel/b.ko"); err != nil || string(b) != "a" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestOneKernelTwice has the kernel in /boot as a link to the one beside the modules, as SUSE has, and as a copy.
func TestOneKernelTwice(t *testing.T) {
	image := string(kerneltest.Image("6.1.0-1"))
	beside := packtest.File{Name: "usr/lib/modules/6.1.0-1/vmlinuz", Text: image}
	for name, boot := range map[string]packtest.File{
		"link": {Name: "boot/vmlinuz-6.1.0-1", Link: "../usr/lib/modules/6.1.0-1/vmlinuz"},
		"copy": {Name: "boot/vmlinuz-6.1.0-1", Text: image},
		"none": {Name: "boot/vmlinuz-6.1.0-1", Link: "../gone"},
	} {
		file := write(t, filepath.Join(t.TempDir(), "linux"),
			packtest.PkgInfo(t, "arch", "pkgname = linux\n", boot, beside))
		k, err := kernel.Open(kernel.Options{Kernel: file})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
	other := packtest.File{Name: "boot/vmlinuz-2", Text: string(kerneltest.Image("2"))}
	file := write(t, filepath.Join(t.TempDir(), "linux"),
		packtest.PkgInfo(t, "arch", "pkgname = linux\n", other, beside))
	if _, err := kernel.Open(kernel.Options{Kernel: file}); err == nil || !strings.Contains(err.Error(), "2 kernels") {
		t.Errorf("two kernels: %v", err)
	}
}

// TestMetapackages names the package that holds the kernel.
func TestMetapackages(t *testing.T) {
	need.Tool(t, "rpmbuild")
	doc := packtest.File{Name: "usr/share/doc/x", Text: "x"}
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"RPM": {packtest.RPM(t, "kernel", "w9.gzdio", []string{"kernel-modules-core-uname-r = 6.1.0-1",
			"kernel-core-uname-r = 6.1.0-1"}, doc),
			"dnf download kernel-core, and give that to --kernel, and kernel-modules-core and kernel-modules"},
		"RPM of modules": {packtest.RPM(t, "kernel-modules", "w9.gzdio", []string{"kernel-modules-core-uname-r = 1"},
			doc),
			"in the package kernel-modules; --kernel wants kernel-core"},
		"Arch": {packtest.PkgInfo(t, "arch", "pkgname = linux-meta\ndepend = base\ndepend = linux-lts>=6\n", doc),
			"pacman -Sw linux-lts, and give"},
		"Alpine": {packtest.PkgInfo(t, "apk", "pkgname = kernel\ndepend = linux-virt\n", doc),
			"apk fetch linux-virt, and"},
		"another of Alpine": {packtest.PkgInfo(t, "apk", "pkgname = bash\ndepend = linux-headers\n", doc),
			"in the package bash; --kernel wants linux-lts or linux-virt"},
	} {
		file := write(t, filepath.Join(t.TempDir(), "package"), c.data)
		if _, err := kernel.Open(kernel.Options{Kernel: file}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}
