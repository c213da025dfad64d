package web

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine/enginetest"
)

var update = flag.Bool("update", false, "write the table of routes into the docs")

// filled fills in what a route's path leaves open.
func filled(rt *Route, node string) string {
	return strings.NewReplacer("{node}", node, "{id}", "s1", "{frame}", strings.Repeat("0", 64)+"-4096",
		"{digest}", enginetest.Digest("debian", "manifest"), "{lease}", "10.0.0.1",
		"{image}", "debian", "{name}", "other", "{machine}", "m1", "{token}", "nobody", "{$}", "").Replace(rt.Path)
}

// tokens gives, for each role, one that is good for it and those that are not.
func (r *rig) tokens(role Role) (good string, bad []string, node string) {
	mine, other := r.hello("52:54:00:00:00:01", "b1"), r.hello("52:54:00:00:00:02", "b2")
	switch role {
	case Node:
		return mine.Token, []string{"", "x", other.Token, r.id.Token}, mine.Node
	case Reader, Viewer, Operator, Admin:
		return r.id.Token, []string{"", "x", mine.Token, r.id.Token + "x", "Bearer " + r.id.Token}, mine.Node
	}
	return "", nil, mine.Node
}

// ask calls the handler itself, so that a body that is refused unread ends nothing but its request.
func (r *rig) ask(method, path, token string, body io.Reader, length int64) *httptest.ResponseRecorder {
	return r.askWith(r.t.Context(), method, path, token, body, length)
}

func (r *rig) askWith(ctx context.Context, method, path, token string, body io.Reader,
	length int64) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(ctx, method, path, body)
	req.ContentLength = length
	r.asked++ // each from an address of its own: wrong tokens are counted by it
	req.RemoteAddr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(r.asked >> 8), byte(r.asked)}), 1).String()
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	r.srv.Config.Handler.ServeHTTP(w, req)
	if err := problem(w.Code, w.Header(), w.Body.Bytes()); err != nil {
		r.t.Errorf("%s %s: %v", method, path, err)
	}
	return w
}

func TestRoutesRefuseWithoutTheirRole(t *testing.T) {
	r := newRig(t)
	for _, rt := range Routes() {
		_, bad, node := r.tokens(rt.Role)
		if rt.Role != Anyone && len(bad) == 0 {
			t.Errorf("%s: nobody is refused", rt.Pattern())
		}
		for _, token := range bad {
			length, body := int64(0), io.Reader(http.NoBody)
			if rt.Body > 0 {
				length, body = 2, strings.NewReader("{}")
			}
			w := r.ask(rt.Method, filled(&rt, node), token, body, length)
			if w.Code != http.StatusUnauthorized && (rt.Role != Reader || w.Code != http.StatusForbidden) {
				t.Errorf("%s with the token %.20q: %d %s", rt.Pattern(), token, w.Code, w.Body)
			}
			if w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s does not say how to prove oneself", rt.Pattern())
			}
		}
	}
	// A route whose role nobody knows opens for the operator only.
	a := r.srv.Config.Handler.(*API)
	if _, _, code, err := a.admit(&Route{Role: "misspelt"}, httptest.NewRequest("GET", "/", nil)); err == nil ||
		code != http.StatusUnauthorized {
		t.Errorf("a role that is unknown: %d, %v", code, err)
	}
}

// TestRoutesAndRoles asks each route of the table with each kind of token: what the role does not cover is 403, and
// nothing else is.
func TestRoutesAndRoles(t *testing.T) {
	r := newRig(t)
	rank := map[Role]int{Reader: 2, Viewer: 1, Operator: 2, Admin: 3}
	has := map[string]int{}
	for name, n := range map[string]int{"viewer": 1, "operator": 2, "admin": 3} {
		made, err := r.book.Create(t.Context(), doc.TokenSpec{V: session.Version, Name: name, Role: name})
		if err != nil {
			t.Fatal(err)
		}
		has[made.Secret] = n
	}
	has[r.id.Token] = 3
	for _, rt := range Routes() {
		want, named := rank[rt.Role]
		if !named {
			if rt.Role != Anyone && rt.Role != Node {
				t.Errorf("%s: nobody says who may, %q", rt.Pattern(), rt.Role)
			}
			continue // nodes' and strangers' are asked above
		}
		for token, n := range has {
			// A body that is no document, and a request that has ended already: who may is let in, and changes nothing.
			length, body := int64(0), io.Reader(http.NoBody)
			if rt.Body > 0 {
				length, body = 1, strings.NewReader("x")
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			w := r.askWith(ctx, rt.Method, filled(&rt, "none"), token, body, length)
			if w.Code == http.StatusUnauthorized || (w.Code == http.StatusForbidden) != (n < want) {
				t.Errorf("%s, for %s, with a token of rank %d: %d %s", rt.Pattern(), rt.Role, n, w.Code, w.Body)
			}
		}
	}
}

func TestWrongTokensAreLimitedByAddress(t *testing.T) {
	r := newRig(t)
	from := func(addr, token string) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/sessions", nil)
		req.RemoteAddr = addr
		req.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		r.srv.Config.Handler.ServeHTTP(w, req)
		return w
	}
	codes := map[int]int{}
	for range 10000 {
		w := from("10.0.0.1:1", "wrong")
		codes[w.Code]++
		if w.Code == http.StatusTooManyRequests && w.Header().Get("Retry-After") == "" {
			t.Fatal("nothing says when to ask again")
		}
	}
	if codes[401] < 10 || codes[401] > 200 || codes[401]+codes[429] != 10000 {
		t.Errorf("10,000 wrong tokens of one address: %v", codes)
	}
	for addr, token := range map[string]string{"10.0.0.2:1": r.id.Token, "10.0.0.1:2": r.id.Token} {
		if w := from(addr, token); w.Code != 200 {
			t.Errorf("the right token from %s: %d %s", addr, w.Code, w.Body)
		}
	}
	if w := from("10.0.0.3:1", "wrong"); w.Code != 401 {
		t.Errorf("another address: %d", w.Code)
	}
}

func TestTokens(t *testing.T) {
	r := newRig(t)
	code, body, _ := r.call("POST", "/v1/tokens", r.id.Token, `{"v": 1, "name": "ada", "role": "viewer", "days": 1}`)
	var made doc.TokenMade
	if err := json.Unmarshal([]byte(body), &made); err != nil || code != 201 || len(made.Secret) != 43 {
		t.Fatalf("%d %s %v", code, body, err)
	}
	for _, c := range []struct {
		method, path, token, body string
		want                      int
	}{
		{"GET", "/v1/sessions", made.Secret, "", 200},
		{"GET", "/v1/tokens", made.Secret, "", 403},
		{"POST", "/v1/tokens", made.Secret, `{"v": 1, "name": "eve", "role": "admin"}`, 403},
		{"POST", "/v1/tokens", r.id.Token, `{"v": 1, "name": "ada", "role": "admin"}`, 409},
		{"POST", "/v1/tokens", r.id.Token, `{"v": 1, "name": "eve", "role": "king"}`, 422},
		{"DELETE", "/v1/tokens/eve", r.id.Token, "", 404},
		{"DELETE", "/v1/tokens/ada", r.id.Token, "", 204},
		{"GET", "/v1/sessions", made.Secret, "", 401},
	} {
		code, body, _ := r.call(c.method, c.path, c.token, c.body)
		if code != c.want || strings.Contains(body, made.Secret) {
			t.Errorf("%s %s: %d %s, want %d", c.method, c.path, code, body, c.want)
		}
	}
}

// endless is a body without an end, which counts what is read of it.
type endless struct{ read int64 }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += int64(len(p))
	if e.read > 1<<30 {
		return 0, errors.New("nobody stops reading")
	}
	return len(p), nil
}

func TestRoutesRefuseABodyOverTheirLimit(t *testing.T) {
	r := newRig(t)
	for _, rt := range Routes() {
		good, _, node := r.tokens(rt.Role)
		body := &endless{}
		w := r.ask(rt.Method, filled(&rt, node), good, body, rt.Body+1)
		if w.Code != http.StatusRequestEntityTooLarge || body.read > 0 {
			t.Errorf("%s with %d bytes: %d %s, %d bytes were read", rt.Pattern(), rt.Body+1, w.Code, w.Body, body.read)
		}
		if strings.HasSuffix(rt.Path, "/finish") {
			continue // 260 MiB; what is read of it goes by the same limit
		}
		body = &endless{}
		w = r.ask(rt.Method, filled(&rt, node), good, body, -1) // no length is told
		if w.Code/100 == 2 || body.read > rt.Body+64<<10 {
			t.Errorf("%s with a body without an end: %d, %d bytes were read", rt.Pattern(), w.Code, body.read)
		}
	}
}

// watched are the paths whose names those who watch over servers expect; docs/figures.md describes them.
var watched = []string{"/healthz", "/readyz", "/metrics", "/debug/pprof/{name}"}

func TestRoutesAreWhole(t *testing.T) {
	seen := map[string]bool{}
	for _, rt := range Routes() {
		if seen[rt.Pattern()] {
			t.Errorf("%s is there twice", rt.Pattern())
		}
		seen[rt.Pattern()] = true
		if takes := rt.Method == "POST" || rt.Method == "PUT" || rt.Method == "PATCH"; rt.Body > 0 && !takes ||
			(rt.Body > 0) != (rt.Time > 0) {
			t.Errorf("%s: a body of %d bytes in %v", rt.Pattern(), rt.Body, rt.Time)
		}
		if rt.Does == "" || rt.Role == "" || rt.handle == nil ||
			!strings.HasPrefix(rt.Path, "/v1/") && !slices.Contains(watched, rt.Path) {
			t.Errorf("%s lacks something", rt.Pattern())
		}
		known := []Scope{Nobody, Whole, Free, Narrowed, ItsMachine, ItsNode, ItsSession, ItsRepeat, ItsPower}
		if (rt.Scope == Nobody) != (rt.Role == Anyone || rt.Role == Node) || !slices.Contains(known, rt.Scope) ||
			rt.Role == Admin && rt.Scope != Whole { // an admin is held to no machines
			t.Errorf("%s, for %s: what it is to a token that is held to machines, %q", rt.Pattern(), rt.Role, rt.Scope)
		}
		if named := strings.Contains(rt.Path, "/node/{node}/"); named != (rt.Role == Node) {
			t.Errorf("%s: its path and its role %q are not of one kind", rt.Pattern(), rt.Role)
		}
	}
}

// docTable is the table of routes as the docs have it.
func docTable() string {
	var b strings.Builder
	b.WriteString("| request | who | held to machines | body | in | to |\n|---|---|---|---|---|---|\n")
	for _, rt := range Routes() {
		body, in := "-", "-"
		if rt.Body > 0 {
			body, in = fmt.Sprintf("%d KiB", rt.Body>>10), rt.Time.String()
			if rt.Body >= 4<<20 {
				body = fmt.Sprintf("%d MiB", rt.Body>>20)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", rt.Pattern(), rt.Role, rt.Scope, body, in,
			rt.Does)
	}
	return b.String()
}

const tableStart, tableEnd = "<!-- routes: `go test ./server/web -run Docs -update` writes this table -->\n",
	"<!-- end of routes -->\n"

func TestDocsNameEveryRoute(t *testing.T) {
	const file = "../../docs/operator-api.md"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), tableStart)
	table, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of routes", file)
	}
	if want := docTable(); table != want {
		if !*update {
			t.Fatalf("%s has another table of routes than server/web: run `go test ./server/web -run Docs -update`\n%s",
				file, want)
		}
		if err := os.WriteFile(file, []byte(before+tableStart+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	node, err := os.ReadFile("../../docs/node-api.md")
	if err != nil {
		t.Fatal(err)
	}
	figures, err := os.ReadFile("../../docs/figures.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range Routes() {
		doc, text := file, before+after // beside the table, each is described
		switch {
		case slices.Contains(watched, rt.Path):
			doc, text = "docs/figures.md", string(figures)
		case strings.HasPrefix(rt.Path, "/v1/node/"), rt.Role == Reader:
			doc, text = "docs/node-api.md", string(node)
		}
		if !strings.Contains(text, rt.Method+" "+rt.Path) {
			t.Errorf("%s says nothing about %s", doc, rt.Pattern())
		}
	}
}
