package web

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/identity"
)

// Strangers who begin hellos and do not end them cost bounded memory, and the next machine's hello is heard.
func TestUnfinishedHellos(t *testing.T) {
	r := newRig(t)
	addr := strings.TrimPrefix(r.srv.URL, "https://")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	body := append([]byte(`{"v":1,"boot":"`), bytes.Repeat([]byte{'x'}, 1<<20)...)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	sent := make(chan error)
	const strangers = 300
	for i := range strangers {
		c, err := tls.Dial("tcp", addr, identity.PinnedTLS(r.id.Pin))
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		n := 1 << 20
		if i%2 == 1 {
			n = maxHello - 1 // as much as may be
		}
		go func() {
			_, err := fmt.Fprintf(c, "POST /v1/node/hello HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", n+100,
				body[:n])
			sent <- err
		}()
	}
	for range strangers {
		<-sent // all of it, or the server has closed
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 128<<20 {
		t.Errorf("%d strangers take %d MiB", strangers, grown>>20)
	}
	r.hello("52:54:00:00:00:01", "b1") // an honest one, meanwhile
}

func TestHellosFromOneAddress(t *testing.T) {
	h := hellos{from: map[netip.Addr]int{}}
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	for range maxHellosFrom {
		if !h.enter(a) {
			t.Fatal("refused")
		}
	}
	if h.enter(a) || !h.enter(b) {
		t.Error("one address takes another's places, or more than its own")
	}
	h.leave(a)
	if !h.enter(a) {
		t.Error("a place that was left is not given again")
	}
}

func TestPool(t *testing.T) {
	p := newPool(1000)
	req := func(n int64) *http.Request {
		return (&http.Request{ContentLength: n}).WithContext(t.Context())
	}
	first, err := p.take(req(-1), 700, time.Second) // of unknown length: all that it may have
	if err != nil {
		t.Fatal(err)
	}
	small, err := p.take(req(300), 700, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.take(req(1), 700, time.Millisecond); !errors.Is(err, errBusy) {
		t.Errorf("over the bound: %v", err)
	}
	first()
	small()
	all, err := p.take(req(5000), 9000, time.Second) // larger than the pool: alone
	if err != nil {
		t.Fatal(err)
	}
	all()
}
