package client

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/image"
	"github.com/diskcast/diskcast/internal/session"
)

// server is a node API of a few lines over real TLS.
type server struct {
	*httptest.Server
	token  atomic.Value // the only one that is valid
	hellos atomic.Int32
	mux    *http.ServeMux
	// accepted is called with the number of each connection, before its handshake.
	accepted atomic.Pointer[func(n int32)]
}

func newServer(t *testing.T) *server {
	s := &server{mux: http.NewServeMux()}
	s.token.Store("secret-1")
	s.mux.HandleFunc("POST /v1/node/hello", func(w http.ResponseWriter, r *http.Request) {
		s.hellos.Add(1)
		var h session.Hello
		if err := session.Decode(r.Body, &h); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(session.HelloReply{V: 1, Node: "n1", Token: s.token.Load().(string)})
	})
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/node/hello" && r.Header.Get("Authorization") != "Bearer "+s.token.Load().(string) {
			http.Error(w, "unknown token", http.StatusUnauthorized)
			return
		}
		s.mux.ServeHTTP(w, r)
	}))
	var conns atomic.Int32
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			if n, f := conns.Add(1), s.accepted.Load(); f != nil {
				(*f)(n)
			}
		}
	}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *server) pin() Pin { return PinOf(s.Certificate().RawSubjectPublicKeyInfo) }

func (s *server) client(t *testing.T, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{
		Server: s.URL, Pin: s.pin(), Backoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
		Timeout: 5 * time.Second,
		Hello: func() session.Hello {
			return session.Hello{Boot: "b", Inventory: session.Inventory{NICs: []session.NIC{{Name: "eth0"}}}}
		},
	}
	for _, c := range change {
		c(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func connected(t *testing.T, s *server, change ...func(*Options)) (*Client, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	c := s.client(t, change...)
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	return c, ctx
}

func TestPin(t *testing.T) {
	s := newServer(t)
	c, _ := connected(t, s)
	if c.Node() != "n1" {
		t.Errorf("node %q", c.Node())
	}
	if p, err := ParsePin(s.pin().String()); err != nil || p != s.pin() {
		t.Errorf("the pin does not survive its own text: %v, %v", p, err)
	}

	var log bytes.Buffer
	wrong := s.client(t, func(o *Options) {
		o.Pin[0]++
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// It has seen the wrong key several times when its patience ends: the first connection was the other client's.
	enough := func(n int32) {
		if n == 5 {
			cancel()
		}
	}
	s.accepted.Store(&enough)
	if err := wrong.Connect(ctx); !errors.Is(err, ErrPin) {
		t.Errorf("with another pin: %v, want ErrPin", err)
	}
	if !strings.Contains(log.String(), "another server answers") || !strings.Contains(log.String(), s.pin().String()) {
		t.Errorf("the log does not say what is wrong: %s", &log)
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("%d lines for one trouble:\n%s", n, &log)
	}
}

func TestNoSecretsInLog(t *testing.T) {
	s := newServer(t)
	var log bytes.Buffer
	var fails atomic.Int32
	s.mux.HandleFunc("POST /v1/node/n1/events", func(w http.ResponseWriter, r *http.Request) {
		if fails.Add(1) < 3 {
			http.Error(w, "later", http.StatusServiceUnavailable)
		}
	})
	c, ctx := connected(t, s, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	if err := c.PostEvents(ctx, session.Events{Boot: "b"}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the token is in the log: %s", &log)
	}
	if !strings.Contains(log.String(), "answers again") {
		t.Errorf("nothing about the end of the trouble: %s", &log)
	}
}

func TestDescriptor(t *testing.T) {
	s := newServer(t)
	var asked atomic.Value
	s.mux.HandleFunc("GET /v1/node/n1/descriptor", func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.URL.RawQuery)
		switch r.FormValue("after") {
		case "0":
			json.NewEncoder(w).Encode(session.Descriptor{V: 1, Serial: 7, Action: session.Idle})
		case "7":
			w.WriteHeader(http.StatusNoContent)
		case "8":
			fmt.Fprint(w, `{"v":2,"serial":9,"action":"idle"}`)
		default:
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"error": "no such node"}`)
		}
	})
	c, ctx := connected(t, s)
	d, err := c.Descriptor(ctx, 0, 30*time.Second)
	if err != nil || d == nil || d.Serial != 7 {
		t.Errorf("%+v, %v", d, err)
	}
	if asked.Load() != "after=0&wait=30s" {
		t.Errorf("asked %v", asked.Load())
	}
	if d, err := c.Descriptor(ctx, 7, time.Second); d != nil || err != nil {
		t.Errorf("no news: %+v, %v", d, err)
	}
	if _, err := c.Descriptor(ctx, 8, time.Second); !errors.Is(err, session.ErrVersion) {
		t.Errorf("another version: %v", err)
	}
	var status *StatusError
	if _, err := c.Descriptor(ctx, 9, time.Second); !errors.As(err, &status) || status.Code != 404 ||
		status.Text != "no such node" {
		t.Errorf("a refusal: %v", err)
	}
}

func TestServerForgets(t *testing.T) {
	s := newServer(t)
	s.mux.HandleFunc("POST /v1/node/n1/events", func(w http.ResponseWriter, r *http.Request) {})
	c, ctx := connected(t, s)
	s.token.Store("secret-2") // as after a new set-up of the server
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := c.PostEvents(ctx, session.Events{Boot: "b"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.hellos.Load(); n != 2 {
		t.Errorf("%d hellos, want the first and one more", n)
	}
}

// TestServerComesBack kills the server between two requests and starts it again on the same port.
func TestServerComesBack(t *testing.T) {
	s := newServer(t)
	handler := s.Config.Handler
	s.mux.HandleFunc("POST /v1/node/n1/events", func(w http.ResponseWriter, r *http.Request) {})
	failed := make(chan struct{}, 100)
	c, ctx := connected(t, s, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
			failed <- struct{}{}
			return len(p), nil
		}), nil))
	})
	addr, config := s.Listener.Addr().String(), s.TLS
	s.Close()
	posted := make(chan error, 1)
	go func() { posted <- c.PostEvents(ctx, session.Events{Boot: "b"}) }()
	<-failed // the client has said that it waits

	again := httptest.NewUnstartedServer(handler)
	again.Listener.Close()
	var err error
	if again.Listener, err = net.Listen("tcp", addr); err != nil {
		t.Fatal(err)
	}
	again.TLS = config
	again.StartTLS()
	defer again.Close()
	if err := <-posted; err != nil {
		t.Error(err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func TestBlobAndObject(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	s := newServer(t)
	var requests atomic.Int32
	// Each answer breaks off after a third of a megabyte: the client has to go on where it was.
	serve := func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.ServeContent(&breaking{ResponseWriter: w, left: 300_000}, r, "", time.Time{}, bytes.NewReader(body))
	}
	s.mux.HandleFunc("GET /v1/blobs/{digest}", serve)
	s.mux.HandleFunc("GET /v1/objects/{digest}", serve)
	c, ctx := connected(t, s)

	got, err := c.Blob(ctx, session.Blob{Digest: digest(body), Size: int64(len(body))})
	if err != nil || !bytes.Equal(got, body) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if n := requests.Load(); n < 5 {
		t.Errorf("%d requests: the connection did not break, and the test shows nothing", n)
	}

	var object []byte
	next := int64(1000)
	err = c.Object(ctx, "sha256:00", 1000, 700_000, func(off int64, p []byte) error {
		if off != next || len(p) > piece {
			t.Errorf("%d bytes from %d, expected them from %d", len(p), off, next)
		}
		next += int64(len(p))
		object = append(object, p...)
		return nil
	})
	if err != nil || !bytes.Equal(object, body[1000:701_000]) {
		t.Fatalf("%d bytes, %v", len(object), err)
	}

	if _, err := c.Blob(ctx, session.Blob{Digest: digest([]byte("x")), Size: int64(len(body))}); err == nil ||
		!strings.Contains(err.Error(), "image verify") {
		t.Errorf("a blob with another hash: %v", err)
	}
	for _, b := range []session.Blob{{Digest: "sha256:0", Size: 0}, {Digest: "sha256:0", Size: image.MaxIndex + 1},
		{Digest: "md5:0", Size: 1}} {
		if _, err := c.Blob(ctx, b); err == nil {
			t.Errorf("%+v was fetched", b)
		}
	}
	stop := errors.New("the disk is full")
	if err := c.Object(ctx, "sha256:00", 0, 100, func(int64, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want the error of the callback", err)
	}
}

// breaking ends the connection after some bytes.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.ResponseWriter.Write(p[:b.left])
		panic(http.ErrAbortHandler)
	}
	b.left -= len(p)
	return b.ResponseWriter.Write(p)
}

func TestObjectRefused(t *testing.T) {
	s := newServer(t)
	s.mux.HandleFunc("GET /v1/objects/whole",
		func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "no ranges here") })
	s.mux.HandleFunc("GET /v1/objects/other", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-3/4")
		w.WriteHeader(http.StatusPartialContent)
	})
	c, ctx := connected(t, s)
	for name, want := range map[string]string{"whole": "without a range", "other": "bytes 0-3/4", "none": "404"} {
		err := c.Object(ctx, name, 2, 2, func(int64, []byte) error { t.Error("bytes came"); return nil })
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// TestStall has a server that goes silent in the middle of an answer, as when its machine loses power.
func TestStall(t *testing.T) {
	s := newServer(t)
	var n atomic.Int32
	s.mux.HandleFunc("GET /v1/objects/x", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes 0-7/8")
		if n.Add(1) > 1 {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("01234567"))
			return
		}
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, "0123")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c, ctx := connected(t, s, func(o *Options) { o.Timeout = 200 * time.Millisecond })
	var got []byte
	err := c.Object(ctx, "x", 0, 8, func(_ int64, p []byte) error { got = append(got, p...); return nil })
	if err != nil || string(got) != "01234567" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWrongClock connects to a server whose certificate ran out long ago, as it seems to a node whose clock is wrong.
func TestWrongClock(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	handler := s.Config.Handler
	old := httptest.NewUnstartedServer(handler)
	old.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	old.StartTLS()
	defer old.Close()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	connected(t, s, func(o *Options) { o.Server, o.Pin = old.URL, PinOf(cert.RawSubjectPublicKeyInfo) })
}

// TestLargeIndex takes an index that is larger than what a node once took, and smaller than what a store does.
func TestLargeIndex(t *testing.T) {
	body := make([]byte, 129<<20)
	s := newServer(t)
	s.mux.HandleFunc("GET /v1/blobs/{digest}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
	c, ctx := connected(t, s)
	if got, err := c.Blob(ctx, session.Blob{Digest: digest(body), Size: int64(len(body))}); err != nil ||
		len(got) != len(body) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
