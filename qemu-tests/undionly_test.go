package qemutests

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// TestUndionly has a ROM that is taken for another maker's load undionly.kpxe, which then drives the card by what the
// ROM left in memory (UNDI), asks DHCP itself, and comes to the script and the agent. QEMU's ROMs are all iPXE, which
// says so in its request; DHCP does not look at that here in the first exchange of a machine.
func TestUndionly(t *testing.T) {
	firmwareOnly(t)
	kernel := os.Getenv("DISKCAST_KERNEL_DEB")
	if kernel == "" {
		need.Skip(t, "DISKCAST_KERNEL_DEB names no package of a kernel: .ci/kernel-deb fetches one")
	}
	b := setupBy(t, 10*time.Minute, func(context.Context, *testing.T) *osimage.Image {
		return &osimage.Image{Kernel: kernel}
	}, func(*osimage.Image) site.Options { return site.Options{ServeArgs: []string{"--dhcp", "off"}} })
	b.otherROM()
	for _, card := range []string{"virtio-net-pci", "e1000", "rtl8139"} {
		t.Run(card, func(t *testing.T) {
			n := b.node(card, site.Hardware{Memory: 1024, NIC: card})
			b.on(n)
			defer n.Unplug()
			script := func() doc.Node {
				tick := time.NewTicker(500 * time.Millisecond)
				defer tick.Stop()
				for {
					var node doc.Node
					err := b.Ask(b.ctx, &node, "node", "show", n.MAC)
					if err == nil && node.Trace[doc.StepInitramfs].Message != "" {
						return node
					}
					select {
					case <-b.ctx.Done():
						t.Fatalf("it does not come to the archive: %v, %v", err, node.Trace)
					case <-tick.C:
					}
				}
			}
			var node doc.Node
			if card == "virtio-net-pci" { // the cloud kernel drives no other
				b.hello(t, n)
				if err := b.Ask(b.ctx, &node, "node", "show", n.MAC); err != nil {
					t.Fatal(err)
				}
			} else {
				node = script()
			}
			for step, want := range map[string]string{doc.StepBootfile: "undionly.kpxe by tftp",
				doc.StepScript: "boot.ipxe by http"} {
				if got := node.Trace[step].Message; !strings.HasPrefix(got, want) {
					t.Errorf("step %s: %q, want %q", step, got, want)
				}
			}
		})
	}
}
