package cast

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/cast/wire"
	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
)

func TestLateJoin(t *testing.T) {
	l := netlabtest.New(t, 3)
	obj := object(32 << 20)
	p := params(len(obj))
	joined := make(chan struct{}, 10)
	s, _ := startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 300e6, OnEvent: func(e Event) {
		if e.Kind == "join" && e.Peer.Label == "node2" {
			joined <- struct{}{}
		}
	}})
	m1, m2 := newMemory(len(obj)), newMemory(len(obj))
	half := make(chan struct{})
	var n atomic.Int64
	m1.each = func(off int64, b []byte) error {
		if before := n.Add(int64(len(b))); before >= p.Size/2 && before-int64(len(b)) < p.Size/2 {
			close(half)
		}
		return nil
	}
	_, d1 := startReceiver(t, l, 1, p, m1, ReceiverOptions{})
	<-half
	_, d2 := startReceiver(t, l, 2, p, m2, ReceiverOptions{})
	select {
	case <-joined:
	case err := <-d2:
		t.Fatal("the late receiver ended before it had joined:", err)
	}
	// More than half by as much as went by while this machine started it.
	missed := s.Stats().Payload
	wait(t, d1, obj, m1.b)
	wait(t, d2, obj, m2.b)
	sent := s.Stats().Payload
	t.Logf("sent %.3f times the object for a receiver that came when %.3f were sent", float64(sent)/float64(p.Size),
		float64(missed)/float64(p.Size))
	if sent > p.Size+missed+p.Size/20 {
		t.Errorf("sent %d bytes of an object of %d for a receiver that missed %d", sent, p.Size, missed)
	}
}

func TestLoss(t *testing.T) {
	l := netlabtest.New(t, 3, "nft", "ethtool")
	if err := l.Plain(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Lose(1, 50), l.Lose(2, 10)); err != nil {
		t.Fatal(err)
	}
	obj := object(16<<20 + 777)
	p := params(len(obj))
	s, _ := startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 200e6})
	m1, m2 := newMemory(len(obj)), newMemory(len(obj))
	r1, d1 := startReceiver(t, l, 1, p, m1, ReceiverOptions{})
	_, d2 := startReceiver(t, l, 2, p, m2, ReceiverOptions{})
	wait(t, d1, obj, m1.b)
	wait(t, d2, obj, m2.b)
	if st := r1.Stats(); st.Loss < 0.03 || st.Loss > 0.08 {
		t.Errorf("the receiver saw a loss of %.3f, the rule makes 0.05", st.Loss)
	}
	if sent := float64(s.Stats().Payload) / float64(p.Size); sent > 1.12 {
		t.Errorf("sent %.3f times the object at 5 %% and 1 %% loss", sent)
	}
}

func TestSenderRestart(t *testing.T) {
	l := netlabtest.New(t, 2)
	obj := object(24 << 20)
	p := params(len(obj))
	s1, stop := startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 200e6})
	m := newMemory(len(obj))
	half := make(chan struct{})
	var n atomic.Int64
	m.each = func(off int64, b []byte) error {
		if before := n.Add(int64(len(b))); before >= p.Size/2 && before-int64(len(b)) < p.Size/2 {
			close(half)
		}
		return nil
	}
	_, done := startReceiver(t, l, 1, p, m, ReceiverOptions{})
	<-half
	stop()
	s2, _ := startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 200e6})
	wait(t, done, obj, m.b)
	if sent := float64(s1.Stats().Payload+s2.Stats().Payload) / float64(p.Size); sent > 1.1 {
		t.Errorf("both senders sent %.3f times the object", sent)
	}
	if s1.tx.core.Epoch() == s2.tx.core.Epoch() {
		t.Error("the epoch was used twice")
	}
}

// TestWithoutOffload runs the fallbacks: sendmmsg and recvmmsg.
func TestWithoutOffload(t *testing.T) {
	l := netlabtest.New(t, 2)
	obj := object(8 << 20)
	p := params(len(obj))
	startSender(t, l, p, bytesAt(obj), SenderOptions{NoGSO: true})
	m := newMemory(len(obj))
	_, done := startReceiver(t, l, 1, p, m, ReceiverOptions{NoGRO: true})
	wait(t, done, obj, m.b)
}

func TestIPv6(t *testing.T) {
	l := netlabtest.New(t, 2)
	obj := object(8 << 20)
	p := params(len(obj))
	p.Group = netip.MustParseAddrPort("[ff15::77:1]:7777")
	p.Feedback = netip.MustParseAddrPort("[fd77::1]:7778")
	startSender(t, l, p, bytesAt(obj), SenderOptions{})
	m := newMemory(len(obj))
	_, done := startReceiver(t, l, 1, p, m, ReceiverOptions{})
	wait(t, done, obj, m.b)
}

func TestSmallObjects(t *testing.T) {
	l := netlabtest.New(t, 2)
	for i, n := range []int{0, 1, 1408, 1409, 128 * 1408, 128*1408 + 1} {
		obj := object(n)
		p := params(n)
		p.ID = uint32(i)
		p.Feedback = netip.AddrPortFrom(p.Feedback.Addr(), uint16(7800+i))
		startSender(t, l, p, bytesAt(obj), SenderOptions{})
		m := newMemory(n)
		_, done := startReceiver(t, l, 1, p, m, ReceiverOptions{})
		wait(t, done, obj, m.b)
	}
}

func TestTwoCasts(t *testing.T) {
	l := netlabtest.New(t, 2)
	var wg sync.WaitGroup
	for i := range 2 {
		obj := object(8<<20 + i)
		p := params(len(obj))
		p.ID = uint32(i)
		p.Group = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 77, 9, byte(i)}), p.Group.Port())
		p.Feedback = netip.AddrPortFrom(p.Feedback.Addr(), uint16(7800+i))
		startSender(t, l, p, bytesAt(obj), SenderOptions{})
		m := newMemory(len(obj))
		r, done := startReceiver(t, l, 1, p, m, ReceiverOptions{})
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := <-done; err != nil || !bytes.Equal(obj, m.b) {
				t.Errorf("cast %d: %v", i, err)
			}
			if st := r.Stats(); st.Rejected.Total() != 0 {
				t.Errorf("cast %d saw packets of another: %+v", i, st.Rejected)
			}
		}()
	}
	wg.Wait()
}

// TestHaveDeliverAgain tells a receiver of bytes that came by other ways, and takes some back.
func TestHaveDeliverAgain(t *testing.T) {
	l := netlabtest.New(t, 2)
	obj := object(8 << 20)
	p := params(len(obj))
	s, _ := startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 100e6})
	m := newMemory(len(obj))
	bs := p.BlockSize()
	var r *Receiver // set before anything is received
	var once sync.Once
	m.each = func(off int64, b []byte) error {
		once.Do(func() {
			// The first block is lost by the sink once; the end comes by another way, in odd parts.
			r.Again(off, 1)
			tail := obj[len(obj)-int(3*bs):]
			for cut := 0; cut < len(tail); cut += 100001 {
				end := min(cut+100001, len(tail))
				if err := r.Deliver(p.Size-int64(len(tail))+int64(cut), tail[cut:end]); err != nil {
					t.Error(err)
				}
			}
			copy(m.b[len(m.b)-len(tail):], tail)
		})
		return nil
	}
	copy(m.b, obj[:10*bs])
	var err error
	r, err = NewReceiver(p, m, ReceiverOptions{Interface: "eth0", Have: []Range{{Offset: 0, Length: 10 * bs}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Missing(); len(got) != 1 || got[0] != (Range{Offset: 10 * bs, Length: p.Size - 10*bs}) {
		t.Fatalf("missing %v after Have", got)
	}
	done := make(chan error, 1)
	go func() { done <- l.Do(l.Node(1), func() error { return r.Run(t.Context()) }) }()
	wait(t, done, obj, m.b)
	want := p.Size - 10*bs - 3*bs
	if sent := s.Stats().Payload; sent > want+want/4+4*bs {
		t.Errorf("sent %d bytes for %d that were missing", sent, want)
	}
	// A complete receiver is revived.
	r.Again(5*bs+1, bs)
	if got := r.Missing(); len(got) != 1 || got[0] != (Range{Offset: 5 * bs, Length: 2 * bs}) {
		t.Fatalf("missing %v after Again", got)
	}
	clear(m.b[5*bs : 7*bs])
	go func() { done <- l.Do(l.Node(1), func() error { return r.Run(t.Context()) }) }()
	wait(t, done, obj, m.b)
}

// TestSilence has a receiver that multicast does not reach: it says so, and gets everything by unicast.
func TestSilence(t *testing.T) {
	l := netlabtest.New(t, 3, "nft")
	if err := l.Lose(1, 1000); err != nil {
		t.Fatal(err)
	}
	obj := object(4 << 20)
	p := params(len(obj))
	var silent atomic.Bool
	s, _ := startSender(t, l, p, bytesAt(obj), SenderOptions{OnEvent: func(e Event) {
		if e.Kind == "silent" {
			silent.Store(true)
		}
	}})
	m1, m2 := newMemory(len(obj)), newMemory(len(obj))
	var why atomic.Value
	_, d1 := startReceiver(t, l, 1, p, m1,
		ReceiverOptions{Stream: true, SilenceAfter: time.Second, OnState: func(s State) {
			if s.Phase == Silent {
				why.Store(s.Why)
			}
		}})
	_, d2 := startReceiver(t, l, 2, p, m2, ReceiverOptions{})
	wait(t, d2, obj, m2.b)
	wait(t, d1, obj, m1.b)
	if w, _ := why.Load().(string); !strings.Contains(w, "querier") {
		t.Errorf("the receiver says %q", w)
	}
	if !silent.Load() {
		t.Error("the sender did not notice")
	}
	if st := s.Stats(); st.Streamed < p.Size {
		t.Errorf("streamed %d bytes of %d", st.Streamed, p.Size)
	}
}

// TestInjection sends forged, replayed and foreign packets at both ends: nothing changes but counters.
func TestInjection(t *testing.T) {
	l := netlabtest.New(t, 3)
	obj := object(24 << 20)
	p := params(len(obj))
	s, _ := startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 200e6})
	m := newMemory(len(obj))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	listens, injected := make(chan struct{}), make(chan struct{})
	injecting := make(chan error, 1)
	go func() {
		injecting <- l.Do(l.Node(2), func() error { return inject(ctx, p, listens, injected) })
	}()
	select {
	case <-listens:
	case err := <-injecting:
		t.Fatal("injecting:", err)
	}
	// However slow the attacker's thread is, the receiver is not done before some of everything was sent.
	var once sync.Once
	m.each = func(int64, []byte) (err error) {
		once.Do(func() {
			select {
			case <-injected:
			case err = <-injecting:
			}
		})
		return err
	}
	r, done := startReceiver(t, l, 1, p, m, ReceiverOptions{})
	wait(t, done, obj, m.b)
	cancel()
	if err := <-injecting; err != nil {
		t.Error("injecting:", err)
	}
	st, ss := r.Stats(), s.Stats()
	if st.Rejected.Forged == 0 || st.Rejected.Replayed == 0 || st.Rejected.Foreign == 0 {
		t.Errorf("the receiver counted %+v", st.Rejected)
	}
	if ss.Rejected.Forged == 0 || ss.Rejected.Foreign == 0 {
		t.Errorf("the sender counted %+v", ss.Rejected)
	}
	if len(ss.Receivers) != 1 {
		t.Errorf("the sender believes in %d receivers", len(ss.Receivers))
	}
}

// inject listens to the group and sends everything again, as it is and changed. It closes listens when it does, and
// injected when it has sent some of everything.
func inject(ctx context.Context, p Params, listens, injected chan<- struct{}) error {
	ifi, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	in, err := net.ListenMulticastUDP("udp4", ifi, net.UDPAddrFromAddrPort(p.Group))
	if err != nil {
		return err
	}
	defer in.Close()
	group, err := net.Dial("udp4", p.Group.String())
	if err != nil {
		return err
	}
	defer group.Close()
	feedback, err := net.Dial("udp4", p.Feedback.String())
	if err != nil {
		return err
	}
	defer feedback.Close()
	stop := context.AfterFunc(ctx, func() { in.Close() })
	defer stop()
	close(listens)
	buf := make([]byte, 1<<16)
	rounds := 0
	for i := 0; ; i++ {
		n, err := in.Read(buf)
		if err != nil {
			return nil
		}
		pkt := bytes.Clone(buf[:n])
		if i%8 != 0 || n < wire.Overhead {
			continue
		}
		group.Write(pkt) // replayed
		forged := bytes.Clone(pkt)
		binary.BigEndian.PutUint32(forged[16:], uint32(1<<31+i)) // a number that is not used yet
		group.Write(forged)
		forged = bytes.Clone(pkt)
		forged[len(forged)-1] ^= 1
		binary.BigEndian.PutUint32(forged[8:], 7) // another epoch
		group.Write(forged)
		group.Write(pkt[:20])
		forged[1] = 0x23 // a REPORT
		feedback.Write(forged)
		feedback.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
		if rounds++; rounds == 3 {
			close(injected)
		}
	}
}

// TestCapture looks for the object in what tcpdump saw of the cast.
func TestCapture(t *testing.T) {
	l := netlabtest.New(t, 3, "tcpdump")
	secret := []byte("this text is in every line of the image ")
	obj := bytes.Repeat(secret, 100000)
	p := params(len(obj))
	file := filepath.Join(t.TempDir(), "cast.pcap")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	line := netlab.In(l.Bridge(), "tcpdump", "-i", "br0", "-U", "-B", "65536", "-w", file, "udp")
	dump := exec.CommandContext(ctx, line[0], line[1:]...)
	stderr, err := dump.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dump.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewScanner(stderr)
	for said.Scan() && !strings.Contains(said.Text(), "listening") {
	}
	if err := said.Err(); err != nil {
		t.Fatal("tcpdump:", err)
	}
	startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 200e6})
	m := newMemory(len(obj))
	_, done := startReceiver(t, l, 1, p, m, ReceiverOptions{Label: "secretly labelled"})
	wait(t, done, obj, m.b)
	// tcpdump writes when it gets to run, and what it has not written when it ends is lost.
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(time.Minute); ; {
		if fi, err := os.Stat(file); err == nil && fi.Size() > int64(len(obj)) {
			break
		}
		select {
		case <-tick.C:
			continue
		case <-limit:
		}
		break
	}
	cancel()
	dump.Wait()
	seen, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) < len(obj)/2 {
		t.Fatalf("the capture has only %d bytes", len(seen))
	}
	for _, text := range []string{"every line", "secretly"} {
		if bytes.Contains(seen, []byte(text)) {
			t.Errorf("the capture shows %q", text)
		}
	}
}

// TestSourceError goes on without what cannot be read.
func TestSourceError(t *testing.T) {
	l := netlabtest.New(t, 2)
	obj := object(4 << 20)
	p := params(len(obj))
	bs := p.BlockSize()
	var bad atomic.Int64
	s, _ := startSender(t, l, p, brokenAt{bytesAt(obj), 5 * bs},
		SenderOptions{OnReadError: func(r Range, err error) { bad.Store(r.Offset) }})
	m := newMemory(len(obj))
	r, err := NewReceiver(p, m, ReceiverOptions{Interface: "eth0"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var n atomic.Int64
	m.each = func(off int64, b []byte) error {
		if n.Add(1) == int64(p.Blocks()-1) {
			cancel()
		}
		return nil
	}
	err = l.Do(l.Node(1), func() error { return r.Run(ctx) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if got := fmt.Sprint(r.Missing()); got != fmt.Sprint([]Range{{Offset: 5 * bs, Length: bs}}) {
		t.Errorf("missing %v", got)
	}
	if bad.Load() != 5*bs {
		t.Errorf("the error named byte %d, want %d", bad.Load(), 5*bs)
	}
	if st := s.Stats(); st.Pending != 0 {
		t.Errorf("%d bytes are still pending", st.Pending)
	}
}

type brokenAt struct {
	bytesAt
	at int64
}

func (b brokenAt) ReadAt(p []byte, off int64) (int, error) {
	if off <= b.at && b.at < off+int64(len(p)) {
		return 0, errors.New("medium error")
	}
	return b.bytesAt.ReadAt(p, off)
}
