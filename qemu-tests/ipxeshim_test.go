package qemutests

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestIPXEShim is Secure Boot at the speed of HTTP and without GRUB: firmware starts a shim, that one iPXE, and iPXE
// hands the kernel, which Debian signed, to Debian's shim. What Microsoft and iPXE's makers sign elsewhere is signed
// with a key of the test's here, which is all that the firmware knows.
func TestIPXEShim(t *testing.T) {
	firmwareOnly(t)
	kernel := os.Getenv("DISKCAST_KERNEL_DEB")
	if kernel == "" {
		need.Skip(t, "DISKCAST_KERNEL_DEB names no package of a kernel: .ci/kernel-deb fetches one")
	}
	options, cert := signedIPXE(t)
	b := setupBy(t, 15*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: kernel}
	}, func(*osimage.Image) site.Options { return options })
	mkimage := filepath.Join(osimage.ModuleRoot(), "build", "bin", "mkimage")
	if out, err := exec.Command(mkimage, "verify", filepath.Join(b.dir, "boot")).CombinedOutput(); err != nil ||
		!strings.Contains(string(out), "hand the kernel to the distribution's shim") {
		t.Errorf("mkimage verify: %v\n%s", err, out)
	}
	firmware := b.enrolled(cert)
	for _, c := range []struct {
		name  string
		extra []string
		first string // what its first DHCP request is answered with
	}{
		{"pxe", nil, "PXE on UEFI, sent to sb/snponly-shim.efi"},
		{"http", onlyHTTP, "UEFI HTTP on UEFI, sent to http://10.77.0.1:8080/boot/sb/snponly-shim.efi"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := b.node(c.name, site.Hardware{Memory: 1024, Firmware: firmware, Extra: c.extra})
			b.on(n)
			defer n.Unplug()
			node := b.came(t, n)
			b.firmware(n, firmware)
			steps(t, n, node.Trace, map[string]string{doc.StepDHCP: c.first, doc.StepScript: "boot.ipxe by http",
				doc.StepKernel: "vmlinuz by http"})
		})
	}
}

// signedIPXE signs iPXE, a shim that starts it, and Debian's shim with a key of the test's, and returns a site that
// hands them out, and the key's certificate.
func signedIPXE(t *testing.T) (site.Options, []byte) {
	t.Helper()
	debs := map[string]string{}
	for _, name := range []string{"DISKCAST_GRUB", "DISKCAST_IPXE", "DISKCAST_SHIM"} {
		if debs[name] = os.Getenv(name); debs[name] == "" {
			need.Skip(t, "%s names no package: make test-firmware fetches one", name)
		}
	}
	need.Tools(t, "sbsign", "dpkg-deb")
	dir := t.TempDir()
	keyFile, certFile, cert := siteKey(t, dir)
	for _, name := range []string{"DISKCAST_IPXE", "DISKCAST_SHIM"} {
		if err := proc.Run(t.Context(), nil, "dpkg-deb", "-x", debs[name], filepath.Join(dir, "debs")); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, "debs", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sign := func(name string, program []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, program, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("sbsign", "--key", keyFile, "--cert", certFile, "--output", file,
			file).CombinedOutput(); err != nil {
			t.Fatalf("sbsign: %v\n%s", err, out)
		}
		return file
	}
	shim := read("usr/lib/shim/shimx64.efi")
	wide := func(s string) (b []byte) {
		for _, c := range utf16.Encode([]rune(s)) {
			b = append(b, byte(c), byte(c>>8))
		}
		return b
	}
	// iPXE's own shim starts what has its name without "-shim"; Debian's starts GRUB, by a name that is as long.
	if !bytes.Contains(shim, wide("grubx64.efi")) {
		t.Fatal("shim has another name for what it starts")
	}
	sign("sb/snponly-shim.efi", bytes.ReplaceAll(shim, wide("grubx64.efi"), wide("snponly.efi")))
	sign("sb/snponly.efi", read("usr/lib/ipxe/snponly.efi"))
	return site.Options{Shim: sign("shimx64.efi.signed", shim), GRUB: debs["DISKCAST_GRUB"],
		MkimageArgs: []string{"--ipxe-shim", filepath.Join(dir, "sb")},
		ServeArgs:   []string{"--uefi-loader", "ipxe-shim"}}, cert
}
