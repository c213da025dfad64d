package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"oras.land/oras-go/v2/registry/remote/retry"
)

// silence is how long a registry may say nothing and take nothing. Between the last byte of a blob and its answer, it
// moves that blob to its place.
const silence = 2 * time.Minute

// SilentError says that a registry holds a connection and does nothing with it. Asking again changes nothing.
type SilentError struct {
	Addr string // address and port
	For  time.Duration
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("the registry at %s takes connections and has said nothing for %v: look at its log, or whether "+
		"something stands between", e.Addr, e.For)
}

func silent(err error) bool {
	_, ok := errors.AsType[*SilentError](err)
	return ok
}

// patient is a client that tries again when a registry is busy, and gives up one that is silent for so long.
func patient(limit time.Duration) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &heard{c, limit}, nil
	}
	return &http.Client{Transport: retry.NewTransport(t)}
}

// heard is a connection that ends when nothing has passed over it, either way, for so long.
type heard struct {
	net.Conn
	limit time.Duration
}

func (h *heard) Read(p []byte) (int, error)  { return h.pass(h.Conn.Read, p) }
func (h *heard) Write(p []byte) (int, error) { return h.pass(h.Conn.Write, p) }

func (h *heard) pass(do func([]byte) (int, error), p []byte) (int, error) {
	if err := h.SetDeadline(time.Now().Add(h.limit)); err != nil { // of what waits in the other direction, too
		return 0, err
	}
	n, err := do(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = &SilentError{h.RemoteAddr().String(), h.limit}
	}
	return n, err
}
