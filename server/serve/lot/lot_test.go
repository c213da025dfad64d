package lot

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing"
	"time"
)

// rig is a server with a lot, and a client of it.
type rig struct {
	t      *testing.T
	lot    *Lot
	url    string
	client *http.Client
	end    context.CancelFunc
	done   chan error
}

// begin serves; a test's own handler is below /v1/node/own.
func begin(t *testing.T, idle time.Duration, own http.HandlerFunc) *rig {
	t.Helper()
	some := httptest.NewUnstartedServer(nil) // its certificate
	some.StartTLS()
	config, client := some.TLS.Clone(), some.Client()
	some.Close()
	config.NextProtos = []string{"http/1.1"}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	r := &rig{t: t, url: "https://" + ln.Addr().String(), client: client, end: end, done: make(chan error, 1)}
	r.lot = New(ctx, tls.NewListener(ln, config), idle, slog.New(slog.DiscardHandler))
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/node/say", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Is", "kept")
		if len(b) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write(b)
	})
	if own != nil {
		mux.HandleFunc("/v1/node/own", own)
	}
	srv := &http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	go func() { r.done <- r.lot.Serve(srv) }() // ends with Close
	t.Cleanup(func() {
		end()
		srv.Close()
		<-r.done
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.lot.Wait(grace); err != nil {
			t.Errorf("connections are left: %v", err)
		}
		client.CloseIdleConnections()
	})
	return r
}

// ask makes a request, and says whether its connection was one that is known.
func (r *rig) ask(method, path, body string) (answer string, code int, again bool) {
	r.t.Helper()
	ctx := httptrace.WithClientTrace(r.t.Context(), &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { again = i.Reused }})
	q, err := http.NewRequestWithContext(ctx, method, r.url+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := r.client.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(a.Header["Date"]) != 1 {
		r.t.Errorf("an answer has the dates %q", a.Header["Date"])
	}
	return string(b), a.StatusCode, again
}

// TestAnswers come whole on one connection, whoever writes them.
func TestAnswers(t *testing.T) {
	r := begin(t, time.Minute, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("do") {
		case "flush":
			fmt.Fprint(w, "one ")
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			fmt.Fprint(w, "two")
		case "unread":
			w.WriteHeader(http.StatusConflict)
			fmt.Fprint(w, "no")
		case "nothing":
		}
	})
	large := strings.Repeat("0123456789abcdef", maxAnswer/8)
	for i, c := range []struct {
		method, path, body, want string
		code                     int
	}{
		{"GET", "/v1/node/say", "", "", 204}, {"POST", "/v1/node/say", "hello", "hello", 200},
		{"POST", "/v1/node/say", "hello again", "hello again", 200}, {"POST", "/v1/node/say", large, large, 200},
		{"GET", "/v1/node/own?do=flush", "", "one two", 200}, {"GET", "/v1/node/own?do=nothing", "", "", 200},
		{"POST", "/v1/node/own?do=unread", "hello", "no", 409}, {"GET", "/v1/node/say", "", "", 204},
		{"GET", "/v1/node/none", "", "404 page not found\n", 404},
		{"POST", "/v1/node/own?do=nothing", "", "", 200}, {"DELETE", "/v1/node/say", "", "", 204},
	} {
		answer, code, again := r.ask(c.method, c.path, c.body)
		if answer != c.want || code != c.code || again != (i > 0) {
			t.Errorf("%s %s %.10q: got %.20q %d, known connection %v; want %.20q %d, %v", c.method, c.path, c.body,
				answer, code, again, c.want, c.code, i > 0)
		}
	}
}

// TestLater: an answer comes when it is made, on the connection of before, and the next request is served there.
func TestLater(t *testing.T) {
	waits, go_ := make(chan struct{}), make(chan struct{})
	r := begin(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Before", "1")
		if !w.(*answer).Later(func(_ context.Context, w http.ResponseWriter) {
			close(waits)
			<-go_
			if err := http.NewResponseController(w).Flush(); err == nil {
				t.Error("what is kept is flushed")
			}
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprint(w, strings.Repeat("x", 2*maxAnswer))
		}) {
			t.Error("it is not to come later")
		}
	})
	r.ask("GET", "/v1/node/say", "")
	go func() { <-waits; close(go_) }() // ends when the request waits
	answer, code, again := r.ask("GET", "/v1/node/own", "")
	if len(answer) != 2*maxAnswer || code != http.StatusAccepted || !again {
		t.Errorf("got %d bytes, %d, known connection %v", len(answer), code, again)
	}
	if _, code, again := r.ask("GET", "/v1/node/say", ""); code != 204 || !again {
		t.Errorf("got %d, known connection %v", code, again)
	}
}

// TestGone: who does not wait any more ends what makes his answer, and a server that ends has it made.
func TestGone(t *testing.T) {
	for _, c := range []string{"the peer goes", "the server ends"} {
		t.Run(c, func(t *testing.T) {
			waits, over := make(chan struct{}), make(chan struct{})
			r := begin(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
				w.(*answer).Later(func(ctx context.Context, w http.ResponseWriter) {
					close(waits)
					<-ctx.Done()
					w.WriteHeader(http.StatusServiceUnavailable)
					close(over)
				})
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			q, err := http.NewRequestWithContext(ctx, "GET", r.url+"/v1/node/own", nil)
			if err != nil {
				t.Fatal(err)
			}
			got := make(chan int, 1)
			go func() { // ends with the answer
				a, err := r.client.Do(q)
				if err != nil {
					got <- 0
					return
				}
				a.Body.Close()
				got <- a.StatusCode
			}()
			<-waits
			if c == "the peer goes" {
				cancel()
			} else {
				r.end()
			}
			<-over
			if code := <-got; c != "the peer goes" && code != http.StatusServiceUnavailable {
				t.Errorf("got %d", code)
			}
		})
	}
}

// late makes an answer later.
func late(w http.ResponseWriter, _ *http.Request) {
	w.(*answer).Later(func(_ context.Context, w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) })
}

// TestSilent: a connection on which nothing comes is closed after a time.
func TestSilent(t *testing.T) {
	r := begin(t, 50*time.Millisecond, late)
	c := r.dial()
	if code, _ := c.get("/v1/node/own"); code != 204 {
		t.Errorf("got %d", code)
	}
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Errorf("got %v", err)
	}
}

// TestPipelined: of requests that are sent without waiting for answers the first is answered, and the sender is told
// that no other will be.
func TestPipelined(t *testing.T) {
	r := begin(t, time.Minute, late)
	c := r.dial()
	one := "GET /v1/node/own HTTP/1.1\r\nHost: x\r\n\r\n"
	fmt.Fprint(c.conn, one+one)
	if code, end := c.answer(); code != 204 || !end {
		t.Errorf("got %d, connection ends %v", code, end)
	}
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Errorf("got %v", err)
	}
}

// TestPanic: what makes an answer later and fails takes its connection with it, and nothing else.
func TestPanic(t *testing.T) {
	r := begin(t, time.Minute, func(w http.ResponseWriter, _ *http.Request) {
		w.(*answer).Later(func(context.Context, http.ResponseWriter) { panic("a defect") })
	})
	c := r.dial()
	fmt.Fprint(c.conn, "GET /v1/node/own HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Errorf("got %v", err)
	}
	if _, code, _ := r.ask("GET", "/v1/node/say", ""); code != 204 {
		t.Errorf("the next one: %d", code)
	}
}

// TestStrangers: peers who begin no handshake keep nobody out.
func TestStrangers(t *testing.T) {
	r := begin(t, time.Minute, nil)
	for range 300 {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if code, _ := r.dial().get("/v1/node/say"); code != 204 {
				t.Errorf("got %d", code)
			}
		})
	}
	all.Wait()
}

// dialed is a connection of which the bytes are to be seen.
type dialed struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (r *rig) dial() *dialed {
	r.t.Helper()
	config := r.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	config.ServerName, config.NextProtos = "example.com", nil
	conn, err := tls.Dial("tcp", strings.TrimPrefix(r.url, "https://"), config)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { conn.Close() })
	return &dialed{r.t, conn, bufio.NewReader(conn)}
}

func (d *dialed) get(path string) (code int, end bool) {
	fmt.Fprintf(d.conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
	return d.answer()
}

func (d *dialed) answer() (code int, end bool) {
	d.t.Helper()
	a, err := http.ReadResponse(d.in, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer a.Body.Close()
	return a.StatusCode, a.Close
}
