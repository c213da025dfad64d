package serve

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSegment: boot files come in segments that leave room for a VLAN's tag; others in as large ones as the link takes.
func TestSegment(t *testing.T) {
	for segment, want := range map[int]func(int) bool{
		0:           func(n int) bool { return n > 1500 }, // the loopback's
		bootSegment: func(n int) bool { return n > 1000 && n <= bootSegment },
	} {
		srv := newHTTP("files", "127.0.0.1:0", http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler))
		srv.segment = segment
		ln, err := srv.listen(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		served, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := served.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		if cerr := raw.Control(func(fd uintptr) {
			got, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		}); cerr != nil || err != nil {
			t.Fatal(cerr, err)
		}
		if !want(got) {
			t.Errorf("with a bound of %d, segments have %d bytes", segment, got)
		}
		for _, x := range []interface{ Close() error }{served, c, ln} {
			x.Close()
		}
	}
}
