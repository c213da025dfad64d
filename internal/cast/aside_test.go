package cast

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
)

// TestReread has a receiver that loses much put its blocks aside: the one that loses nothing does not wait for their
// repairs, and they take no memory.
func TestReread(t *testing.T) {
	l := netlabtest.New(t, 3, "nft", "ethtool")
	if err := l.Plain(); err != nil {
		t.Fatal(err)
	}
	if err := l.Lose(1, 50); err != nil {
		t.Fatal(err)
	}
	obj := object(64<<20 + 777)
	p := params(len(obj))
	startSender(t, l, p, bytesAt(obj), SenderOptions{Rate: 200e6, UntilDone: true, MinReceivers: 2})
	m1, m2 := newMemory(len(obj)), newMemory(len(obj))
	written := make([]bool, len(obj))
	pieces := 0
	m1.each = func(off int64, b []byte) error {
		if int64(len(b)) < p.BlockLen(int(off/p.BlockSize())) {
			pieces++
		}
		for i := range b {
			if written[off+int64(i)] {
				return fmt.Errorf("byte %d is written twice", off+int64(i))
			}
			written[off+int64(i)] = true
		}
		return nil
	}
	_, d2 := startReceiver(t, l, 2, p, m2, ReceiverOptions{Reread: bytes.NewReader(m2.b)})
	r1, d1 := startReceiver(t, l, 1, p, m1, ReceiverOptions{Reread: bytes.NewReader(m1.b)})
	if err := <-d2; err != nil {
		t.Fatal("receiver:", err)
	}
	st := r1.Stats()
	wait(t, d1, obj, m1.b)
	if !bytes.Equal(m2.b, obj) {
		t.Error("the received bytes differ")
	}
	t.Logf("%d pieces, %d KiB of memory and %d of %d bytes lacking when the other had all", pieces, st.Memory>>10,
		st.Missing, len(obj))
	// 50 blocks have not been put aside yet, or have just come, with what repairs came of others.
	if most := 50 * p.BlockSize(); st.Missing < p.Size/2 || st.Memory > most {
		t.Errorf("%d bytes were lacking, want half of the object or more; %d bytes of blocks were in memory, want %d "+
			"or less", st.Missing, st.Memory, most)
	}
}
