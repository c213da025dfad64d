package qemutests

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/qemu-tests/vm"
	"github.com/diskcast/diskcast/server/doc"
)

// TestIPv6 is a LAN on which nobody has an IPv4 address: each kind of firmware comes to the agent's hello by IPv6, and
// one machine is restored, by a cast to a group of IPv6.
func TestIPv6(t *testing.T) {
	firmwareOnly(t)
	kernel := os.Getenv("DISKCAST_KERNEL_DEB")
	if kernel == "" {
		need.Skip(t, "DISKCAST_KERNEL_DEB names no package of a kernel: .ci/kernel-deb fetches one")
	}
	b := setupBy(t, 20*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: kernel}
	}, func(*osimage.Image) site.Options { return site.Options{Lab: lab.Options{IPv6: true}} })
	no := func(what string) []string {
		return []string{"-fw_cfg", "name=opt/org.tianocore/" + what + "Support,string=n"}
	}
	var last *site.Node
	for _, c := range []struct {
		name     string
		firmware vm.Firmware
		extra    []string
		first    string // what its first DHCP request is answered with
	}{
		{"http", uefi, append(no("IPv4PXE"), no("IPv6PXE")...),
			"UEFI HTTP on UEFI, sent to http://[fd77::1]:8080/boot/snponly.efi"},
		{"pxe", uefi, no("IPv4PXE"), "PXE on UEFI, sent to tftp://[fd77::1]/snponly.efi"},
		{"bios", vm.Firmware{}, nil, "iPXE on BIOS, sent to http://[fd77::1]:8080/boot/boot.ipxe"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := b.node(c.name, site.Hardware{Memory: 1024, Firmware: c.firmware, Extra: c.extra})
			b.on(n)
			if last != nil {
				last.Unplug()
			}
			last = n
			node := b.came(t, n)
			steps(t, n, node.Trace, map[string]string{doc.StepDHCP: c.first})
			if !strings.HasPrefix(node.Addr, "fd77::d1c5:") {
				t.Errorf("its address is %s, want one that the server gave", node.Addr)
			}
			for _, nic := range node.Inventory.NICs {
				for _, a := range nic.Addrs {
					if strings.Contains(a, ".") {
						t.Errorf("it has an IPv4 address: %s", a)
					}
				}
			}
		})
	}
	if t.Failed() {
		return
	}
	image, im := b.small(0)
	se := b.create(image, []*site.Node{last}, "--then", "poweroff")
	v := b.done(se)
	if got := v.Session.Cast; got == nil || !strings.HasPrefix(got.Group, "[ff15::dc00:") ||
		len(got.Stats.Receivers) != 1 || got.Stats.Receivers[0].State != "done" {
		t.Errorf("its cast: %+v; want that the node had all of it from a group of IPv6", got)
	}
	b.off(last)
	b.same(last, im)
}
