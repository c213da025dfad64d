package kernel_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/kernel"
	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
)

// TestZstdOfPackage has the configuration in the kernel's package.
func TestZstdOfPackage(t *testing.T) {
	f := func(name, text string) debtest.File { return debtest.File{Name: name, Text: text} }
	deb := write(t, filepath.Join(t.TempDir(), "image.deb"), debtest.Package(t, ".xz",
		f("boot/vmlinuz-6.1.0-1", string(kerneltest.Image("6.1.0-1"))),
		f("boot/config-6.1.0-1", "#\nCONFIG_RD_ZSTD=y\n"), f("lib/modules/6.1.0-1/kernel/a.ko", "a")))
	k, err := kernel.Open(kernel.Options{Kernel: deb})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if !k.Zstd {
		t.Error("the configuration in the package was not read")
	}
}

// TestZstd has a kernel with different configurations beside it.
func TestZstd(t *testing.T) {
	const release, yes = "6.1.0-1-amd64", "# a\nCONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\nCONFIG_X=y\n"
	for _, c := range []struct {
		name, file, text string
		want             bool
	}{
		{"by the release", "config-" + release, yes, true},
		{"beside the modules", "config", yes, true},
		{"another kernel's", "config-6.1.0-2-amd64", yes, false},
		{"not set", "config-" + release, "# a\n# CONFIG_RD_ZSTD is not set\n", false},
		{"a module, which an archive cannot wait for", "config-" + release, "# a\nCONFIG_RD_ZSTD=m\n", false},
		{"another option", "config-" + release, "# a\nCONFIG_NORD_ZSTD=y\nCONFIG_RD_ZSTD=yes\n", false},
		{"none", "", "", false},
	} {
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
		if k.Zstd != c.want {
			t.Errorf("%s: zstd %v, want %v", c.name, k.Zstd, c.want)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
}
