package qemutests

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// TestVLAN has machines on ports that carry one VLAN, with its tag, and nothing else: the firmware's setup names it,
// and what the firmware loads goes on with it, to the agent's hello.
func TestVLAN(t *testing.T) {
	firmwareOnly(t)
	kernel, ipxe := os.Getenv("DISKCAST_KERNEL_DEB"), os.Getenv("DISKCAST_IPXE")
	if kernel == "" || ipxe == "" {
		need.Skip(t, "DISKCAST_KERNEL_DEB or DISKCAST_IPXE names no package: make test-firmware fetches them")
	}
	dir := t.TempDir()
	if err := proc.Run(t.Context(), nil, "dpkg-deb", "-x", ipxe, dir); err != nil {
		t.Fatal(err)
	}
	const id = 20
	for _, c := range []struct {
		name    string
		mkimage []string
		loader  string
		extra   []string
		first   string // what its first DHCP request is answered with
	}{
		{"uki-pxe", []string{"--boot-uki"}, "uki", nil, "PXE on UEFI, sent to node.efi"},
		{"uki-http", []string{"--boot-uki"}, "uki", onlyHTTP,
			"UEFI HTTP on UEFI, sent to http://10.77.0.1:8080/boot/node.efi"},
		{"ipxe", []string{"--ipxe", filepath.Join(dir, "usr/lib/ipxe")}, "ipxe", nil, "PXE on UEFI, sent to " +
			"snponly.efi"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := setupBy(t, 8*time.Minute, func(context.Context, *testing.T) *osimage.Image {
				return &osimage.Image{Kernel: kernel}
			}, func(*osimage.Image) site.Options {
				return site.Options{MkimageArgs: append(c.mkimage, "--vlan", "20"),
					ServeArgs: []string{"--uefi-loader", c.loader}}
			})
			empty, err := os.ReadFile(uefi.Vars)
			if err != nil {
				t.Fatal(err)
			}
			vars, err := vm.Tag(empty, id, "52:54:00:dc:00:01")
			if err != nil {
				t.Fatal(err)
			}
			firmware := vm.Firmware{Code: uefi.Code, Vars: filepath.Join(b.dir, "tagged.vars")}
			if err := os.WriteFile(firmware.Vars, vars, 0o600); err != nil {
				t.Fatal(err)
			}
			n := b.node("a", site.Hardware{Memory: 1024, Firmware: firmware, Extra: c.extra, VLAN: id})
			if n.MAC != "52:54:00:dc:00:01" {
				t.Fatalf("the machine has the MAC %s", n.MAC)
			}
			b.on(n)
			node := b.came(t, n)
			steps(t, n, node.Trace, map[string]string{doc.StepDHCP: c.first})
			if !strings.HasPrefix(node.Addr, "10.77.0.1") {
				t.Errorf("its address is %s", node.Addr)
			}
		})
	}
}
