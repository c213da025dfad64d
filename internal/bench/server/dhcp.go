package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// handshakes has machines ask for addresses, each by DISCOVER, OFFER, REQUEST and ACK, so many at once.
type handshakes struct {
	conn net.PacketConn
	to   net.Addr

	mu      sync.Mutex
	waiting map[dhcpv4.TransactionID]chan *dhcpv4.DHCPv4
}

func childDHCP(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("child-dhcp", flag.ContinueOnError)
	pid := f.Int("pid", 0, "")
	machines := f.Int("machines", 0, "")
	atOnce := f.Int("at-once", 1, "")
	name := f.String("name", "", "")
	if err := f.Parse(args); err != nil {
		return err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
				unix.BindToDevice(int(fd), "eth0"))
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	conn, err := lc.ListenPacket(ctx, "udp4", "0.0.0.0:68")
	if err != nil {
		return err
	}
	defer conn.Close()
	h := &handshakes{conn: conn, to: &net.UDPAddr{IP: net.IPv4bcast, Port: 67},
		waiting: map[dhcpv4.TransactionID]chan *dhcpv4.DHCPv4{}}
	go h.hear() // ends with the connection
	l := &load{pid: *pid}
	var t times
	var again int
	err = l.measure(*name, &t, func() (string, error) {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(*atOnce)
		var mu sync.Mutex
		for n := range *machines {
			g.Go(func() error {
				began := time.Now()
				tries, err := h.shake(ctx, n)
				t.add(time.Since(began))
				mu.Lock()
				again += tries
				mu.Unlock()
				return err
			})
		}
		err := g.Wait()
		return fmt.Sprintf("%d at once, %d packets said again", *atOnce, again), err
	})
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(l.phases)
}

func (h *handshakes) hear() {
	buf := make([]byte, 4096)
	for {
		n, _, err := h.conn.ReadFrom(buf)
		if err != nil {
			if errors.Is(err, os.ErrClosed) || errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		m, err := dhcpv4.FromBytes(buf[:n])
		if err != nil || m.OpCode != dhcpv4.OpcodeBootReply {
			continue
		}
		h.mu.Lock()
		c := h.waiting[m.TransactionID]
		h.mu.Unlock()
		if c != nil {
			select {
			case c <- m:
			default:
			}
		}
	}
}

// shake is one machine's handshake; it returns how many packets it had to say again.
func (h *handshakes) shake(ctx context.Context, n int) (again int, err error) {
	hw, err := net.ParseMAC(mac(n))
	if err != nil {
		return 0, err
	}
	discover, err := dhcpv4.NewDiscovery(hw, dhcpv4.WithOption(dhcpv4.OptClassIdentifier(
		"PXEClient:Arch:00000:UNDI:002001")))
	if err != nil {
		return 0, err
	}
	offer, a, err := h.say(ctx, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return a, err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		return a, err
	}
	ack, b, err := h.say(ctx, request, dhcpv4.MessageTypeAck)
	if err == nil && !ack.YourIPAddr.Equal(offer.YourIPAddr) {
		err = fmt.Errorf("machine %d was offered %v and given %v", n, offer.YourIPAddr, ack.YourIPAddr)
	}
	return a + b, err
}

// say sends a packet until the answer comes, as firmware does: after 4 s again (PXE 2.1, 2.2.4).
func (h *handshakes) say(ctx context.Context, m *dhcpv4.DHCPv4, want dhcpv4.MessageType) (*dhcpv4.DHCPv4, int, error) {
	c := make(chan *dhcpv4.DHCPv4, 4)
	h.mu.Lock()
	h.waiting[m.TransactionID] = c
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.waiting, m.TransactionID)
		h.mu.Unlock()
	}()
	for again := range 8 {
		if _, err := h.conn.WriteTo(m.ToBytes(), h.to); err != nil {
			return nil, again, err
		}
		late := time.NewTimer(4 * time.Second)
		for waiting := true; waiting; {
			select {
			case r := <-c:
				switch r.MessageType() {
				case want:
					late.Stop()
					return r, again, nil
				case dhcpv4.MessageTypeNak:
					late.Stop()
					return nil, again, fmt.Errorf("%v is refused: %s", m.ClientHWAddr, r.Message())
				}
			case <-late.C:
				waiting = false
			case <-ctx.Done():
				late.Stop()
				return nil, again, ctx.Err()
			}
		}
	}
	return nil, 8, fmt.Errorf("%v gets no answer to its %v", m.ClientHWAddr, m.MessageType())
}
