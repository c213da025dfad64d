package dhcp

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"

	"github.com/diskcast/diskcast/internal/testenv/nettest"
)

// startServer runs a server on the test network until the test ends.
func startServer(t *testing.T, n *nettest.Net, cfg Config) *Server {
	s := NewServer(nettest.Server, testResponder(t, cfg))
	s.first, s.soon, s.each = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	var err error
	done := n.Go(func() { err = s.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		<-done
		if err != nil {
			t.Errorf("server: %v", err)
		}
	})
	select {
	case <-s.Ready():
	case <-done:
		t.Fatalf("server: %v", err)
	}
	return s
}

func client(t *testing.T, n *nettest.Net, f func(ctx context.Context, c *nclient4.Client)) {
	n.DoClient(func() {
		c, err := nclient4.New(nettest.Client, nclient4.WithTimeout(5*time.Second), nclient4.WithRetry(2))
		if err != nil {
			t.Errorf("client: %v", err)
			return
		}
		defer c.Close()
		f(t.Context(), c)
	})
}

// TestLeaseOverUDP is a whole exchange, renewal and release of an independent client with the server, on real sockets.
func TestLeaseOverUDP(t *testing.T) {
	n := nettest.New(t)
	startServer(t, n, testConfig(t, Full))
	client(t, n, func(ctx context.Context, c *nclient4.Client) {
		lease, err := c.Request(ctx, clients[1].mod)
		if err != nil {
			t.Errorf("request: %v", err)
			return
		}
		if lease.ACK.BootFileName != "undionly.kpxe" || !lease.ACK.ServerIPAddr.Equal(net.IPv4(10, 0, 0, 1)) ||
			lease.ACK.YourIPAddr.IsUnspecified() {
			t.Errorf("lease: %v", lease.ACK.Summary())
		}
		again, err := c.Request(ctx, ipxe(0))
		if err != nil || !again.ACK.YourIPAddr.Equal(lease.ACK.YourIPAddr) {
			t.Errorf("iPXE of the same machine: %v, %v", again, err)
		}
	})
}

// TestProxyOverUDP asks both ports of the proxy.
func TestProxyOverUDP(t *testing.T) {
	n := nettest.New(t)
	startServer(t, n, testConfig(t, Proxy))
	client(t, n, func(ctx context.Context, c *nclient4.Client) {
		uefi := clients[2].mod
		discover := request(t, c.InterfaceAddr().String(), uefi, dhcpv4.WithBroadcast(true))
		offer, err := c.SendAndRead(ctx, nclient4.DefaultServers, discover,
			nclient4.IsMessageType(dhcpv4.MessageTypeOffer))
		if err != nil || offer.BootFileName != "snponly.efi" || !offer.YourIPAddr.IsUnspecified() ||
			offer.ClassIdentifier() != "PXEClient" {
			t.Errorf("offer: %v, %v", offer, err)
			return
		}
		// The client has its address from the site by now; here the answer on 4011 goes back by the port it came from.
		boot := request(t, c.InterfaceAddr().String(), uefi, dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest))
		ack, err := c.SendAndRead(ctx, &net.UDPAddr{IP: net.IPv4bcast, Port: ProxyPort}, boot,
			nclient4.IsMessageType(dhcpv4.MessageTypeAck))
		if err != nil || ack.BootFileName != "snponly.efi" {
			t.Errorf("ack: %v, %v", ack, err)
		}
	})
}

// TestOtherInterfaceIsDeaf shows that a client on another interface of the same machine hears nothing.
func TestOtherInterfaceIsDeaf(t *testing.T) {
	n := nettest.New(t)
	startServer(t, n, testConfig(t, Full))
	n.Do(func() {
		// Requests sent on Server arrive at Client, on which nobody listens.
		c, err := nclient4.New(nettest.Server, nclient4.WithTimeout(300*time.Millisecond), nclient4.WithRetry(1))
		if err != nil {
			t.Errorf("client: %v", err)
			return
		}
		defer c.Close()
		if offer, err := c.DiscoverOffer(t.Context()); err == nil {
			t.Errorf("answered on the wrong interface: %v", offer.Summary())
		}
	})
}
