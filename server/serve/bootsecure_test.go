package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/netboot/bootca"
)

// heard passes on what it is told, and says so.
type heard struct {
	*secureBoots
	told chan error
}

func (h *heard) failed(peer netip.Addr, err error) {
	h.secureBoots.failed(peer, err)
	h.told <- err
}

// Firmware without any certificate does not knock at all; that is told once, and only of who did not come.
func TestNobodyKnocks(t *testing.T) {
	var told []string
	now := time.Now()
	s := newSecureBoots(func(mac string, a netip.Addr, why string) {
		told = append(told, mac+" "+a.String()+" "+why)
	}, func(netip.Addr) string { return "" }, slog.New(slog.DiscardHandler))
	s.now = func() time.Time { return now }
	one, two := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	s.send("one", one)
	s.send("two", two)
	s.came(two)
	s.look()
	if len(told) > 0 {
		t.Fatalf("told at once: %q", told)
	}
	now = now.Add(secureWait + time.Second)
	s.look()
	s.look()
	if len(told) != 1 || !strings.HasPrefix(told[0], "one 10.0.0.1 ") ||
		!strings.Contains(told[0], "diskcast boot-ca") {
		t.Errorf("told %q, want one word, of the first machine", told)
	}
	now = now.Add(secureTime)
	s.look()
	if len(s.sent) != 0 {
		t.Errorf("%d machines are remembered for ever", len(s.sent))
	}
}

// Firmware that does not know the authority is told of in words, once DHCP has sent it here; a stranger is not.
func TestHandshakeFailed(t *testing.T) {
	const mac = "52:54:00:00:00:01"
	a, err := bootca.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	conf, err := a.TLS(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	problems := make(chan string, 4)
	boots := newSecureBoots(func(m string, _ netip.Addr, why string) { problems <- m + " " + why },
		func(netip.Addr) string { return mac }, slog.New(slog.DiscardHandler))
	watch := &heard{boots, make(chan error, 4)}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	srv := newHTTP("files", addr, http.NotFoundHandler(), conf, slog.New(slog.DiscardHandler))
	srv.watch = watch
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }() // ends with ctx
	defer func() { cancel(); <-done }()
	<-srv.Ready()

	ask := func(roots *x509.CertPool) error {
		t.Helper()
		c, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots}}).DialContext(ctx, "tcp", addr)
		if err == nil {
			c.Close()
		}
		return err
	}
	told := func() string {
		select {
		case <-watch.told:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody was told of the handshake that failed")
		}
		select {
		case p := <-problems:
			return p
		default:
			return ""
		}
	}
	if err := ask(x509.NewCertPool()); err == nil {
		t.Fatal("a client without authorities believed the server")
	}
	if got := told(); got != "" {
		t.Errorf("of a stranger: %q, want nothing", got)
	}
	boots.send(mac, netip.Addr{})
	if err := ask(x509.NewCertPool()); err == nil {
		t.Fatal("a client without authorities believed the server")
	}
	if got := told(); !strings.HasPrefix(got, mac) || !strings.Contains(got, "diskcast boot-ca") {
		t.Errorf("of a machine that was sent here: %q, want what to do", got)
	}
	if err := ask(a.Pool()); err != nil {
		t.Errorf("a client that knows the authority: %v", err)
	}
	later := time.Now().Add(secureTime + time.Minute)
	boots.now = func() time.Time { return later }
	if err := ask(x509.NewCertPool()); err == nil {
		t.Fatal("a client without authorities believed the server")
	}
	if got := told(); got != "" {
		t.Errorf("long after DHCP sent it: %q, want nothing", got)
	}
}
