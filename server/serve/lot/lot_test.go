package lot

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
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

// long are limits that no test comes near.
var long = Limits{First: time.Minute, Idle: time.Minute}

// begin serves; a test's own handler is below /v1/node/own.
func begin(t *testing.T, limit Limits, own http.HandlerFunc) *rig {
	t.Helper()
	if !understood {
		t.Fatal("crypto/tls has other fields than those that room.go knows")
	}
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
	r.lot, err = New(ctx, tls.NewListener(ln, config), limit,
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
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
	r := begin(t, long, func(w http.ResponseWriter, r *http.Request) {
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
	large := strings.Repeat("0123456789abcdef", 1<<10)
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
	for _, c := range []struct{ name, method, body string }{{"without a body", "GET", ""},
		{"with one", "POST", "hello"}} {
		t.Run(c.name, func(t *testing.T) {
			waits := make(chan func(), 1)
			looked := 0
			r := begin(t, long, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Before", "1")
				b, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if !w.(*asked).Later(time.Minute, func(end error, w http.ResponseWriter, again func()) bool {
					if looked++; looked < 3 {
						waits <- again
						return false
					}
					if err := http.NewResponseController(w).Flush(); err == nil {
						t.Error("what is kept is flushed")
					}
					w.WriteHeader(http.StatusAccepted)
					fmt.Fprint(w, string(b), strings.Repeat("x", 1<<14))
					return true
				}) {
					w.WriteHeader(http.StatusServiceUnavailable)
				}
			})
			r.ask("GET", "/v1/node/say", "")
			go func() { (<-waits)(); (<-waits)() }() // ends when the request has been looked at twice
			answer, code, again := r.ask(c.method, "/v1/node/own", c.body)
			// A request that comes before net/http has done with the one before it is net/http's own.
			for tries := 0; code == http.StatusServiceUnavailable && tries < 100; tries++ {
				answer, code, again = r.ask(c.method, "/v1/node/own", c.body)
			}
			if len(answer) != len(c.body)+1<<14 || code != http.StatusAccepted || !again {
				t.Errorf("got %d bytes, %d, known connection %v", len(answer), code, again)
			}
			if _, code, again := r.ask("GET", "/v1/node/say", ""); code != 204 || !again {
				t.Errorf("got %d, known connection %v", code, again)
			}
		})
	}
}

// TestGone: an answer for which nobody waits any more is made no more, and a server that ends, or a time that is over,
// has it made.
func TestGone(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit time.Duration
		want  error
	}{{"the peer goes", time.Minute, context.Canceled}, {"the server ends", time.Minute, context.Canceled},
		{"the time is over", 50 * time.Millisecond, context.DeadlineExceeded}} {
		t.Run(c.name, func(t *testing.T) {
			waits, over := make(chan struct{}, 1), make(chan error, 1)
			r := begin(t, long, func(w http.ResponseWriter, _ *http.Request) {
				w.(*asked).Later(c.limit, func(end error, w http.ResponseWriter, _ func()) bool {
					if end == nil {
						waits <- struct{}{}
						return false
					}
					w.WriteHeader(http.StatusServiceUnavailable)
					over <- end
					return true
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
			switch c.name {
			case "the peer goes":
				cancel()
			case "the server ends":
				r.end()
			}
			if end := <-over; !errors.Is(end, c.want) {
				t.Errorf("it ends with %v, want %v", end, c.want)
			}
			if code := <-got; c.name != "the peer goes" && code != http.StatusServiceUnavailable {
				t.Errorf("got %d", code)
			}
		})
	}
}

// TestGoneAtOnce: a handler that waits in net/http's own way learns that its peer has gone.
func TestGoneAtOnce(t *testing.T) {
	over := make(chan struct{})
	begun := make(chan struct{})
	r := begin(t, long, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(over)
	})
	c := r.dial()
	fmt.Fprint(c.conn, "GET /v1/node/own HTTP/1.1\r\nHost: x\r\n\r\n")
	<-begun
	c.conn.Close()
	<-over
}

// late makes an answer later.
func late(w http.ResponseWriter, _ *http.Request) {
	if !w.(*asked).Later(time.Minute, func(_ error, w http.ResponseWriter, _ func()) bool {
		w.WriteHeader(http.StatusNoContent)
		return true
	}) {
		w.WriteHeader(http.StatusNoContent)
	}
}

// TestSilent: a connection on which nothing comes is closed after a time.
func TestSilent(t *testing.T) {
	r := begin(t, Limits{First: time.Minute, Idle: 50 * time.Millisecond}, late)
	c := r.dial()
	if code, _ := c.get("/v1/node/own"); code != 204 {
		t.Errorf("got %d", code)
	}
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Errorf("got %v", err)
	}
}

// TestPipelined: of requests that are sent without waiting for answers each is answered.
func TestPipelined(t *testing.T) {
	for name, one := range map[string]string{"late": "GET /v1/node/own HTTP/1.1\r\nHost: x\r\n\r\n",
		"at once":   "GET /v1/node/say HTTP/1.1\r\nHost: x\r\n\r\n",
		"with body": "POST /v1/node/own HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"} {
		t.Run(name, func(t *testing.T) {
			r := begin(t, long, late)
			c := r.dial()
			fmt.Fprint(c.conn, one+one+one)
			for range 3 {
				if code, end := c.answer(); code != 204 || end {
					t.Errorf("got %d, connection ends %v", code, end)
				}
			}
			if code, _ := c.get("/v1/node/own"); code != 204 {
				t.Errorf("the next one: %d", code)
			}
		})
	}
}

// TestNextWhileWaiting: a request that comes while another one waits for its answer is answered after it.
func TestNextWhileWaiting(t *testing.T) {
	waits := make(chan func(), 1)
	made := false
	r := begin(t, long, func(w http.ResponseWriter, _ *http.Request) {
		w.(*asked).Later(time.Minute, func(_ error, w http.ResponseWriter, again func()) bool {
			if !made {
				made = true
				waits <- again
				return false
			}
			w.WriteHeader(http.StatusAccepted)
			return true
		})
	})
	c := r.dial()
	fmt.Fprint(c.conn, "GET /v1/node/own HTTP/1.1\r\nHost: x\r\n\r\n")
	again := <-waits
	fmt.Fprint(c.conn, "GET /v1/node/say HTTP/1.1\r\nHost: x\r\n\r\n")
	again()
	for _, want := range []int{202, 204} {
		if code, _ := c.answer(); code != want {
			t.Errorf("got %d, want %d", code, want)
		}
	}
}

// TestPanic: what makes an answer later and fails takes its connection with it, and nothing else.
func TestPanic(t *testing.T) {
	r := begin(t, long, func(w http.ResponseWriter, _ *http.Request) {
		w.(*asked).Later(time.Minute, func(error, http.ResponseWriter, func()) bool { panic("a defect") })
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

// TestPlainHTTP: who speaks no TLS is told so.
func TestPlainHTTP(t *testing.T) {
	r := begin(t, long, nil)
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	b, _ := io.ReadAll(c) // the rest of the request was not read, which may be told as an error
	if !strings.Contains(string(b), "400 Bad Request") {
		t.Errorf("got %q", b)
	}
}

// TestSlow: who begins a handshake or a request and does not end it is closed, and more of them than are served at a
// time keep nobody else out.
func TestSlow(t *testing.T) {
	r := begin(t, Limits{First: 5 * time.Second, Idle: time.Minute}, nil)
	var slow []net.Conn
	for i := range 2 * most {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "\x16\x03\x01\x02\x00\x01"[:1+i%6])
		slow = append(slow, c)
	}
	if _, code, _ := r.ask("GET", "/v1/node/say", ""); code != 204 {
		t.Errorf("got %d", code)
	}
	for i, c := range slow {
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil && os.IsTimeout(err) {
			t.Fatalf("connection %d is open after a minute", i)
		}
	}
}

// TestStrangers: peers who begin no handshake keep nobody out.
func TestStrangers(t *testing.T) {
	r := begin(t, long, nil)
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
