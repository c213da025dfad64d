package kernel_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/kernel"
	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
)

// TestPackingOfPackage has the configuration in the kernel's package.
func TestPackingOfPackage(t *testing.T) {
	f := func(name, text string) debtest.File { return debtest.File{Name: name, Text: text} }
	deb := write(t, filepath.Join(t.TempDir(), "image.deb"), debtest.Package(t, ".xz",
		f("boot/vmlinuz-6.1.0-1", string(kerneltest.Image("6.1.0-1"))),
		f("boot/config-6.1.0-1", "#\nCONFIG_RD_ZSTD=y\n"), f("lib/modules/6.1.0-1/kernel/a.ko", "a")))
	k, err := kernel.Open(kernel.Options{Kernel: deb})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if k.Quick != ramfs.Zstd {
		t.Error("the configuration in the package was not read")
	}
}

// TestPacking has a kernel with different configurations beside it.
func TestPacking(t *testing.T) {
	const release, yes = "6.1.0-1-amd64", "# a\nCONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\nCONFIG_X=y\n"
	const all = "# a\nCONFIG_RD_GZIP=y\nCONFIG_RD_LZ4=y\nCONFIG_RD_ZSTD=y\n"
	for _, c := range []struct {
		name, release, file, text string
		quick, small              ramfs.Packing
	}{
		{"by the release", release, "config-" + release, yes, ramfs.Zstd, ramfs.Zstd},
		{"beside the modules", release, "config", yes, ramfs.Zstd, ramfs.Zstd},
		{"another kernel's", release, "config-6.1.0-2-amd64", yes, ramfs.Gzip, ramfs.Gzip},
		{"not set", release, "config-" + release, "# a\n# CONFIG_RD_ZSTD is not set\n", ramfs.Gzip, ramfs.Gzip},
		{"a module, which an archive cannot wait for", release, "config-" + release, "# a\nCONFIG_RD_ZSTD=m\n",
			ramfs.Gzip, ramfs.Gzip},
		{"another option", release, "config-" + release, "# a\nCONFIG_NORD_ZSTD=y\nCONFIG_RD_ZSTD=yes\n", ramfs.Gzip,
			ramfs.Gzip},
		{"none", release, "", "", ramfs.Gzip, ramfs.Gzip},
		{"both", release, "config-" + release, all, ramfs.LZ4, ramfs.Zstd},
		{"the first that takes padding", "5.14.0-70.el9.x86_64", "config", all, ramfs.LZ4, ramfs.Zstd},
		{"takes no padding", "5.10.0-30-amd64", "config", all, ramfs.Zstd, ramfs.Zstd},
		{"of before both", "4.19.0-27-amd64", "config", all, ramfs.Zstd, ramfs.Zstd},
		{"lz4 alone", "6.12.0-1", "config", "# a\nCONFIG_RD_LZ4=y\n# CONFIG_RD_ZSTD is not set\n", ramfs.LZ4,
			ramfs.Gzip},
	} {
		release := c.release
		dir := t.TempDir()
		modules := filepath.Join(dir, "modules")
		if err := os.MkdirAll(filepath.Join(modules, "kernel"), 0o755); err != nil {
			t.Fatal(err)
		}
		image := filepath.Join(dir, "vmlinuz-"+release)
		if err := os.WriteFile(image, kerneltest.Image(release), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		k, err := kernel.Open(kernel.Options{Kernel: image, Modules: []string{modules}})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if k.Quick != c.quick || k.Small != c.small {
			t.Errorf("%s: quick %d, small %d, want %d and %d", c.name, k.Quick, k.Small, c.quick, c.small)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}
