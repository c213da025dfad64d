package qemutests

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
)

// maxMadeFor bounds, in bytes, the archive for a machine of one kind.
const maxMadeFor = 12 << 20

// TestMadeFor starts a machine with all drivers, makes a boot directory of what the machine said of its hardware, and
// restores an image to the machine with that one.
func TestMadeFor(t *testing.T) {
	if os.Getenv("DISKCAST_MEDIA") == "" {
		t.Skip("make test-media runs this (DISKCAST_MEDIA=1)")
	}
	kernel := os.Getenv("DISKCAST_USB_KERNEL")
	if kernel == "" {
		need.Skip(t, "DISKCAST_USB_KERNEL names no package of a kernel: .ci/kernel-deb amd64 fetches one")
	}
	b := setupBy(t, 20*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: kernel}
	}, func(*osimage.Image) site.Options { return site.Options{} })
	n := b.node("a", site.Hardware{Memory: 1024, Disks: []int64{2 << 30, 1 << 30}, Buses: []vm.Bus{vm.AHCI, vm.NVMe}})
	b.on(n)
	first := b.hello(t, n)
	if first.Hardware == nil || len(first.Disks) != 2 {
		t.Fatalf("the node says of its hardware %+v, disks %v", first.Hardware, first.Disks)
	}
	text, err := b.Operate(b.ctx, "machine", "inventory")
	if err != nil {
		t.Fatal(err)
	}
	inventory := filepath.Join(b.dir, "inventory.json")
	if err := os.WriteFile(inventory, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n.Unplug()
	var id struct{ Pin string }
	if err := b.JSON(b.ctx, &id, "token", "--state", b.State, "--json"); err != nil {
		t.Fatal(err)
	}
	boot := filepath.Join(b.dir, "boot")
	before := b.archive(t, boot)
	if err := proc.Run(b.ctx, nil, filepath.Join(osimage.ModuleRoot(), "build", "bin", "mkimage"), "--kernel", kernel,
		"--for", inventory, "--shim", "none", "--server", "https://10.77.0.1:8443", "--pin", id.Pin, "--console",
		"ttyS0,115200", "--append", "quiet", "--out", boot); err != nil {
		t.Fatal(err)
	}
	after := b.archive(t, boot)
	t.Logf("initramfs: %d bytes with all drivers, %d for this machine", before, after)
	if after > maxMadeFor {
		t.Errorf("the archive for one machine has %d bytes, more than %d", after, maxMadeFor)
	}
	// The directory by itself, with the memory that mkimage says it needs.
	for _, c := range []struct{ disk, card, says, fails string }{
		{"nvme", "virtio", "1 disks, 1 network cards", ""}, {"scsi", "virtio", "", "--disk"},
		{"nvme", "e1000e", "", "the node has no network card"},
	} {
		out, err := proc.Output(b.ctx, filepath.Join(osimage.ModuleRoot(), "build", "bin", "mkimage"), "test", boot,
			"--disk", c.disk, "--card", c.card)
		if (err == nil) != (c.fails == "") || !strings.Contains(out, c.says) ||
			err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("mkimage test --disk %s --card %s: %v\n%s", c.disk, c.card, err, out)
		}
	}
	image, im := b.small(1)
	se := b.create(image, []*site.Node{n}, "--disk", "type=nvme", "--then", "poweroff")
	b.on(n)
	b.done(se)
	b.off(n)
	second := b.hello(t, n)
	if len(second.Disks) != len(first.Disks) || len(second.NICs) != len(first.NICs) || len(second.Undriven) > 0 ||
		!slices.Equal(second.Hardware.Devices, first.Hardware.Devices) {
		t.Errorf("with its own drivers the machine says another thing:\n%+v\n%+v", second, first)
	}
	b.sameDisk(n.Disks[1], im)
}

// archive is the size of the archive in a boot directory.
func (b *bench) archive(t *testing.T, dir string) int64 {
	t.Helper()
	var m struct {
		Files map[string]struct{ Size int64 }
	}
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m.Files["initramfs.img"].Size
}
