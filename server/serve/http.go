package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/server/serve/lot"
)

// How long a connection may be silent, and how long the head of a request may take.
const (
	idleTime   = 2 * time.Minute
	headerTime = 10 * time.Second
)

// httpTask serves a handler on a TCP address.
type httpTask struct {
	name    string
	addr    string
	handler http.Handler
	tls     *tls.Config // nil: plain HTTP
	watch   handshakes  // nil: nobody is told of TLS's
	segment int         // the most bytes of one segment of TCP; 0: the kernel's choice
	log     *slog.Logger
	ready   chan struct{}
}

func newHTTP(name, addr string, h http.Handler, t *tls.Config, log *slog.Logger) *httpTask {
	return &httpTask{name: name, addr: addr, handler: h, tls: t, log: log, ready: make(chan struct{})}
}

func (t *httpTask) Name() string           { return t.name }
func (t *httpTask) Ready() <-chan struct{} { return t.ready }

func (t *httpTask) Run(ctx context.Context) error {
	ln, err := t.listen(ctx)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", t.addr, err)
	}
	ln = newLimitListener(ln, t.log)
	var kept *lot.Lot
	serve := func(srv *http.Server) error { return srv.Serve(ln) }
	switch {
	case t.tls != nil && t.watch != nil:
		ln = &shaken{ln, t.tls, t.watch}
	case t.tls != nil:
		kept, err = lot.New(ctx, tls.NewListener(ln, t.tls), lot.Limits{First: headerTime, Idle: idleTime}, t.log)
		if err != nil {
			ln.Close()
			return err
		}
		serve = kept.Serve
	}
	srv := &http.Server{
		Handler:           t.handler,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    16 << 10,
		// Requests end with the server: a long-poll returns at once, and the node asks the restarted server again.
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(t.log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() { done <- serve(srv) }() // ends with Shutdown or Close below
	close(t.ready)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		if err := srv.Close(); err != nil {
			t.log.Debug("close", "task", t.name, "err", err)
		}
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if kept != nil {
		if err := kept.Wait(grace); err != nil {
			t.log.Debug("connections are left", "task", t.name, "err", err)
		}
	}
	return nil
}

// bootSegment leaves room for a VLAN's tag in what the boot files come in: iPXE on a VLAN of UEFI firmware drops frames
// of more than 1514 bytes (1436 of the file and options, 20 of TCP, 40 of IPv6, 14 and 4 of Ethernet).
const bootSegment = 1436

// listen opens the port.
func (t *httpTask) listen(ctx context.Context) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		if t.segment == 0 {
			return nil
		}
		var err error
		cerr := c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, t.segment)
		})
		return errors.Join(cerr, err)
	}}
	return lc.Listen(ctx, "tcp", t.addr)
}
