package serve

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
	"github.com/diskcast/diskcast/server/engine/enginetest"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// TestTooLargeIsSaid sends every request of the table that has a body more than it takes, by programs that send all of
// it before they read, in one piece and chunked: each reads the answer. The client shows it.
func TestTooLargeIsSaid(t *testing.T) {
	id, err := identity.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(t.Context(), engine.Config{Store: store.NewMemory(), Images: &enginetest.Images{},
		Casts: &enginetest.Casts{}, Addr: netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(newToldWhole(web.New(e, nil, nil, id.Token, slog.New(slog.DiscardHandler))))
	srv.Start()
	defer srv.Close()
	// The connection is the kernel's own, without TLS: a write to one that is closed fails as soon as it can.
	send := func(method, path, head string, body []byte) string {
		t.Helper()
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err = fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n%s\r\n\r\n", method, path,
			id.Token, head); err == nil {
			for len(body) > 0 && err == nil {
				n := min(len(body), 64<<10)
				_, err = c.Write(body[:n])
				body = body[n:]
			}
		}
		if err != nil {
			t.Errorf("%s %s (%s): could not be sent: %v", method, path, head, err)
			return ""
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s %s (%s): no answer: %v", method, path, head, err)
			return ""
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("%s %s (%s): %v", method, path, head, err)
		}
		return resp.Status + " " + string(b)
	}
	for _, rt := range web.Routes() {
		if rt.Body > 8<<20 {
			continue // what is that large is an upload, whose sender reads while he sends
		}
		path := strings.NewReplacer("{$}", "", "{", "", "}", "", "...", "").Replace(rt.Path)
		large := bytes.Repeat([]byte{' '}, int(rt.Body)+3<<20)
		if got := send(rt.Method, path, fmt.Sprintf("Content-Length: %d", len(large)), large); !strings.Contains(got,
			"413") {
			t.Errorf("%s: %s", rt.Pattern(), got)
		}
		if rt.Body > 0 && rt.Role == web.Operator {
			chunked := fmt.Appendf(nil, "%x\r\n%s\r\n0\r\n\r\n", len(large), large)
			if got := send(rt.Method, path, "Transfer-Encoding: chunked", chunked); got == "" {
				t.Errorf("%s chunked: no answer", rt.Pattern())
			}
		}
	}
	tlsSrv := httptest.NewUnstartedServer(newToldWhole(web.New(e, nil, nil, id.Token, slog.New(slog.DiscardHandler))))
	tlsSrv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	tlsSrv.StartTLS()
	defer tlsSrv.Close()
	c, err := client.New(tlsSrv.URL, client.Credentials{Token: id.Token, Pin: id.Pin})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		_, err = c.Create(context.Background(), doc.Spec{V: 1, Notes: strings.Repeat("x", 3<<20)})
		if err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Fatalf("the client says: %v", err)
		}
	}
}
