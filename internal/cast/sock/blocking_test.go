package sock

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

func loopback(t *testing.T) *blocking {
	t.Helper()
	at := netip.MustParseAddrPort("127.0.0.1:0")
	b, err := newBlocking(at, func(fd int) error { return unix.Bind(fd, sockaddr(at, nil)) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func read(b *blocking) (int, error) {
	p := ipv4.NewPacketConn(b)
	ms := []ipv4.Message{{Buffers: [][]byte{make([]byte, 100)}}, {Buffers: [][]byte{make([]byte, 100)}}}
	return b.again(func() (int, error) { return p.ReadBatch(ms, unix.MSG_WAITFORONE) })
}

// TestBlockingClose checks that Close wakes a reader that waits.
func TestBlockingClose(t *testing.T) {
	b := loopback(t)
	waiting, done := make(chan struct{}), make(chan error, 1)
	go func() {
		close(waiting)
		_, err := read(b)
		done <- err
	}()
	<-waiting
	b.Close()
	select {
	case err := <-done:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("a reader whose socket was closed got %v, want %v", err, net.ErrClosed)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a reader still waits 20 s after its socket was closed")
	}
	if _, err := read(b); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading a closed socket: %v, want %v", err, net.ErrClosed)
	}
}

// TestBlockingTimeout checks that a reader waits for as long as it was told, and that it gets what there is without
// waiting for more.
func TestBlockingTimeout(t *testing.T) {
	b := loopback(t)
	const wait = 50 * time.Millisecond
	if err := b.timeout(unix.SO_RCVTIMEO, wait); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading a silent socket: %v, want %v", err, os.ErrDeadlineExceeded)
	}
	if d := time.Since(start); d < wait/2 {
		t.Errorf("waited %v, want %v", d, wait)
	}
	if err := b.timeout(unix.SO_RCVTIMEO, time.Minute); err != nil {
		t.Fatal(err)
	}
	err := control(b, func(fd int) error {
		sa, err := unix.Getsockname(fd)
		if err != nil {
			return err
		}
		return unix.Sendto(fd, []byte("one"), 0, sa)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := read(b); n != 1 || err != nil {
		t.Errorf("reading one packet: %d, %v", n, err)
	}
}
