package qemutests

import (
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"

	"github.com/diskcast/diskcast/qemu-tests/lab"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/netboot/boot"
	"github.com/diskcast/diskcast/server/netboot/dhcp"
	"github.com/diskcast/diskcast/server/store"
)

// giveAddresses is a DHCP server of the test's own, which answers as cfg says by the code of ours. strip takes out of
// each request what that server is not to see.
func (b *bench) giveAddresses(cfg dhcp.Config, strip func(*dhcpv4.DHCPv4)) {
	b.Helper()
	r, err := dhcp.ParseRange(site.DHCPRange, cfg.Server)
	if err != nil {
		b.Fatal(err)
	}
	cfg.Mode = dhcp.Full
	if cfg.Pool, err = dhcp.NewPool(b.ctx,
		dhcp.PoolConfig{Store: store.NewMemory(), Range: r, Server: cfg.Server, Term: time.Hour}); err != nil {
		b.Fatal(err)
	}
	answers, err := dhcp.NewResponder(cfg)
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
			strip(m)
			if reply, err := answers.Answer(b.ctx, m, dhcp.ServerPort); err == nil && reply != nil {
				_, _ = c.WriteToUDP(reply.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcp.ClientPort})
			}
		}
	}()
}

// siteDHCP gives addresses and nothing else, as the DHCP server of a site does beside which ours is a proxy.
func (b *bench) siteDHCP() {
	b.Helper()
	b.giveAddresses(dhcp.Config{Server: netip.PrefixFrom(lab.Server.Next(), lab.Network.Bits()),
		Files: boot.NewDir(b.dir + "/none")}, func(m *dhcpv4.DHCPv4) { // to this server all are plain machines
		m.Options.Del(dhcpv4.OptionClassIdentifier)
		m.Options.Del(dhcpv4.OptionUserClassInformation)
	})
}

// otherROM gives addresses and boot files as the server does, and takes what asks first of each machine for a ROM that
// is not iPXE.
func (b *bench) otherROM() {
	b.Helper()
	first := &firstExchanges{of: map[string]dhcpv4.TransactionID{}}
	b.giveAddresses(dhcp.Config{Server: netip.PrefixFrom(lab.Server, lab.Network.Bits()), TFTP: true,
		HTTP: netip.AddrPortFrom(lab.Server, 8080), Files: boot.NewDir(filepath.Join(b.dir, "boot"))},
		func(m *dhcpv4.DHCPv4) {
			if first.is(m) {
				m.Options.Del(dhcpv4.OptionUserClassInformation)
				m.Options.Del(dhcpv4.GenericOptionCode(175)) // iPXE's own options
			}
		})
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
