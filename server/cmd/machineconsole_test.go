package cmd

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/testenv/awaited"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/console"
	"github.com/diskcast/diskcast/server/power/desk"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// TestTilde: ~. at the beginning of a line leaves, wherever what is typed is cut, and ~~ is one ~.
func TestTilde(t *testing.T) {
	for in, want := range map[string]string{"~.": "|left", "ls\r~.x": "ls\r|left", "a~.": "a~.", "~~.": "~.",
		"~x\n~~": "~x\n~",
		"a\r~":   "a\r", "": ""} {
		for _, cut := range []bool{false, true} {
			var d tilde
			got := ""
			parts := []string{in}
			if cut {
				parts = strings.Split(in, "")
			}
			for _, p := range parts {
				keys, left := d.pass([]byte(p))
				got += string(keys)
				if left {
					got += "|left"
					break
				}
			}
			if got != want {
				t.Errorf("%q, cut %v: %q, want %q", in, cut, got, want)
			}
		}
	}
}

// TestMachineConsole: what the machine prints comes to the terminal as far as it draws, keys go to the machine, and the
// end of a console is said with its reason.
func TestMachineConsole(t *testing.T) {
	o := newOffice(t)
	id, err := identity.Load(o.state)
	if err != nil {
		t.Fatal(err)
	}
	key, err := sealed.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	typed := make(chan string, 10)
	start := func() *console.Consoles {
		c := console.New(slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }() // ends with the test
		t.Cleanup(func() { stop(); <-done })
		<-c.Ready()
		return c
	}
	var consoles atomic.Pointer[console.Consoles]
	consoles.Store(start())
	machine := o.e.Machines()[0].ID
	held := func(ctx context.Context, _ io.Reader, _ io.Writer, opened func()) error { // somebody else's
		opened()
		<-ctx.Done()
		return ctx.Err()
	}
	attach := func(ctx context.Context, _ *power.Config, _ *power.Host, in io.Reader, out io.Writer,
		opened func()) error {
		opened()
		if _, err := io.WriteString(out, "\x1b[1mlogin:\x1b[0m\x1b]0;evil\x07 "); err != nil {
			return err
		}
		buf := make([]byte, 100)
		for all := ""; ; {
			n, err := in.Read(buf)
			if err != nil {
				return ctx.Err()
			}
			if strings.Contains(all+string(buf[:n]), "take\r") {
				if _, err := consoles.Load().Open(machine, "bob", true, held); err != nil {
					return err
				}
			}
			if all += string(buf[:n]); strings.Contains(all, "halt\r") {
				typed <- all
				return power.Fail(power.Frozen, "the console broke off")
			}
		}
	}
	d := desk.New(desk.Config{Store: store.NewMemory(), Key: key, Drivers: power.Drivers{{Name: "bmc",
		Check: func(*power.Config) error { return nil }, Console: attach}}})
	var api atomic.Pointer[web.API]
	quiet := slog.New(slog.DiscardHandler)
	api.Store(web.New(o.e, nil, nil, id.Token, quiet).WithPower(d).WithConsoles(consoles.Load()))
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.Load().ServeHTTP(w, r)
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{id.Cert}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	run := func(keys string, args ...string) (int, string) {
		var out strings.Builder
		err := Run(t.Context(), append([]string{"machine", "console"}, append(args, "--server", srv.URL, "--state",
			o.state)...), strings.NewReader(keys), &out, &out)
		if err != nil {
			out.WriteString(err.Error())
		}
		return ExitCode(err), out.String()
	}
	if code, said := run("", o.node); code != exitFailed || !strings.Contains(said, "its power is not set up") {
		t.Errorf("a machine without: %d, %s", code, said)
	}
	all := o.e.Machines()
	if _, err := d.Set(t.Context(), desk.Machine{ID: all[0].ID}, doc.PowerSet{V: 1, Driver: "bmc"}); err != nil {
		t.Fatal(err)
	}
	// It breaks off, and is opened again by the server; then the server is another one, and it is opened again by the
	// command. What was typed is typed once.
	in, keys := io.Pipe()
	out := awaited.New()
	over := make(chan error, 1)
	go func() { // ends with ~.
		over <- Run(t.Context(), []string{"machine", "console", o.node, "--server", srv.URL, "--state", o.state}, in,
			out, out)
	}()
	say := func(text string) {
		t.Helper()
		if _, err := io.WriteString(keys, text); err != nil {
			t.Fatal(err)
		}
	}
	out.Wait(t, "login:", 1, time.Minute)
	say("~~root\rhalt\r")
	if got := <-typed; got != "~root\rhalt\r" {
		t.Errorf("typed %q", got)
	}
	out.Wait(t, "[diskcast: it is open again after ", 1, time.Minute)
	out.Wait(t, "login:", 2, time.Minute)
	anew := start()
	api.Store(web.New(o.e, nil, nil, id.Token, quiet).WithPower(d).WithConsoles(anew))
	srv.CloseClientConnections()
	out.Wait(t, "[diskcast: it is open again after ", 2, time.Minute)
	out.Wait(t, "login:", 3, time.Minute)
	say("halt\r")
	if got := <-typed; got != "halt\r" {
		t.Errorf("typed after it: %q", got)
	}
	out.Wait(t, "login:", 4, time.Minute)
	say("\r~.")
	shown := out.String()
	if err := <-over; err != nil || strings.Contains(shown, "evil") ||
		!strings.Contains(shown, "\x1b[1mlogin:\x1b[0m ") ||
		strings.Count(shown, "broke off") != 3 || !strings.Contains(shown, "may not have come") {
		t.Errorf("%v, %q", err, shown)
	}
	consoles.Store(anew)
	if code, said := run("x\r~.", o.node); code != 0 {
		t.Errorf("left: %d, %q", code, said)
	}
	if v, err := consoles.Load().Read(t.Context(), all[0].ID, "root", 0, false, ""); err != nil || time.Since(
		v.Opened) > time.Minute {
		t.Errorf("%+v, %v", v, err)
	}
	if code, said := run("take\r", o.node); code != exitFailed || !strings.Contains(said,
		"somebody else has its console: bob") {
		t.Errorf("taken: %d, %q", code, said)
	}
	if v, err := consoles.Load().Read(t.Context(), machine, "bob", 0, false, "x"); err != nil ||
		v.State == doc.ConsoleClosed {
		t.Errorf("who has it now: %+v, %v", v, err)
	}
	if code, said := run("", o.node, "--json"); code != exitUsage {
		t.Errorf("as JSON: %d, %s", code, said)
	}
}
