package cast

import (
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/diskcast/diskcast/internal/cast/wire"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
)

// attacker is a receiver that has the key and sends to the group beside the sender. It hears the sender's packets, so
// it knows its numbers.
type attacker struct {
	l     *netlab.Lab
	node  int
	p     Params
	spoof bool // sends from the sender's own address
	// forge makes of a packet of the sender's the header and the body of its own; nil sends nothing.
	forge func(last wire.Header, n int) (*wire.Header, []byte)
	every int // packet of the sender's
	// whole, if not nil, says which blocks all receivers have: what is forged has a header of these alone, the last
	// that was heard. A forged packet would be taken where the sender's own was lost.
	whole func(block uint32) bool
}

// run ends with ctx. It closes listens when it hears the group.
func (a *attacker) run(ctx context.Context, listens chan<- struct{}) error {
	return a.l.Do(a.l.Node(a.node), func() error {
		ifi, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		in, err := net.ListenMulticastUDP("udp4", ifi, net.UDPAddrFromAddrPort(a.p.Group))
		if err != nil {
			return err
		}
		defer in.Close()
		from := a.l.Addr(a.node)
		if a.spoof {
			from = a.l.Addr(0)
		}
		out, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)})
		if err != nil {
			return err
		}
		defer out.Close()
		if err := ipv4.NewPacketConn(out).SetMulticastInterface(ifi); err != nil {
			return err
		}
		key, err := wire.GroupKey(a.p.Key, a.p.ID)
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { in.Close() })()
		close(listens)
		buf, pkt := make([]byte, 1<<16), make([]byte, 1<<16)
		heard, sent := 0, 0
		var held []wire.Header
		for {
			n, err := in.Read(buf)
			if err != nil {
				return nil
			}
			var h wire.Header
			if h.Parse(buf[:n]) != nil || h.Type != wire.Data {
				continue
			}
			if a.whole != nil {
				held = append(held, h)
			}
			if heard++; heard%a.every != 0 {
				continue
			}
			if a.whole != nil {
				last := len(held) - 1
				for last >= 0 && !a.whole(held[last].Block) {
					last--
				}
				if last < 0 {
					continue
				}
				h, held = held[last], held[last+1:]
			}
			if head, body := a.forge(h, sent); head != nil {
				sent++
				out.WriteToUDPAddrPort(pkt[:key.Seal(pkt, head, body)], a.p.Group)
			}
		}
	})
}

// impersonate lets a node send from the sender's address and hear it all the same. It does not answer for that address.
func impersonate(l *netlab.Lab, node int) error {
	ns := l.Node(node)
	for _, s := range []string{"all/accept_local=1", "eth0/accept_local=1", "all/rp_filter=0", "eth0/rp_filter=0",
		"all/arp_ignore=1", "eth0/arp_ignore=1"} {
		name, value, _ := strings.Cut(s, "=")
		if err := l.Do(ns, func() error {
			return os.WriteFile("/proc/sys/net/ipv4/conf/"+name, []byte(value),
				0)
		}); err != nil {
			return err
		}
	}
	if err := l.On(ns, "ip", "link", "set", "lo", "up"); err != nil {
		return err
	}
	return l.On(ns, "ip", "addr", "add", l.Addr(0)+"/32", "dev", "lo")
}

// TestHostileReceiver has a receiver that sends with the cast's key beside three honest ones. They finish by multicast,
// they and the sender say what is going on, and nobody gets a wrong byte.
func TestHostileReceiver(t *testing.T) {
	const size = 24 << 20
	useless := make([]byte, 1408)
	quiet := time.Duration(0)
	for _, c := range []struct {
		name  string
		spoof bool
		late  bool // only where all receivers have the block
		every int
		forge func(h wire.Header, n int) (*wire.Header, []byte)
		says  string
	}{
		{"none", false, false, 1 << 30, nil, ""},
		{"one packet far ahead", false, false, 20, func(h wire.Header, n int) (*wire.Header, []byte) {
			if h.Seq += 1 << 40; n > 0 {
				return nil, nil
			}
			return &h, useless
		}, "from 10.77.0.5: "},
		{"one packet far ahead, from the sender's address", true, false, 20,
			func(h wire.Header, n int) (*wire.Header, []byte) {
				if h.Seq += 1 << 40; n > 0 {
					return nil, nil
				}
				h.Block, h.Index = 0, 0
				return &h, useless
			}, "that the sender has not reached"},
		{"the sender's next numbers, from its address", true, false, 8, func(h wire.Header, n int) (*wire.Header,
			[]byte) {
			h.Seq += 30 + uint64(n%100)
			h.Block, h.Index = 0, 0
			return &h, useless
		}, "from the sender's own address"},
		{"what the sender sends, with other bytes, from its address", true, true, 40,
			func(h wire.Header, n int) (*wire.Header, []byte) {
				return &h, useless
			}, "came before with other bytes"},
		{"ends and reports once an hour, from its address", true, false, 40,
			func(h wire.Header, n int) (*wire.Header, []byte) {
				h.Type, h.Seq, h.Block, h.Index = wire.Announce, h.Seq+100000, 0, 0
				hour := uint32(3600e6)
				a := wire.AnnounceBody{Active: hour, Done: hour, Kick: hour, Size: size, Payload: 1408, K: 128}
				return &h, append(a.Append(nil, nil), make([]byte, wire.SignatureLen)...)
			}, "that the sender did not sign"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := netlabtest.New(t, 5)
			if c.spoof {
				if err := impersonate(l, 4); err != nil {
					t.Fatal(err)
				}
			}
			obj := object(size)
			p := params(size)
			told := make(chan string, 100)
			blockLen := int64(p.K * p.Payload)
			var mu sync.Mutex
			has := map[int64]int{} // receivers by the block that they have
			written := func(off int64, _ []byte) error {
				mu.Lock()
				defer mu.Unlock()
				has[off/blockLen]++
				return nil
			}
			s, _ := startSender(t, l, p, bytesAt(obj),
				SenderOptions{Rate: 200e6, MinReceivers: 3, OnEvent: func(e Event) {
					if e.Kind == "hostile" {
						told <- e.Why
					}
				}})
			if c.forge != nil {
				ctx, cancel := context.WithCancel(t.Context())
				listens, ended := make(chan struct{}), make(chan error, 1)
				a := &attacker{l: l, node: 4, p: p, spoof: c.spoof, forge: c.forge, every: c.every}
				if c.late {
					a.whole = func(block uint32) bool {
						mu.Lock()
						defer mu.Unlock()
						return has[int64(block)] == 3
					}
				}
				go func() { ended <- a.run(ctx, listens) }()
				t.Cleanup(func() {
					cancel()
					if err := <-ended; err != nil {
						t.Error("attacker:", err)
					}
				})
				select {
				case <-listens:
				case err := <-ended:
					ended <- nil
					t.Fatal("attacker:", err)
				}
			}
			start := time.Now()
			var all []*Receiver
			var done []<-chan error
			var got []*memory
			for i := 1; i <= 3; i++ {
				m := newMemory(size)
				m.each = written
				r, d := startReceiver(t, l, i, p, m, ReceiverOptions{Stream: true})
				all, done, got = append(all, r), append(done, d), append(got, m)
			}
			for i, d := range done {
				wait(t, d, obj, got[i].b)
			}
			took := time.Since(start)
			if c.forge == nil {
				quiet = took
			}
			t.Logf("%v, %.3f of the time without", took, float64(took)/float64(quiet))
			for i, r := range all {
				st := r.Stats()
				if st.Multicast < size || st.Stream > 0 {
					t.Errorf("receiver %d has %d bytes by multicast and %d by unicast, want all %d by multicast: %+v",
						i, st.Multicast, st.Stream, size, st)
				}
				if c.says != "" && !strings.Contains(st.Suspicion, c.says) {
					t.Errorf("receiver %d says %q, want %q; it counted %+v", i, st.Suspicion, c.says, st.Rejected)
				}
			}
			if c.says == "" {
				return
			}
			if st := s.Stats(); !strings.Contains(st.Suspicion, c.says) {
				t.Errorf("the sender's account says %q, want %q", st.Suspicion, c.says)
			}
			select {
			case why := <-told:
				if !strings.Contains(why, "somebody who has this cast's key") {
					t.Errorf("the operator was told %q", why)
				}
			default:
				t.Error("the operator was told nothing")
			}
		})
	}
}
