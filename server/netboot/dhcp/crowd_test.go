package dhcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/store"
)

// crowd is a full-mode responder of 20 addresses with a clock and a LAN of its own.
type crowd struct {
	t     *testing.T
	now   time.Time
	store *store.Memory
	pool  *Pool
	r     *Responder
	lan   map[netip.Addr]string // who answers for an address
	asked int
	known map[string]bool
	log   bytes.Buffer
}

func newCrowd(t *testing.T) *crowd {
	c := &crowd{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), store: store.NewMemory(),
		lan: map[netip.Addr]string{}, known: map[string]bool{}}
	c.restart()
	return c
}

func (c *crowd) restart() {
	c.t.Helper()
	server := netip.MustParsePrefix("10.0.0.1/24")
	rng, err := ParseRange("10.0.0.100-10.0.0.119", server)
	if err != nil {
		c.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(&c.log, nil))
	c.pool, err = NewPool(c.t.Context(), PoolConfig{Store: c.store, Range: rng, Server: server, Term: 12 * time.Hour,
		Known: func(mac string) bool { return c.known[mac] }, Log: log, Now: func() time.Time { return c.now }})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := testConfig(c.t, Full)
	cfg.Pool, cfg.Log = c.pool, log
	cfg.Ask = func(_ context.Context, a netip.Addr, client net.HardwareAddr) (net.HardwareAddr, error) {
		c.asked++
		if mac := c.lan[a]; mac != "" && mac != client.String() {
			return net.ParseMAC(mac)
		}
		return nil, nil
	}
	c.r = testResponder(c.t, cfg)
}

// take is a whole exchange; it returns the address and for how long, or nothing.
func (c *crowd) take(mac string) (netip.Addr, time.Duration) {
	c.t.Helper()
	offer := c.send(request(c.t, mac))
	if offer == nil {
		return netip.Addr{}, 0
	}
	ack := c.send(request(c.t, mac, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
		requested(offer.YourIPAddr.String()), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(10, 0, 0, 1)))))
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		c.t.Fatalf("%s took its offer, and got %v", mac, ack)
	}
	return addrOf(ack.YourIPAddr), ack.IPAddressLeaseTime(0)
}

// renew is a renewal of the address in use.
func (c *crowd) renew(mac string, a netip.Addr) (time.Duration, bool) {
	c.t.Helper()
	ack := c.send(request(c.t, mac, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest),
		dhcpv4.WithClientIP(a.AsSlice())))
	if ack == nil || ack.MessageType() != dhcpv4.MessageTypeAck {
		return 0, false
	}
	return ack.IPAddressLeaseTime(0), true
}

func (c *crowd) send(m *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	c.t.Helper()
	reply, err := c.r.Answer(c.t.Context(), m, ServerPort)
	if err != nil && !errors.Is(err, errFull) && !errors.Is(err, errUsed) {
		c.t.Fatal(err)
	}
	return reply
}

func (c *crowd) view() doc.DHCP {
	var v doc.DHCP
	c.pool.View(&v)
	return v
}

func stranger(i int) string { return fmt.Sprintf("52:54:00:ff:%02x:%02x", i/256, i%256) }

const labMachine = "52:54:00:00:00:77"
