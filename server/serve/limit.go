package serve

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Bounds on connections of one listener. A node has at most six; one that is silent costs some 5 KB, one that is served
// 40.
const (
	maxConns     = 16384
	maxConnsFrom = 512              // from one address that is not this machine's own loopback
	writeTime    = 60 * time.Second // for the peer to take what one write sent, at most 32 KiB
)

// limitListener bounds how many connections are open, in all and from one address, and how long a peer may leave a
// write waiting. What is too much is closed at once, so that the rest are served.
type limitListener struct {
	net.Listener
	log *slog.Logger

	mu   sync.Mutex
	all  int
	from map[netip.Addr]int
}

func newLimitListener(l net.Listener, log *slog.Logger) *limitListener {
	return &limitListener{Listener: l, log: log, from: map[netip.Addr]int{}}
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr := addrOf(c)
		if why := l.enter(addr); why != "" {
			l.log.Warn("connection refused", "peer", addr, "why", why)
			c.Close()
			continue
		}
		return &limitConn{Conn: c, leave: sync.OnceFunc(func() { l.leave(addr) })}, nil
	}
}

func addrOf(c net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// enter counts a connection, or says why there are too many.
func (l *limitListener) enter(a netip.Addr) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.all >= maxConns:
		return "too many connections are open"
	case l.from[a] >= maxConnsFrom && !a.IsLoopback():
		return "too many connections are open from this address"
	}
	l.all++
	l.from[a]++
	return ""
}

func (l *limitListener) leave(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.from[a]--; l.from[a] == 0 {
		delete(l.from, a)
	}
}

type limitConn struct {
	net.Conn
	leave func()
}

func (c *limitConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// SyscallConn is for who watches the connection without reading it.
func (c *limitConn) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return s.SyscallConn()
}

func (c *limitConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
