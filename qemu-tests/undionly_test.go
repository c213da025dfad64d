package qemutests

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/osimage"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/netboot/boot"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/store"
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

// otherROM gives addresses and boot files as the server does, and takes what asks first of each machine for a ROM that
// is not iPXE.
func (b *bench) otherROM() {
	b.Helper()
	network := netip.PrefixFrom(lab.Server, lab.Network.Bits())
	r, err := dhcp.ParseRange(site.DHCPRange, network)
	if err != nil {
		b.Fatal(err)
	}
	pool, err := dhcp.NewPool(b.ctx,
		dhcp.PoolConfig{Store: store.NewMemory(), Range: r, Server: network, Term: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	answers, err := dhcp.NewResponder(dhcp.Config{Mode: dhcp.Full, Server: network, Pool: pool, TFTP: true,
		HTTP: netip.AddrPortFrom(lab.Server, 8080), Files: boot.NewDir(filepath.Join(b.dir, "boot"))})
	if err != nil {
		b.Fatal(err)
	}
	var c *net.UDPConn
	if err := b.Do(func() error {
		c, err = server4.NewIPv4UDPConn(lab.Bridge, &net.UDPAddr{IP: net.IPv4zero, Port: dhcp.ServerPort})
		return err
	}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	first := &firstExchanges{of: map[string]dhcpv4.TransactionID{}}
	go func() { // ends when the socket is closed
		packet := make([]byte, 1500)
		for {
			n, err := c.Read(packet)
			if err != nil {
				return
			}
			m, err := dhcpv4.FromBytes(packet[:n])
			if err != nil {
				continue
			}
			if first.is(m) {
				m.Options.Del(dhcpv4.OptionUserClassInformation)
				m.Options.Del(dhcpv4.GenericOptionCode(175)) // iPXE's own options
			}
			if reply, err := answers.Answer(b.ctx, m, dhcp.ServerPort); err == nil && reply != nil {
				_, _ = c.WriteToUDP(reply.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcp.ClientPort})
			}
		}
	}()
}

// firstExchanges knows the first exchange of each machine since it was switched on for the first time.
type firstExchanges struct {
	mu sync.Mutex
	of map[string]dhcpv4.TransactionID
}

func (f *firstExchanges) is(m *dhcpv4.DHCPv4) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	mac := m.ClientHWAddr.String()
	if _, had := f.of[mac]; !had {
		f.of[mac] = m.TransactionID
	}
	return f.of[mac] == m.TransactionID
}
