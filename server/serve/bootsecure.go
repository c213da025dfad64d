package serve

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// shaken is a listener of TLS that tells why a handshake failed: net/http says it to its log alone.
type shaken struct {
	net.Listener
	config *tls.Config
	watch  handshakes
}

// handshakes is who is told of them.
type handshakes interface {
	came(peer netip.Addr)
	failed(peer netip.Addr, err error)
}

func (l *shaken) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	at, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	peer := at.Addr().Unmap()
	l.watch.came(peer)
	return &shakenConn{Conn: tls.Server(c, l.config), peer: peer, watch: l.watch}, nil
}

// shakenConn does its handshake at the first read, within net/http's time for a request's header.
type shakenConn struct {
	*tls.Conn
	peer  netip.Addr
	once  sync.Once
	watch handshakes
}

func (c *shakenConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil && !c.ConnectionState().HandshakeComplete {
		c.once.Do(func() { c.watch.failed(c.peer, err) })
	}
	return n, err
}

// How long a machine is waited for that DHCP sent to HTTPS, how long its refusals are heard, and how many are
// remembered.
const (
	secureWait = 20 * time.Second
	secureTime = 10 * time.Minute
	maxSecure  = 4096
)

// secureBoots remembers which machines DHCP sent to HTTPS, and tells of those whose firmware does not take this server
// for what it is: the handshake fails, or, where firmware knows no certificate at all, nobody even knocks. Others who
// knock are none of its business. It is a task.
type secureBoots struct {
	problem   func(mac string, addr netip.Addr, why string)
	neighbour func(netip.Addr) string
	now       func() time.Time
	log       *slog.Logger
	ready     chan struct{}

	mu   sync.Mutex
	sent map[string]*secureBoot // by MAC
}

type secureBoot struct {
	at   time.Time
	addr netip.Addr
	came bool // or was told of
}

func newSecureBoots(problem func(string, netip.Addr, string), neighbour func(netip.Addr) string,
	log *slog.Logger) *secureBoots {
	return &secureBoots{problem: problem, neighbour: neighbour, now: time.Now, log: log, ready: make(chan struct{}),
		sent: map[string]*secureBoot{}}
}

// Name implements task.Task.
func (s *secureBoots) Name() string { return "HTTPS boots" }

// Ready implements task.Task.
func (s *secureBoots) Ready() <-chan struct{} { return s.ready }

// Run implements task.Task.
func (s *secureBoots) Run(ctx context.Context) error {
	tick := time.NewTicker(secureWait / 4)
	defer tick.Stop()
	close(s.ready)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.look()
		}
	}
}

// look tells of machines that were sent and did not come.
func (s *secureBoots) look() {
	away := map[string]netip.Addr{}
	s.mu.Lock()
	now := s.now()
	for mac, b := range s.sent {
		switch age := now.Sub(b.at); {
		case age > secureTime:
			delete(s.sent, mac)
		case age > secureWait && !b.came:
			b.came = true
			away[mac] = b.addr
		}
	}
	s.mu.Unlock()
	for mac, addr := range away {
		s.problem(mac, addr, fmt.Sprintf("DHCP sent its firmware to HTTPS, and nothing came for %v: firmware that "+
			"knows no certificate does not even ask; %s", secureWait, enrol))
	}
}

const enrol = "enrol the boot CA that `diskcast boot-ca` prints in its setup (TLS certificates), and see that its " +
	"clock is right"

// send notes that DHCP sent a machine to HTTPS.
func (s *secureBoots) send(mac string, addr netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent[mac] != nil || len(s.sent) < maxSecure {
		s.sent[mac] = &secureBoot{at: s.now(), addr: addr}
	}
}

// find is the machine at an address that was sent here; empty for others.
func (s *secureBoots) find(peer netip.Addr) string {
	mac := s.neighbour(peer) // a machine behind a router is none
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.sent[mac]; b != nil {
		return mac
	}
	for mac, b := range s.sent {
		if b.addr == peer {
			return mac
		}
	}
	return ""
}

// came takes in that somebody knocks.
func (s *secureBoots) came(peer netip.Addr) {
	mac := s.find(peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.sent[mac]; b != nil {
		b.came = true
	}
}

// failed takes in that a handshake failed.
func (s *secureBoots) failed(peer netip.Addr, err error) {
	mac := s.find(peer)
	s.mu.Lock()
	b := s.sent[mac]
	sent := b != nil && s.now().Sub(b.at) <= secureTime
	s.mu.Unlock()
	if !sent {
		s.log.Info("a TLS handshake for boot files failed", "peer", peer, "err", err)
		return
	}
	s.problem(mac, peer, fmt.Sprintf("its firmware does not boot by HTTPS from this server (%v): %s", err, enrol))
}
