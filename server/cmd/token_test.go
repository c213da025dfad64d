package cmd

import (
	"crypto/tls"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

func TestTokenCommands(t *testing.T) {
	o := newOffice(t)
	id, err := identity.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	book, err := access.New(t.Context(), store.NewMemory(), id.Token)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(web.New(o.e, nil, nil, id.Token, slog.New(slog.DiscardHandler)).WithAccess(book))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	o.url = srv.URL

	do := func(code int, want string, args ...string) string {
		t.Helper()
		got, out, said := o.run(args...)
		if got != code || !strings.Contains(out+said, want) {
			t.Errorf("%v: %d, %s%s; want %d and %q", args, got, out, said, code, want)
		}
		return out
	}
	do(exitUsage, "role", "token", "create", "ada")
	do(exitFailed, "none of viewer, operator, admin", "token", "create", "ada", "--role", "king")
	do(exitUsage, "--on '' is empty", "token", "create", "ada", "--role", "operator", "--on", "")
	secret := strings.TrimSpace(do(0, "has the role viewer", "token", "create", "ada", "--role", "viewer"))
	do(exitFailed, "there is a token of that name", "token", "create", "ada", "--role", "admin")
	if out := do(0, "viewer", "token", "list"); len(secret) != 43 || strings.Contains(out, secret) {
		t.Errorf("the token is %q, listed as\n%s", secret, out)
	}

	t.Setenv("DISKCAST_TOKEN", secret)
	t.Setenv("DISKCAST_PIN", id.Pin)
	do(0, "", "session", "list")
	do(exitFailed, "has the role viewer, and this wants admin", "token", "list")
	t.Setenv("DISKCAST_TOKEN", "")
	t.Setenv("DISKCAST_PIN", "")

	do(exitFailed, "no group @nowhere", "token", "create", "eve", "--role", "viewer", "--on", "@nowhere")
	do(exitFailed, "held to no machines", "token", "create", "eve", "--role", "admin", "--on", "room=210")
	do(0, "within room=210 (fits 0 machines now)", "token", "create", "eve", "--role", "viewer", "--on", "room=210")
	do(0, "room=210", "token", "list")
	for _, c := range []struct{ line, want string }{{"token rm", "ada eve"}, {"token rm ada", "ada eve"},
		{"login-link --minutes=5", "ada eve"}, {"token create --role=admin", ""}} {
		got, directive := o.completion(o.url, append(strings.Fields(c.line), "")...)
		if strings.Join(got, " ") != c.want || directive != ":4" {
			t.Errorf("%s: completed to %q, %s; want %q, and no files", c.line, got, directive, c.want)
		}
	}
	if out := do(0, "it logs in as eve, once", "login-link", "eve"); !strings.HasPrefix(out, o.url+"/login?link=") {
		t.Errorf("the link is %q", out)
	}
	do(exitFailed, "1 to 1440 minutes", "login-link", "eve", "--minutes", "0")
	do(exitFailed, "not found", "login-link", "nobody")
	do(0, "", "token", "rm", "eve")
	do(0, "", "token", "rm", "ada")
	do(exitFailed, "not found", "token", "rm", "ada")
	do(0, "[]", "token", "list", "--json")
}
