package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pin/tftp/v3"

	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/web"
)

// outside is somebody on the LAN with two addresses, before a real server.
type outside struct {
	*lab
	t *testing.T
}

const (
	firstAddr, secondAddr = "10.77.0.2", "10.77.0.3"
	api, files            = "10.77.0.1:8443", "10.77.0.1:8080"
)

func newOutside(t *testing.T) *outside {
	o := &outside{newLab(t), t}
	o.n.DoClient(func() {
		for _, a := range []string{firstAddr, secondAddr} {
			if err := nettest.AddAddr(nettest.Client, a+"/24"); err != nil {
				t.Error(err)
			}
		}
	})
	return o
}

// dial opens a connection from an address of the client's side.
func (o *outside) dial(from, to string) (c net.Conn, err error) {
	d := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	o.n.DoClient(func() { c, err = d.Dial("tcp4", to) })
	return c, err
}

func (o *outside) tls(from string) *tls.Conn {
	o.t.Helper()
	c, err := o.dial(from, api)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { c.Close() })
	return tls.Client(c, identity.PinnedTLS(o.info.Pin))
}

// raw sends bytes as they are, and returns the answer's status and beginning; 0 for a connection that is closed.
func (o *outside) raw(c net.Conn, text string) (code int, body string) {
	o.t.Helper()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, _ = io.WriteString(c, text) // the server may have enough before the end
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, err.Error()
	}
	defer a.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	return a.StatusCode, string(b)
}

// client is one that makes many requests, from an address.
func (o *outside) client(from string) *http.Client {
	tr := &http.Transport{TLSClientConfig: identity.PinnedTLS(o.info.Pin), MaxIdleConnsPerHost: 16,
		DialContext: func(_ context.Context, _, to string) (net.Conn, error) { return o.dial(from, to) }}
	o.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (o *outside) ask(c *http.Client, method, path, token string, body io.Reader) (code int, text string) {
	o.t.Helper()
	r, err := http.NewRequest(method, "https://"+api+path, body)
	if err != nil {
		o.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	a, err := c.Do(r)
	if err != nil {
		o.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	if err != nil {
		o.t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

// TestFromOutside is a stranger on the LAN before a real server, with real connections.
func TestFromOutside(t *testing.T) {
	o := newOutside(t)
	secret, err := os.ReadFile(o.info.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(secret))
	key, err := os.ReadFile(filepath.Join(o.state, "server.pem"))
	if err != nil {
		t.Fatal(err)
	}
	leaks := func(text string) bool {
		return strings.Contains(text, root) || strings.Contains(text, "PRIVATE KEY") ||
			strings.Contains(text, "root:x:0") || len(key) > 100 && strings.Contains(text, string(key[:100]))
	}
	t.Run("paths", func(t *testing.T) { o.paths(t, leaks) })
	t.Run("oversized", func(t *testing.T) { o.oversized(t, root) })
	t.Run("slow", func(t *testing.T) { o.slow(t, root) })
	t.Run("wrong tokens", func(t *testing.T) { o.wrongTokens(t, root) })
	t.Run("roles", func(t *testing.T) { o.roles(t) })
	t.Run("forms", func(t *testing.T) { o.forms(t) })
	if code, _ := o.ask(o.client(secondAddr), "GET", "/readyz", "", nil); code != 200 {
		t.Errorf("after all that the server answers %d", code)
	}
}

// paths asks for files beside those that are served, in every spelling, by HTTP, HTTPS and TFTP.
func (o *outside) paths(t *testing.T, leaks func(string) bool) {
	const last = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	var wanted []string
	for _, file := range []string{"operator.token", "server.pem", "state.db", "sealed.key"} {
		for _, up := range []string{"../", "%2e%2e/", "..%2f", "%2e%2e%2f", "..\\", "..%5c", "....//", "..;/",
			"%252e%252e%252f"} {
			wanted = append(wanted, up+file, up+up+up+file, "x/"+up+up+file)
		}
	}
	wanted = append(wanted, "../../../../../../../../etc/passwd", "//etc/passwd", "/etc/passwd",
		"%00/../operator.token")
	for _, w := range wanted {
		for _, base := range []string{"/boot/", "/"} {
			c, err := o.dial(firstAddr, files)
			if err != nil {
				t.Fatal(err)
			}
			if code, text := o.raw(c, "GET "+base+w+last); leaks(text) {
				t.Errorf("HTTP gives %s%s: %d", base, w, code)
			}
		}
	}
	for _, w := range wanted {
		for _, base := range []string{"/static/1/", "/v1/images/", "/v1/blobs/", "/debug/pprof/"} {
			if code, text := o.raw(o.tls(firstAddr), "GET "+base+w+last); leaks(text) {
				t.Errorf("HTTPS gives %s%s: %d", base, w, code)
			}
		}
	}
	o.n.DoClient(func() {
		c, err := tftp.NewClient("10.77.0.1:69")
		if err != nil {
			t.Error(err)
			return
		}
		c.SetTimeout(2 * time.Second)
		c.SetRetries(1)
		for _, w := range []string{"../operator.token", "../../etc/passwd", "/../operator.token", "..\\operator.token",
			"./../operator.token", "x/../../operator.token"} {
			r, err := c.Receive(w, "octet")
			if err != nil {
				continue
			}
			var b bytes.Buffer
			if _, err := r.WriteTo(&b); err == nil && leaks(b.String()) {
				t.Errorf("TFTP gives %s", w)
			}
		}
	})
}

// oversized sends too much of everything, also more than is announced and without an end.
func (o *outside) oversized(t *testing.T, root string) {
	auth := "Authorization: Bearer " + root + "\r\n"
	big := strings.Repeat("x", 64<<10)
	const length, form = "Content-Length: ", "Content-Type: application/x-www-form-urlencoded\r\n"
	for name, c := range map[string]struct {
		line, more string // the request's line; further headers, the empty line and the body
		want       []int
	}{
		"a header":         {"GET /v1/machines", "X: " + big + "\r\n\r\n", []int{431}},
		"a path":           {"GET /" + big, "\r\n", []int{431}},
		"a token":          {"GET /v1/machines", "Authorization: Bearer " + big[:12<<10] + "\r\n\r\n", []int{401}},
		"a cookie":         {"GET /machines", "Cookie: __Host-diskcast=" + big[:12<<10] + "\r\n\r\n", []int{303}},
		"an announced one": {"POST /v1/sessions", auth + length + "99999999999\r\n\r\n", []int{413}},
		"a hello":          {"POST /v1/node/hello", length + "9999999\r\n\r\n", []int{413}},
		"no body's body":   {"GET /v1/machines", auth + length + "5\r\n\r\nhello", []int{413}},
		"a form":           {"POST /login", form + length + "99999999\r\n\r\ncsrf=" + big + big, []int{403, 413}},
		"without an end": {"POST /v1/sessions", auth + "Transfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat("10000\r\n"+big+"\r\n", 40), []int{413, 0}},
		"two lengths": {"POST /v1/sessions", auth + length + "2\r\n" + length + "9\r\n\r\n{}", []int{400}},
	} {
		code, text := o.raw(o.tls(secondAddr), c.line+" HTTP/1.1\r\nHost: x\r\n"+c.more)
		ok := false
		for _, w := range c.want {
			ok = ok || code == w
		}
		if !ok {
			t.Errorf("%s: %d %.200s; want %v", name, code, text, c.want)
		}
	}
}

// slow opens as many connections as one address may have, each of which never comes to its end; others are served
// meanwhile, and all are closed in the end.
func (o *outside) slow(t *testing.T, root string) {
	const conns = 300
	var all sync.WaitGroup
	began := time.Now()
	closed := make(chan time.Duration, conns)
	for i := range conns {
		var c net.Conn
		if c0, err := o.dial(firstAddr, api); err != nil {
			t.Fatal(err)
		} else if c = c0; i%3 > 0 {
			c = tls.Client(c0, identity.PinnedTLS(o.info.Pin))
		}
		t.Cleanup(func() { c.Close() })
		all.Go(func() { // ends when the server closes the connection
			text := []byte("\x16\x03\x01\x02\x00\x01") // a third: the beginning of a handshake
			switch i % 3 {
			case 1:
				text = []byte("GET /v1/machines HTTP/1.1\r\nHost: x\r\nX-Slow: y")
			case 2:
				text = []byte("POST /v1/node/hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
			}
			_, _ = c.Write(text)
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
			// An answer may come before the end.
			if _, err := io.Copy(io.Discard, c); err != nil && os.IsTimeout(err) {
				t.Errorf("connection %d is still open after two minutes", i)
			}
			closed <- time.Since(began)
		})
	}
	c := o.client(secondAddr)
	for range 20 {
		before := time.Now()
		code, text := o.ask(c, "GET", "/v1/machines", root, nil)
		if code != 200 || time.Since(before) > 10*time.Second {
			t.Errorf("beside slow ones: %d %.100s after %v", code, text, time.Since(before))
		}
	}
	all.Wait()
	close(closed)
	most := time.Duration(0)
	for d := range closed {
		most = max(most, d)
	}
	t.Logf("the last of %d slow connections was closed after %v", conns, most.Round(time.Second))
}

// wrongTokens tries 10,000 from one address: most are not even looked at, and nobody else is kept out.
func (o *outside) wrongTokens(t *testing.T, root string) {
	var mu sync.Mutex
	codes := map[int]int{}
	var all sync.WaitGroup
	for i := range 8 {
		c := o.client(firstAddr)
		all.Go(func() {
			for j := range 10000 / 8 {
				code, _ := o.ask(c, "GET", "/v1/machines", fmt.Sprintf("wrong-%d-%d", i, j), nil)
				mu.Lock()
				codes[code]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if codes[401]+codes[429] != 10000 || codes[401] > 500 {
		t.Errorf("10,000 wrong tokens: %v", codes)
	}
	for _, from := range []string{firstAddr, secondAddr} {
		if code, text := o.ask(o.client(from), "GET", "/v1/machines", root, nil); code != 200 {
			t.Errorf("the right token from %s: %d %.200s", from, code, text)
		}
	}
	if code, _ := o.ask(o.client(secondAddr), "GET", "/v1/machines", "wrong", nil); code != 401 {
		t.Errorf("a wrong token from elsewhere: %d", code)
	}
}

// roles asks each request of the server's table with a token of each role.
func (o *outside) roles(t *testing.T) {
	rank := map[string]int{access.Viewer: 1, access.Operator: 2, access.Admin: 3}
	tokens := map[string]string{}
	for role := range rank {
		var made doc.TokenMade
		if err := json.Unmarshal([]byte(o.diskcast("token", "create", "t-"+role, "--role", role, "--json")),
			&made); err != nil {
			t.Fatal(err)
		}
		tokens[role] = made.Secret
	}
	c := o.client(secondAddr)
	asked := 0
	for _, rt := range web.Routes() {
		want, named := rank[string(rt.Role)]
		if !named {
			continue // nodes' and strangers': server/web asks them
		}
		path := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(rt.Path, "none")
		for role, token := range tokens {
			if strings.HasPrefix(path, "/debug/") || path == "/v1/events" {
				path += "?x=y" // which is refused, behind the role: they would go on for long
			}
			var body io.Reader
			if rt.Body > 0 {
				body = strings.NewReader("x")
			}
			code, text := o.ask(c, rt.Method, path, token, body)
			if asked++; code == 401 || (code == 403) != (rank[role] < want) || code >= 500 && code != 503 {
				t.Errorf("%s as %s: %d %.200s", rt.Pattern(), role, code, text)
			}
		}
	}
	t.Logf("%d requests", asked)
}

// forms sends the page what no page of it has sent.
func (o *outside) forms(t *testing.T) {
	c := o.client(secondAddr)
	for name, r := range map[string]struct {
		path, origin, site string
		want               int
	}{
		"a login without its page":      {"/login", "", "", 403},
		"a login from elsewhere":        {"/login", "https://evil.example", "cross-site", 403},
		"a session without a login":     {"/start", "", "", 303},
		"a session from elsewhere":      {"/start", "https://evil.example", "cross-site", 303},
		"power without a login":         {"/machines/m1/power/off", "", "", 303},
		"a link's login, nobody's link": {"/login/link", "", "", 403},
	} {
		req, err := http.NewRequest("POST", "https://"+api+r.path,
			strings.NewReader("csrf=x&token=y&what=image:debian&on=all"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Cookie", "__Host-diskcast=fixed; __Host-diskcast-visit=fixed")
		if r.origin != "" {
			req.Header.Set("Origin", r.origin)
			req.Header.Set("Sec-Fetch-Site", r.site)
		}
		a, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if to := a.Header.Get("Location"); a.StatusCode != r.want || r.want == 303 && !strings.HasPrefix(to, "/login") {
			t.Errorf("%s: %d to %q, want %d", name, a.StatusCode, to, r.want)
		}
		for _, set := range a.Cookies() {
			if set.Name == "__Host-diskcast" && set.Value == "fixed" {
				t.Errorf("%s: a cookie of somebody else's choosing is taken on", name)
			}
		}
		if csp := a.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: its policy is %q", name, csp)
		}
	}
}
