package qemutests

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
)

// aavmf is where Debian's package qemu-efi-aarch64 has its images.
const aavmf = "/usr/share/AAVMF/"

// TestARM64 is the whole line on a machine of 64-bit ARM, of whose architecture the server is not: its firmware's own
// network stack, shim, GRUB, the agent, the image, and the login of the restored Debian, which the firmware starts by
// the entry that the agent made. Switched on again it is led to its own disk.
func TestARM64(t *testing.T) {
	if os.Getenv("DISKCAST_ARM64") == "" {
		t.Skip("make test-arm64 runs this (DISKCAST_ARM64=1)")
	}
	firmware := checked(t, armUEFI)
	debian := func(ctx context.Context, t *testing.T) *osimage.Image {
		t.Helper()
		im, err := osimage.DebianARM64(ctx, osimage.Cache(), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		return im
	}
	var arm *osimage.Image
	b := setupBy(t, 50*time.Minute, func(ctx context.Context, t *testing.T) *osimage.Image {
		arm = debian(ctx, t)
		return debianImage(ctx, t)
	}, func(*osimage.Image) site.Options { return site.Options{ARM64: arm} })
	n := b.node("a", site.Hardware{Memory: 1024, Firmware: firmware, CPUs: 2})
	n.OwnOrder()
	se := b.create(b.add("debian-arm64", arm), []*site.Node{n})
	b.on(n)
	v := b.done(se)
	b.way(v, n, "PXE on UEFI, sent to arm64/shimaa64.efi", "grub.cfg by tftp")
	inv := b.hello(t, n)
	if inv.Firmware != session.UEFI || !strings.Contains(inv.Kernel, "arm64") {
		t.Errorf("the node says: firmware %s, kernel %q", inv.Firmware, inv.Kernel)
	}
	for _, when := range []string{"restored", "switched on again"} {
		if _, err := n.Expect(b.ctx, osimage.LoginPrompt); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: login prompt %v after power-on", when, time.Since(n.SwitchedOn()).Round(time.Second))
		if err := osimage.Login(b.ctx, n.VM); err != nil {
			t.Fatal(err)
		}
		if err := n.Console().Send("echo machine-''is: $(uname -m)\n"); err != nil {
			t.Fatal(err)
		}
		if m, err := n.Expect(b.ctx, `^machine-is: (\S+)`); err != nil || m.Groups[1] != "aarch64" {
			t.Fatalf("it runs %v, %v", m.Groups, err)
		}
		if err := n.Console().Send(osimage.PowerOff); err != nil {
			t.Fatal(err)
		}
		b.off(n)
		if when == "restored" {
			b.same(n, arm, osimage.BootWrites...)
			b.on(n)
		}
	}
}

// TestMediaARM64 starts machines of 64-bit ARM from a stick and from a CD, with Debian 13's kernel and stub, until
// their agents have said hello.
func TestMediaARM64(t *testing.T) {
	if os.Getenv("DISKCAST_ARM64") == "" {
		t.Skip("make test-arm64 runs this (DISKCAST_ARM64=1)")
	}
	firmware := checked(t, armUEFI)
	debs := map[string]string{}
	for _, name := range []string{"DISKCAST_KERNEL_DEB", "DISKCAST_KERNEL_ARM64", "DISKCAST_STUB_ARM64"} {
		if debs[name] = os.Getenv(name); debs[name] == "" {
			need.Skip(t, "%s names no package: .ci/kernel-deb and .ci/deb13 fetch them", name)
		}
	}
	b := setupBy(t, 15*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: debs["DISKCAST_KERNEL_DEB"]}
	}, func(*osimage.Image) site.Options { return site.Options{} })
	stick, disc := filepath.Join(b.dir, "node.img"), filepath.Join(b.dir, "node.iso")
	b.medium(debs["DISKCAST_KERNEL_ARM64"], "ttyAMA0", "--stub", debs["DISKCAST_STUB_ARM64"], "--usb", stick, "--iso",
		disc)
	const drive = "if=none,id=medium,format=raw,readonly=on,file="
	for name, extra := range map[string][]string{
		"usb": {"-drive", drive + stick, "-device", "qemu-xhci,id=xhci", "-device",
			"usb-storage,bus=xhci.0,drive=medium,removable=on,bootindex=0"},
		"iso": {"-drive", drive + disc + ",media=cdrom", "-device", "virtio-scsi-pci,id=scsi", "-device",
			"scsi-cd,drive=medium,bootindex=0"},
	} {
		t.Run(name, func(t *testing.T) {
			n := b.node(name, site.Hardware{Memory: 1024, Firmware: firmware, Extra: extra})
			b.on(n)
			defer n.Unplug()
			inv := b.hello(t, n)
			if inv.Firmware != session.UEFI || !strings.Contains(inv.Kernel, "arm64") {
				t.Errorf("the node says: firmware %s, kernel %q", inv.Firmware, inv.Kernel)
			}
			t.Logf("hello %v after power-on", time.Since(n.SwitchedOn()).Round(time.Second))
		})
	}
}
