package serve

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
)

// dialer hands out connections whose peer has the address that was asked for.
type dialer struct{ c chan net.Conn }

func (d *dialer) Accept() (net.Conn, error) {
	c, ok := <-d.c
	if !ok {
		return nil, io.EOF
	}
	return c, nil
}
func (d *dialer) Close() error   { return nil }
func (d *dialer) Addr() net.Addr { return &net.TCPAddr{} }

type peer struct {
	net.Conn
	addr netip.Addr
}

func (p *peer) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPortFrom(p.addr, 1)) }

func TestLimitListener(t *testing.T) {
	d := &dialer{make(chan net.Conn)}
	l := newLimitListener(d, slog.New(slog.DiscardHandler))
	got := make(chan net.Conn)
	go func() { // ends when the dialer is closed
		for {
			c, err := l.Accept()
			if err != nil {
				close(got)
				return
			}
			got <- c
		}
	}()
	dial := func(addr string) (mine net.Conn) {
		mine, theirs := net.Pipe()
		d.c <- &peer{theirs, netip.MustParseAddr(addr)}
		return mine
	}
	var open []net.Conn
	for range maxConnsFrom {
		dial("10.0.0.5")
		open = append(open, <-got)
	}
	// One more is closed; another address is served.
	if _, err := dial("10.0.0.5").Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("connection %d from one address: %v", maxConnsFrom+1, err)
	}
	dial("10.0.0.6")
	<-got
	// Closing twice gives one place back.
	open[0].Close()
	open[0].Close()
	dial("10.0.0.5")
	<-got
	if _, err := dial("10.0.0.5").Read(make([]byte, 1)); err != io.EOF {
		t.Error("one place was given back twice")
	}
	for range maxConnsFrom + 10 {
		dial("127.0.0.1")
		<-got
	}
	close(d.c)
	<-got
}
