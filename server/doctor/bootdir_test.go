package doctor

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/bootdir"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
)

// TestBootOfBoth: the boot directory of each architecture is looked at by itself, and what one of them lacks is said of
// its machines.
func TestBootOfBoth(t *testing.T) {
	const pin = "sha256:00"
	manifest := func(arch bootdir.Arch, pin, by string, grub *bootdir.GRUB) *bootdir.Manifest {
		m := &bootdir.Manifest{V: 1, Arch: arch, Kernel: "9.9.9-" + string(arch), Cmdline: bootdir.Words, GRUB: grub,
			Generator: "mkimage " + by, Files: map[string]bootdir.File{},
			Site: bootdir.Site{V: 1, Server: "https://10.0.0.1:8443", Pin: pin}}
		return m
	}
	old := &bootdir.GRUB{Version: "2.06"}
	shim := []string{"shimaa64.efi", "grubaa64.efi"}
	amd64 := manifest(bootdir.AMD64, pin, "2.0", nil)
	for _, c := range []struct {
		name         string
		amd64, arm64 *bootdir.Manifest
		files        []string // of that of arm64
		mode         dhcp.Mode
		want         string
		says         []string
	}{
		{"amd64 alone", amd64, nil, nil, dhcp.Full, "", []string{"machines of arm64 are offered nothing",
			"diskcast up --kernel-arm64 auto"}},
		{"both", amd64, manifest(bootdir.ARM64, pin, "2.0", old), shim, dhcp.Full, "",
			[]string{"boot-arm64 leads to this server"}},
		{"arm64 alone", nil, manifest(bootdir.ARM64, pin, "2.0", old), shim, dhcp.Full,
			"boot-missing", []string{"boot-arm64 leads to this server"}},
		{"arm64 of another key", amd64, manifest(bootdir.ARM64, "sha256:11", "2.0", old),
			shim, dhcp.Full, "boot-elsewhere", nil},
		{"arm64 of another release", amd64, manifest(bootdir.ARM64, pin, "1.0", old),
			shim, dhcp.Full, "boot-version",
			[]string{"diskcast up --kernel-arm64 linux-image-9.9.9-arm64"}},
		{"arm64 without a first stage", amd64, manifest(bootdir.ARM64, pin, "2.0", nil), nil, dhcp.Full,
			"boot-elsewhere", []string{"neither iPXE nor shim for UEFI"}},
		{"an old GRUB beside another DHCP server", amd64, manifest(bootdir.ARM64, pin, "2.0", old),
			shim, dhcp.Proxy, "boot-missing",
			[]string{"GRUB 2.06 and no iPXE for UEFI", "machines of arm64 have nothing to start with"}},
		{"a new one", amd64, manifest(bootdir.ARM64, pin, "2.0", &bootdir.GRUB{Version: "2.12", ProxyDHCP: true}),
			shim, dhcp.Proxy, "", nil},
		{"iPXE beside the old one", amd64, manifest(bootdir.ARM64, pin, "2.0", old),
			[]string{"shimaa64.efi", "grubaa64.efi", "ipxe.efi"}, dhcp.Proxy, "", nil},
		{"a folder without a manifest", amd64, nil, []string{"vmlinuz"}, dhcp.Full, "boot-missing",
			[]string{"machines of arm64 have nothing to boot", "diskcast up --kernel-arm64 auto"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "boot")
			lay := func(dir string, m *bootdir.Manifest, files ...string) {
				t.Helper()
				if m == nil && files == nil {
					return
				}
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if m != nil {
					for _, name := range files {
						m.Files[name] = bootdir.File{
							SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
					}
					text, err := json.Marshal(m)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(dir, bootdir.ManifestFile), text, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				for _, name := range files {
					if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			if c.amd64 != nil {
				lay(dir, c.amd64, "undionly.kpxe", "snponly.efi")
			}
			lay(dir+"-arm64", c.arm64, c.files...)
			var l Look
			lookBoot(t.Context(), &Subject{BootDir: dir, Pin: pin, API: netip.MustParseAddrPort("10.0.0.1:8443"),
				DHCP: c.mode, Version: "2.0", Host: Real{}}, &l)
			if got := ids(&l); got != c.want {
				t.Errorf("found %q, want %q: %+v", got, c.want, l)
			}
			text, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.says {
				if !strings.Contains(string(text), want) {
					t.Errorf("it says nothing of %q: %s", want, text)
				}
			}
		})
	}
}
