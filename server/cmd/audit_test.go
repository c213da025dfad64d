package cmd

import (
	"crypto/tls"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// recorded has the server of the office record changes.
func (o *office) recorded(t *testing.T) {
	t.Helper()
	id, err := identity.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	db := store.NewMemory()
	book, err := access.New(t.Context(), db, id.Token)
	if err != nil {
		t.Fatal(err)
	}
	key, err := id.Signer()
	if err != nil {
		t.Fatal(err)
	}
	record, err := audit.New(t.Context(), db, key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(web.New(o.e, nil, nil, id.Token, slog.New(slog.DiscardHandler)).
		WithAccess(book).WithAudit(record))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	o.url = srv.URL
}

func TestAuditCommands(t *testing.T) {
	o := newOffice(t)
	o.recorded(t)
	do := func(code int, want string, args ...string) string {
		t.Helper()
		got, out, said := o.run(args...)
		if got != code || !strings.Contains(out+said, want) {
			t.Errorf("%v: %d, %s%s; want %d and %q", args, got, out, said, code, want)
		}
		return out
	}
	do(0, "it has no entries", "audit", "verify")
	do(0, "has the role viewer", "token", "create", "ada", "--role", "viewer")
	do(exitFailed, "there is a token", "token", "create", "ada", "--role", "viewer")
	kept := do(0, "the record holds: entries 1 to 4", "audit", "verify")
	_, kept, _ = strings.Cut(strings.TrimSpace(kept), "later: ")
	list := do(0, "POST /v1/tokens", "audit", "list")
	if !strings.Contains(list, "root") || !strings.Contains(list, "done") || !strings.Contains(list, "refused (409)") {
		t.Errorf("listed as\n%s", list)
	}
	do(0, "", "token", "rm", "ada")
	do(0, "DELETE /v1/tokens/ada", "audit", "list", "--about", "DELETE", "--last", "1")
	if out := do(0, "", "audit", "list", "--who", "eve", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("of nobody: %s", out)
	}
	do(0, "the record holds", "audit", "verify", "--since", kept)
	do(0, `"last":6`, "audit", "verify", "--json")
	do(exitUsage, "is not N:HASH", "audit", "verify", "--since", "4")
	do(exitFailed, "entry 4 is another one than it was", "audit", "verify", "--since", "4:"+strings.Repeat("a", 64))
	do(exitFailed, "ends with entry 6", "audit", "verify", "--since", "9:"+strings.Repeat("a", 64))

	text := do(0, "", "audit", "export", "--json")
	file := func(text string) string {
		name := filepath.Join(t.TempDir(), "audit.jsonl")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	do(0, "the record holds: entries 1 to 6", "audit", "verify", file(text))
	lines := strings.SplitAfter(strings.TrimSpace(text)+"\n", "\n")
	for want, change := range map[string]string{
		"it was cut short":     strings.Join(lines[:4], ""),
		"what was between":     strings.Join(lines[:2], "") + strings.Join(lines[3:], ""),
		"was changed":          strings.Replace(text, `"who":"root"`, `"who":"toor"`, 1),
		"where the record beg": strings.Join(lines[1:], ""),
		"a second mark":        lines[0] + text,
		"something follows":    text + lines[1],
		"no line of an export": "{}\n" + text,
		"line 1":               "what\n" + text,
	} {
		do(exitFailed, want, "audit", "verify", file(change))
	}
	do(exitFailed, "is signed by the key", "audit", "verify", "--pin", "sha256:"+strings.Repeat("0", 64), file(text))
}
