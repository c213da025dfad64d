package querier

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/netlab"
	"github.com/diskcast/diskcast/internal/testenv/netlab/netlabtest"
)

func TestQuery(t *testing.T) {
	// As tcpdump decodes "igmp query v3", and RFC 2236.
	if got, want := Query(3, 60*time.Second),
		[]byte{0x11, 100, 0xec, 0x5f, 0, 0, 0, 0, 2, 60, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	if got, want := Query(2, 60*time.Second), []byte{0x11, 100, 0xee, 0x9b, 0, 0, 0, 0}; !bytes.Equal(got, want) {
		t.Errorf("got % x, want % x", got, want)
	}
	for _, c := range []struct {
		d    time.Duration
		want byte
	}{{125 * time.Second, 125}, {128 * time.Second, 0x80}, {200 * time.Second, 0x89}, {31744 * time.Second, 0xff}} {
		if got := queryCode(c.d); got != c.want {
			t.Errorf("%v: code %#x, want %#x", c.d, got, c.want)
		}
	}
	if !IsGeneralQuery(Query(3, time.Second)) || !IsGeneralQuery(Query(2, time.Second)) ||
		IsGeneralQuery([]byte{0x16, 0, 0, 0, 0, 0, 0, 0}) {
		t.Error("queries are not told from other messages")
	}
}

func FuzzIsGeneralQuery(f *testing.F) {
	f.Add(Query(3, time.Minute))
	f.Fuzz(func(t *testing.T, b []byte) { IsGeneralQuery(b) })
}

// TestOnSnoopingBridge has a bridge learn a member because it was asked for, and two queriers agree that the lower
// address asks.
func TestOnSnoopingBridge(t *testing.T) {
	l := netlabtest.New(t, 3, "bridge")
	if err := l.On(l.Bridge(), "ip", "link", "set", "br0", "type", "bridge", "mcast_snooping", "1"); err != nil {
		t.Fatal(err)
	}
	start := func(node int) *Querier {
		var q *Querier
		ready := make(chan error, 1)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- l.Do(l.Node(node), func() (err error) {
				q, err = New("eth0", Options{Interval: 400 * time.Millisecond})
				ready <- err
				if err != nil {
					return err
				}
				return q.Run(ctx)
			})
		}()
		if err := <-ready; err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
		return q
	}
	high := start(2)
	until(t, "the bridge hears a querier on port2", func() bool {
		line := netlab.In(l.Bridge(), "bridge", "-s", "-d", "mdb", "show")
		out, _ := exec.Command(line[0], line[1:]...).CombinedOutput()
		return strings.Contains(string(out), "router ports on br0: port2") && high.Sent() > 0
	})
	low := start(0)
	until(t, "the higher address gives way", func() bool { return high.Other().IsValid() })
	if got := high.Other().String(); got != "10.77.0.1" {
		t.Errorf("it gives way to %s", got)
	}
	if low.Other().IsValid() {
		t.Error("the lower address gives way too")
	}
}

// until waits for a condition that only the kernel's state tells.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(10 * time.Second)
	for !f() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("not in time:", what)
		}
	}
}

func TestLeave(t *testing.T) {
	group := netip.MustParseAddr("239.192.255.255")
	// RFC 2236: type 0x17, no time, checksum, group.
	leave := []byte{0x17, 0, 0xf9, 0x3e, 239, 192, 255, 255}
	if got, ok := leftGroup(leave); !ok || got != group {
		t.Errorf("%v, %v", got, ok)
	}
	for _, b := range [][]byte{nil, leave[:7], {0x17, 0, 0, 0, 239, 192, 255, 255}, Query(3, time.Second)} {
		if got, ok := leftGroup(b); ok {
			t.Errorf("% x leaves %v", b, got)
		}
	}
	q := QueryOf(3, 60*time.Second, group)
	if !isQuery(q) || IsGeneralQuery(q) || !bytes.Equal(q[4:8], group.AsSlice()) || q[1] != 10 {
		t.Errorf("% x", q)
	}
}

// TestHear: who says that it leaves a group hears at once that somebody asks, and hears nobody where nobody does.
func TestHear(t *testing.T) {
	l := netlabtest.New(t, 2)
	hear := func(d time.Duration) (from netip.Addr, err error) {
		derr := l.Do(l.Node(1), func() error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			from, err = Hear(ctx, "eth0", netip.MustParseAddr("239.192.255.255"))
			return nil
		})
		if derr != nil {
			t.Fatal(derr)
		}
		return from, err
	}
	if from, err := hear(300 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody asks: %v, %v", from, err)
	}
	var q *Querier
	ready := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- l.Do(l.Node(0), func() (err error) {
			q, err = New("eth0", Options{Interval: time.Hour, NoMLD: true})
			ready <- err
			if err != nil {
				return err
			}
			return q.Run(ctx)
		})
	}()
	if err := <-ready; err != nil {
		t.Fatal(err)
	}
	// Its second question comes after 5 s.
	until(t, "its first question", func() bool { return q.Sent() > 0 })
	if from, err := hear(3 * time.Second); err != nil || from.String() != "10.77.0.1" {
		t.Errorf("somebody asks when told of a leave: %v, %v", from, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func FuzzLeave(f *testing.F) {
	f.Add([]byte{0x17, 0, 0xf9, 0x3e, 239, 192, 255, 255})
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, ok := leftGroup(b); ok && !g.IsMulticast() {
			t.Errorf("% x leaves %v", b, g)
		}
	})
}
