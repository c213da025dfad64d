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
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// TestMedia starts machines from what mkimage makes for those that cannot boot from the network, until their agents
// have said hello to the server whose pin is in the archive.
func TestMedia(t *testing.T) {
	if os.Getenv("DISKCAST_MEDIA") == "" {
		t.Skip("make test-media runs this (DISKCAST_MEDIA=1)")
	}
	installed(t, uefi)
	kernel := os.Getenv("DISKCAST_KERNEL_DEB")
	if kernel == "" {
		need.Skip(t, "DISKCAST_KERNEL_DEB names no package of a kernel: .ci/kernel-deb fetches one")
	}
	b := setupBy(t, 15*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: kernel}
	}, func(*osimage.Image) site.Options { return site.Options{} })
	var id struct{ Pin string }
	if err := b.JSON(b.ctx, &id, "token", "--state", b.State, "--json"); err != nil {
		b.Fatal(err)
	}
	stick, disc := filepath.Join(b.dir, "node.img"), filepath.Join(b.dir, "node.iso")
	if err := proc.Run(b.ctx, nil, filepath.Join(osimage.ModuleRoot(), "build", "bin", "mkimage"), "--kernel", kernel,
		"--server", "https://10.77.0.1:8443", "--pin", id.Pin, "--console", "ttyS0,115200", "--usb", stick, "--iso",
		disc); err != nil {
		b.Fatal(err)
	}
	cd := sataCD(disc)
	usb := func(file string) []string {
		return []string{"-drive", "if=none,id=medium,format=raw,readonly=on,file=" + file,
			"-device", "qemu-xhci,id=xhci", "-device", "usb-storage,bus=xhci.0,drive=medium,removable=on,bootindex=0"}
	}
	for _, c := range []struct {
		name     string
		firmware vm.Firmware
		extra    []string
	}{
		{"usb", uefi, usb(stick)}, {"iso", uefi, cd}, {"iso-on-a-stick", uefi, usb(disc)},
		{"bios-usb", vm.Firmware{}, usb(stick)}, {"bios-iso", vm.Firmware{}, cd},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := b.node(c.name, site.Hardware{Memory: 1024, Firmware: c.firmware, Extra: c.extra})
			b.on(n)
			defer n.Unplug()
			kind := session.BIOS
			if c.firmware.Code != "" {
				kind = session.UEFI
			}
			inv := b.hello(t, n)
			if inv.Firmware != kind || inv.Kernel == "" {
				t.Errorf("the node says: firmware %s, kernel %q; want %s", inv.Firmware, inv.Kernel, kind)
			}
			console, err := os.ReadFile(n.Log)
			// SeaBIOS has iPXE in its list of what it could start, and a copyright's line is no start.
			if err != nil || strings.Contains(string(console), "Network boot:") ||
				kind == session.BIOS && !strings.Contains(string(console), "ISOLINUX") ||
				kind == session.UEFI && strings.Contains(string(console), "iPXE") {
				t.Errorf("the machine went another way: %v\n%s", err, console)
			}
		})
	}
}

// hello waits for the agent's, and returns what it said of the machine.
func (b *bench) hello(t *testing.T, n *site.Node) session.Inventory {
	t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var node doc.Node
		if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err == nil && node.Inventory.Memory > 0 {
			return node.Inventory
		}
		select {
		case <-b.ctx.Done():
			t.Fatalf("no hello; the console's end is in %s", n.Log)
		case <-tick.C:
		}
	}
}
