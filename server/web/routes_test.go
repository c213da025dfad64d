package web

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/engine/enginetest"
)

var update = flag.Bool("update", false, "write the table of routes into the docs")

// path fills in what a route's path leaves open.
func path(rt *Route, node string) string {
	return strings.NewReplacer("{node}", node, "{id}", "s1", "{frame}", strings.Repeat("0", 64)+"-4096",
		"{digest}", enginetest.Digest("debian", "manifest"), "{lease}", "10.0.0.1",
		"{image}", "debian", "{name}", "other", "{machine}", "m1").Replace(rt.Path)
}

// tokens gives, for each role, one that is good for it and those that are not.
func (r *rig) tokens(role Role) (good string, bad []string, node string) {
	mine, other := r.hello("52:54:00:00:00:01", "b1"), r.hello("52:54:00:00:00:02", "b2")
	switch role {
	case Node:
		return mine.Token, []string{"", "x", other.Token, r.id.Token}, mine.Node
	case Reader, Operator:
		return r.id.Token, []string{"", "x", mine.Token, r.id.Token + "x", "Bearer " + r.id.Token}, mine.Node
	}
	return "", nil, mine.Node
}

// ask calls the handler itself, so that a body that is refused unread ends nothing but its request.
func (r *rig) ask(method, path, token string, body io.Reader, length int64) *httptest.ResponseRecorder {
	req := httptest.NewRequestWithContext(r.t.Context(), method, path, body)
	req.ContentLength = length
	req.RemoteAddr = "127.0.0.1:1"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	r.srv.Config.Handler.ServeHTTP(w, req)
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
			w := r.ask(rt.Method, path(&rt, node), token, body, length)
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
	if _, code, err := a.admit(&Route{Role: "misspelt"}, httptest.NewRequest("GET", "/", nil)); err == nil ||
		code != http.StatusUnauthorized {
		t.Errorf("a role that is unknown: %d, %v", code, err)
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
		w := r.ask(rt.Method, path(&rt, node), good, body, rt.Body+1)
		if w.Code != http.StatusRequestEntityTooLarge || body.read > 0 {
			t.Errorf("%s with %d bytes: %d %s, %d bytes were read", rt.Pattern(), rt.Body+1, w.Code, w.Body, body.read)
		}
		if strings.HasSuffix(rt.Path, "/finish") {
			continue // 260 MiB; what is read of it goes by the same limit
		}
		body = &endless{}
		w = r.ask(rt.Method, path(&rt, node), good, body, -1) // no length is told
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
		if named := strings.Contains(rt.Path, "/node/{node}/"); named != (rt.Role == Node) {
			t.Errorf("%s: its path and its role %q are not of one kind", rt.Pattern(), rt.Role)
		}
	}
}

// docTable is the table of routes as the docs have it.
func docTable() string {
	var b strings.Builder
	b.WriteString("| request | who | body | in | to |\n|---|---|---|---|---|\n")
	for _, rt := range Routes() {
		body, in := "-", "-"
		if rt.Body > 0 {
			body, in = fmt.Sprintf("%d KiB", rt.Body>>10), rt.Time.String()
			if rt.Body >= 4<<20 {
				body = fmt.Sprintf("%d MiB", rt.Body>>20)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", rt.Pattern(), rt.Role, body, in, rt.Does)
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
		case rt.Role != Operator:
			doc, text = "docs/node-api.md", string(node)
		}
		if !strings.Contains(text, rt.Method+" "+rt.Path) {
			t.Errorf("%s says nothing about %s", doc, rt.Pattern())
		}
	}
}
