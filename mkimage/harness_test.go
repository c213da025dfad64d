package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	contract "github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/kmod/kmodtest"
	"github.com/diskcast/diskcast/internal/ramfs"
	"github.com/diskcast/diskcast/mkimage/bootdir"
	"github.com/diskcast/diskcast/mkimage/deb/debtest"
	"github.com/diskcast/diskcast/mkimage/kernel/kerneltest"
	"github.com/diskcast/diskcast/mkimage/secureboot/secureboottest"
)

const testPin = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

// testUserland is an archive in place of the embedded one.
func testUserland(contract.Arch) ([]byte, error) {
	a := &ramfs.Archive{}
	if err := a.Add(ramfs.NewFile("bbin/bb", 0o755, []byte("binary")), ramfs.NewSymlink("init", "bbin/uinit"),
		ramfs.NewDir("etc/diskcast", 0o755)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err := a.Pack(&b, time.Time{})
	return b.Bytes(), err
}

// loaders are shim and GRUB of one distribution, whose GRUB has these modules, as arguments for mkimage.
func loaders(t *testing.T, modules ...string) []string {
	t.Helper()
	v := secureboottest.NewVendor(t, "Debian")
	args := []string{}
	for flag, data := range map[string][]byte{"--shim": secureboottest.Shim(t, v),
		"--grub": secureboottest.GRUB(t, v, append(modules, "efinet", "tftp")...)} {
		name := filepath.Join(t.TempDir(), "loader.efi")
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		args = append(args, flag, name)
	}
	return args
}

// inputs are files as an operator has them.
func inputs(t *testing.T) (kernel, firmware, ipxe string) {
	t.Helper()
	dir := t.TempDir()
	kernel, ipxe, firmware = filepath.Join(dir, "linux.deb"), filepath.Join(dir, "ipxe"), filepath.Join(dir, "firmware")
	module := func(name string, fields ...string) debtest.File {
		return debtest.File{Name: "lib/modules/6.1.0-1/kernel/" + name, Text: string(kmodtest.Module(fields...))}
	}
	for name, data := range map[string][]byte{
		kernel: debtest.Package(t, ".xz",
			debtest.File{Name: "boot/vmlinuz-6.1.0-1", Text: string(kerneltest.Image("6.1.0-1"))},
			debtest.File{Name: "lib/modules/6.1.0-1/modules.builtin",
				Text: "kernel/lib/inside.ko\nkernel/net/8021q/8021q.ko\n"},
			module("drivers/net/ethernet/intel/e1000.ko", "name=e1000", "depends=mii,inside", "alias=pci:v8086*",
				"firmware=card.bin"),
			module("drivers/net/mii.ko", "name=mii"),
			module("fs/ext4/ext4.ko", "name=ext4", "alias=fs-ext4"),
			module("sound/beep.ko", "name=beep"),
		),
		filepath.Join(ipxe, "undionly.kpxe"): []byte("bios"),
		filepath.Join(ipxe, "snponly.efi"):   []byte("efi"),
		filepath.Join(firmware, "card.bin"):  []byte("firmware"),
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return kernel, firmware, ipxe
}

func mkimage(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := newCommand(testUserland)
	// What is installed here must not decide what a test sees.
	if !slices.Contains(args, "--shim") && !slices.Contains(args, "--grub") {
		args = append(args, "--shim", "none")
	}
	if !slices.Contains(args, "--isolinux") && (slices.Contains(args, "--usb") || slices.Contains(args, "--iso")) {
		args = append(args, "--isolinux", "none")
	}
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

// artifact is one thing that a boot directory must hold.
type artifact interface {
	check(t *testing.T, dir string, a *ramfs.Archive)
}

// hasFile: a file of the directory, whose sum is in the manifest.
type hasFile struct{ name, contains string }

func (h hasFile) check(t *testing.T, dir string, _ *ramfs.Archive) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, h.name))
	if err != nil {
		t.Error(err)
		return
	}
	if !strings.Contains(string(data), h.contains) {
		t.Errorf("%s: no %q in it", h.name, h.contains)
	}
	if h.name == bootdir.ManifestFile {
		return
	}
	sum := sha256.Sum256(data)
	if f := manifest(t, dir).Files[h.name]; f.SHA256 != hex.EncodeToString(sum[:]) || f.Size != int64(len(data)) {
		t.Errorf("%s: the manifest says %+v", h.name, f)
	}
}

// hasRecord: a record of the archive.
type hasRecord struct {
	name     string
	kind     ramfs.Kind
	perm     uint32
	contains string // of the content, or of the target
}

func (h hasRecord) check(t *testing.T, _ string, a *ramfs.Archive) {
	t.Helper()
	r, ok := a.Lookup(h.name)
	if !ok {
		t.Errorf("archive: no %s", h.name)
		return
	}
	text := r.Target
	if r.Kind == ramfs.File {
		data, err := r.Data()
		if err != nil {
			t.Error(err)
		}
		if strings.HasSuffix(h.name, kmod.PackedSuffix) {
			if data, err = kmod.Unpack(bytes.NewReader(data)); err != nil {
				t.Errorf("%s: %v", h.name, err)
			}
		}
		text = string(data)
	}
	if r.Kind != h.kind || r.Perm != h.perm || !strings.Contains(text, h.contains) {
		t.Errorf("archive: %s is of kind %d, mode %#o, and holds %.60q; want kind %d, mode %#o, %q", h.name, r.Kind,
			r.Perm, text, h.kind, h.perm, h.contains)
	}
}

// lacks: no such record in the archive.
type lacks string

func (l lacks) check(t *testing.T, _ string, a *ramfs.Archive) {
	t.Helper()
	if _, ok := a.Lookup(string(l)); ok {
		t.Errorf("archive: %s is in it", string(l))
	}
}
