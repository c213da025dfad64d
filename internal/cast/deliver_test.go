package cast

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
)

// TestSinkStalls has a sink that stands still in the middle of the cast: packets are taken all the same.
func TestSinkStalls(t *testing.T) {
	l := netlabtest.New(t, 2)
	obj := object(24 << 20)
	p := params(len(obj))
	startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 200e6})
	m := newMemory(len(obj))
	stalled, release := make(chan struct{}), make(chan struct{})
	var blocks, inside atomic.Int64
	m.each = func(int64, []byte) error {
		if inside.Add(1) != 1 {
			t.Error("the sink was given two blocks at once")
		}
		defer inside.Add(-1)
		if blocks.Add(1) == 10 {
			close(stalled)
			<-release
		}
		return nil
	}
	r, done := startReceiver(t, l, 1, p, m, ReceiverOptions{})
	<-stalled
	start := r.Stats().Multicast
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); r.Stats().Multicast < start+8<<20; {
		if <-tick.C; time.Now().After(end) {
			t.Fatalf("while the sink stood still for 20 s, %d bytes were received, want 8 MiB",
				r.Stats().Multicast-start)
		}
	}
	close(release)
	wait(t, done, obj, m.b)
}
