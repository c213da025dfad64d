package dhcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// How the LAN is asked who uses an address. RFC 5227 waits for seconds; firmware that asks for an address does not, and
// a host on the same LAN answers within a millisecond or a few.
const (
	askAgain = 150 * time.Millisecond
	askFor   = 400 * time.Millisecond
)

// ARP for Ethernet and IPv4 (RFC 826), 28 bytes, big-endian.
const (
	arpLen     = 28
	arpRequest = 1
	arpReply   = 2
)

// probeFrame asks who has an address. The sender's address is left 0, so that nobody's table is changed (RFC 5227,
// 2.1.1).
func probeFrame(from net.HardwareAddr, a netip.Addr) []byte {
	b := binary.BigEndian.AppendUint16(make([]byte, 0, arpLen), 1) // Ethernet
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
	b = append(b, 6, 4)
	b = binary.BigEndian.AppendUint16(b, arpRequest)
	b = append(b, from[:6]...)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	four := a.As4()
	return append(b, four[:]...)
}

// parseARP returns whose address a packet says the sender's is. Requests say it as well as replies. What is no ARP of
// Ethernet and IPv4, or has no sender's address, is not ok.
func parseARP(b []byte) (mac net.HardwareAddr, a netip.Addr, ok bool) {
	if len(b) < arpLen || binary.BigEndian.Uint16(b) != 1 || binary.BigEndian.Uint16(b[2:]) != unix.ETH_P_IP ||
		b[4] != 6 || b[5] != 4 {
		return nil, a, false
	}
	if op := binary.BigEndian.Uint16(b[6:]); op != arpRequest && op != arpReply {
		return nil, a, false
	}
	a = netip.AddrFrom4([4]byte(b[14:18]))
	return net.HardwareAddr(b[8:14:14]), a, !a.IsUnspecified()
}

// asker asks the LAN of one interface who uses an address.
type asker struct {
	conn net.PacketConn
	self net.HardwareAddr
	own  []netip.Addr // of the interface: nobody else would answer for them
	log  *slog.Logger

	mu      sync.Mutex
	waiting map[netip.Addr][]chan net.HardwareAddr
}

func newAsker(ifi *net.Interface, log *slog.Logger) (*asker, error) {
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", ifi.Name, err)
	}
	q := &asker{self: ifi.HardwareAddr, log: log, waiting: map[netip.Addr][]chan net.HardwareAddr{}}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			q.own = append(q.own, p.Addr())
		}
	}
	filter, err := bpf.Assemble(append(ofThisLAN(1), bpf.RetConstant{Val: 1 << 16}, bpf.RetConstant{Val: 0}))
	if err != nil {
		return nil, err
	}
	if q.conn, err = packet.Listen(ifi, packet.Datagram, unix.ETH_P_ARP, &packet.Config{Filter: filter}); err != nil {
		return nil, fmt.Errorf("listen for ARP on %s: %w (it needs root or CAP_NET_RAW)", ifi.Name, err)
	}
	return q, nil
}

// ofThisLAN goes over the next instructions for a frame that is not this interface's: the kernel hands a packet socket
// those of other VLANs too, and calls them another host's.
func ofThisLAN(over uint8) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OTHERHOST, SkipTrue: over},
	}
}

// run hears answers until the connection is closed or ctx ends.
func (q *asker) run(ctx context.Context) error {
	buf := make([]byte, 128)
	for {
		n, _, err := q.conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("ARP: %w", err)
		case err != nil: // ENETDOWN comes and goes with the interface
			if !pause(ctx, time.Second) {
				return nil
			}
			continue
		}
		if mac, a, ok := parseARP(buf[:n]); ok {
			q.heard(a, mac)
		}
	}
}

func (q *asker) heard(a netip.Addr, mac net.HardwareAddr) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.waiting[a] {
		select {
		case c <- append(net.HardwareAddr(nil), mac...):
		default: // enough answers
		}
	}
}

// ask returns the hardware address of a machine other than the client that uses the address; nil if nobody answered.
// An error says that the LAN could not be asked.
func (q *asker) ask(ctx context.Context, a netip.Addr, client net.HardwareAddr) (net.HardwareAddr, error) {
	for _, own := range q.own {
		if own == a {
			return q.self, nil
		}
	}
	c := make(chan net.HardwareAddr, 4)
	q.mu.Lock()
	q.waiting[a] = append(q.waiting[a], c)
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		list := q.waiting[a]
		for i := range list {
			if list[i] == c {
				list = append(list[:i:i], list[i+1:]...)
				break
			}
		}
		if q.waiting[a] = list; len(list) == 0 {
			delete(q.waiting, a)
		}
	}()
	frame := probeFrame(q.self, a)
	send := func() error {
		_, err := q.conn.WriteTo(frame, &packet.Addr{HardwareAddr: broadcast})
		return err
	}
	if err := send(); err != nil {
		return nil, fmt.Errorf("ask the LAN for %v: %w", a, err)
	}
	again, end := time.NewTimer(askAgain), time.NewTimer(askFor)
	defer again.Stop()
	defer end.Stop()
	for {
		select {
		case mac := <-c:
			if mac.String() != client.String() {
				return mac, nil
			}
		case <-again.C:
			if err := send(); err != nil {
				q.log.Debug("ARP probe not sent", "addr", a, "err", err)
			}
		case <-end.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

var broadcast = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// pause reports whether the time passed before ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
