package cmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/herald"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// TestNotifyCommands stores a hook's key, tries it, and shows what it answered.
func TestNotifyCommands(t *testing.T) {
	const secret = "a very secret key"
	var broken atomic.Bool
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(hook.Close)
	name := filepath.Join(t.TempDir(), "d.toml")
	text := "[[notify.webhook]]\nname = \"chat\"\nurl = \"" + hook.URL + "\"\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := config.Read(name)
	if err != nil {
		t.Fatal(err)
	}
	o := newOffice(t)
	key, err := sealed.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	h, err := herald.New(t.Context(),
		herald.Config{Store: store.NewMemory(), Key: key, Notify: f.Notify, Server: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	id, err := identity.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(web.New(o.e, nil, nil, id.Token, slog.New(slog.DiscardHandler)).WithNotify(h))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	t.Cleanup(func() { srv.Close(); stop(); <-done })
	o.url = srv.URL

	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	do := func(code int, want string, args ...string) {
		t.Helper()
		got, out, said := o.run(append([]string{"notify"}, args...)...)
		if got != code || !strings.Contains(out+said, want) || strings.Contains(out+said, secret) {
			t.Errorf("%v: %d, %s%s; want %d and %q, and no key", args, got, out, said, code, want)
		}
	}
	do(0, "its key is not stored", "list")
	do(exitFailed, "notify secret chat", "test")
	do(exitFailed, "no such receiver", "secret", "chta", "--secret-file", file)
	do(exitUsage, "--secret-file", "secret", "chat")
	do(0, "stored, sealed", "secret", "chat", "--secret-file", file)
	do(0, "chat: ok after", "test", "chat")
	do(0, `"answer":"200 OK"`, "test", "--json")
	broken.Store(true)
	do(exitFailed, "418 I'm a teapot", "test")
	do(0, `"waiting":0`, "list", "--json")
	do(0, "taken away", "secret", "chat", "--remove")
	do(exitFailed, "not stored", "test")

	c, err := client.New(o.url, client.Credentials{Token: id.Token, Pin: id.Pin})
	if err != nil {
		t.Fatal(err)
	}
	for title, want := range map[string]bool{"two DHCP servers answer": true, " ": false} {
		err := c.TellFinding(t.Context(), doc.NotifyFinding{V: 1, Finding: "dhcp", Title: title})
		if (err == nil) != want {
			t.Errorf("finding %q: %v", title, err)
		}
	}

	var out bytes.Buffer
	err = Run(t.Context(), []string{"config", "check", name}, strings.NewReader(""), &out, io.Discard)
	if err != nil || !strings.Contains(out.String(), "notify.chat") || !strings.Contains(out.String(), hook.URL) {
		t.Errorf("%v %s", err, &out)
	}
}
