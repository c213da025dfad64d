package main

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/pack"
	"github.com/diskcast/diskcast/mkimage/pack/packtest"
)

// TestRealKernel packs Debian's kernel as the other distributions do, and makes the same archive of each.
func TestRealKernel(t *testing.T) {
	deb, set := os.LookupEnv("DISKCAST_KERNEL_DEB")
	switch {
	case !set:
		t.Skip("DISKCAST_KERNEL_DEB does not name a Debian kernel package")
	case deb == "": // make test, where .ci/kernel-deb found none
		need.Skip(t, "no Debian kernel package could be fetched")
	}
	need.Tool(t, "rpmbuild")
	f, err := os.Open(deb)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var image, config packtest.File
	var tree []packtest.File
	info, err := pack.Read(f, func(h *tar.Header, r io.Reader) error {
		isImage, _ := filepath.Match("boot/vmlinuz-*", h.Name)
		isConfig, _ := filepath.Match("boot/config-*", h.Name)
		isModule, _ := filepath.Match("lib/modules/*/*", h.Name)
		for n := h.Name; n != "." && !isModule; n = filepath.Dir(n) {
			isModule, _ = filepath.Match("lib/modules/*/kernel", n)
		}
		if h.Typeflag != tar.TypeReg || !isImage && !isConfig && !isModule {
			return nil
		}
		data, err := io.ReadAll(r)
		switch {
		case isImage:
			image = packtest.File{Name: h.Name, Text: string(data)}
		case isConfig:
			config.Text = string(data)
		default:
			tree = append(tree, packtest.File{Name: h.Name, Text: string(data)})
		}
		return err
	})
	if err != nil || image.Text == "" || len(tree) < 100 {
		t.Fatalf("%d files in %s: %v", len(tree), deb, err)
	}
	release := filepath.Base(image.Name)[len("vmlinuz-"):]
	beside := packtest.File{Name: "lib/modules/" + release + "/vmlinuz", Text: image.Text}
	configs := []packtest.File{{Name: "lib/modules/" + release + "/config", Text: config.Text},
		{Name: "boot/config-lts", Text: config.Text}}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	pkginfo := "pkgname = linux-lts\npkgver = " + info.Version + "\n"
	var first *bootdir.Manifest
	for _, c := range []struct {
		name string
		args []string
	}{
		{"deb", []string{"--kernel", deb}},
		{"rpm", []string{"--kernel", file("core.rpm", packtest.RPM(t, "kernel-core", "w3.zstdio", nil, beside,
			configs[0])),
			"--modules-from", file("modules.rpm", packtest.RPM(t, "kernel-modules", "w3.zstdio", nil, tree...))}},
		{"arch", []string{"--kernel", file("linux.pkg.tar.zst", packtest.PkgInfo(t, "arch", pkginfo,
			append(tree, beside)...))}},
		{"apk", []string{"--kernel", file("linux.apk", packtest.PkgInfo(t, "apk", pkginfo,
			append(tree, packtest.File{Name: "boot/vmlinuz-lts", Text: image.Text}, configs[1])...))}},
	} {
		out := filepath.Join(dir, c.name)
		if text, err := mkimage(t, append(c.args, "--ipxe", ipxeDir(t), "--out", out)...); err != nil {
			t.Fatalf("%s: %v\n%s", c.name, err, text)
		}
		m := manifest(t, out)
		if c.name == "deb" {
			first = m
		}
		got, want := m.Files[bootdir.ArchiveFile], first.Files[bootdir.ArchiveFile]
		if c.name == "arch" { // its package has no configuration, so that the archive is packed by gzip
			if got == want {
				t.Error("arch: the archive is packed otherwise, which nothing says that the kernel can unpack")
			}
			got, want = bootdir.File{Size: m.Unpacked}, bootdir.File{Size: first.Unpacked}
		}
		if got != want || !slices.Equal(m.Modules, first.Modules) || m.Kernel != release || len(m.Sources) == 0 ||
			m.Sources[0].Format != c.name {
			t.Errorf("%s: archive %+v, that of the deb is %+v; kernel %s, packages %v", c.name, got, want, m.Kernel,
				m.Sources)
		}
	}
}

// ipxeDir is a folder with iPXE as far as its name goes.
func ipxeDir(t *testing.T) string {
	t.Helper()
	_, _, dir := inputs(t)
	return dir
}
