package cast

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
)

// object is n bytes that do not compress.
func object(n int) []byte {
	b := make([]byte, n)
	c := rand.NewChaCha8([32]byte{1})
	c.Read(b)
	return b
}

// memory is a sink and a source.
type memory struct {
	mu sync.Mutex
	b  []byte
	n  int64
	// each is called with every block, if set.
	each func(off int64, p []byte) error
}

func newMemory(n int) *memory { return &memory{b: make([]byte, n)} }

func (m *memory) Block(off int64, p []byte) error {
	if m.each != nil {
		if err := m.each(off, p); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	copy(m.b[off:], p)
	m.n += int64(len(p))
	return nil
}

type bytesAt []byte

func (b bytesAt) ReadAt(p []byte, off int64) (int, error) { return copy(p, b[off:]), nil }

func params(size int) Params {
	p := Params{
		ID: 7, Group: netip.MustParseAddrPort("239.77.1.2:7777"), Feedback: netip.MustParseAddrPort("10.77.0.1:7778"),
		Size: int64(size),
	}
	for i := range p.Key {
		p.Key[i] = byte(i)
	}
	p.Sender, _ = PublicOf(testSecret)
	return p.WithDefaults()
}

// testSecret is that of all senders in tests.
var testSecret = Secret{1, 2, 3}

// startSender runs a sender on node 0.
func startSender(t *testing.T, l *netlab.Lab, p Params, src Source, o SenderOptions) (*Sender, context.CancelFunc) {
	t.Helper()
	o.Interface, o.Secret = "eth0", testSecret
	var s *Sender
	if err := l.Do(l.Node(0), func() (err error) {
		s, err = NewSender(p, src, o)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error("sender:", err)
			}
		})
	}
	t.Cleanup(stop)
	return s, stop
}

// startReceiver runs a receiver on a node; the channel gets what Run returns.
func startReceiver(t *testing.T, l *netlab.Lab, node int, p Params, sink Sink, o ReceiverOptions) (*Receiver,
	<-chan error) {
	t.Helper()
	o.Interface = "eth0"
	if o.Label == "" {
		o.Label = fmt.Sprintf("node%d", node)
	}
	r, err := NewReceiver(p, sink, o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	go func() { done <- l.Do(l.Node(node), func() error { return r.Run(ctx) }) }()
	return r, done
}

func wait(t *testing.T, done <-chan error, want, got []byte) {
	t.Helper()
	if err := <-done; err != nil {
		t.Fatal("receiver:", err)
	}
	if sha256.Sum256(want) != sha256.Sum256(got) {
		t.Fatal("the received bytes differ")
	}
}

func TestTwoReceivers(t *testing.T) {
	l := netlabtest.New(t, 3)
	obj := object(64<<20 + 12345)
	p := params(len(obj))
	s, _ := startSender(t, l, p, bytesAt(obj), SenderOptions{})
	m1, m2 := newMemory(len(obj)), newMemory(len(obj))
	start := time.Now()
	r1, d1 := startReceiver(t, l, 1, p, m1, ReceiverOptions{})
	_, d2 := startReceiver(t, l, 2, p, m2, ReceiverOptions{})
	wait(t, d1, obj, m1.b)
	wait(t, d2, obj, m2.b)
	t.Logf("%v, %+v", time.Since(start), s.Stats())
	t.Logf("%+v", r1.Stats())
}
