package page

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/sealed"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power"
	"github.com/diskcast/diskcast/server/power/console"
	"github.com/diskcast/diskcast/server/power/desk"
	"github.com/diskcast/diskcast/server/store"
	"github.com/diskcast/diskcast/server/web"
)

// echo is a console that greets, answers what is typed with the same, and breaks off when it is told to.
func echo(ctx context.Context, _ *power.Config, _ *power.Host, in io.Reader, out io.Writer, opened func()) error {
	opened()
	if _, err := io.WriteString(out, "\x1b[1mlogin:\x1b[0m <b>&\u202e "); err != nil {
		return err
	}
	buf := make([]byte, 100)
	for {
		n, err := in.Read(buf)
		if err != nil {
			return ctx.Err()
		}
		if string(buf[:n]) == "break\r" {
			return power.Fail(power.Frozen, "the console broke off")
		}
		if _, err := io.WriteString(out, "typed "+strings.ReplaceAll(string(buf[:n]), "\x1b", "ESC")+"\n"); err != nil {
			return err
		}
	}
}

// held is a console that its BMC refuses.
func held(context.Context, *power.Config, *power.Host, io.Reader, io.Writer, func()) error {
	return power.Fail(power.Refused, "somebody has its console already")
}

// withConsoles gives a rig machines m1, whose BMC has a console, and m2, which has none.
func (r *rig) withConsoles(t *testing.T) {
	t.Helper()
	key, err := sealed.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fine := func(*power.Config) error { return nil }
	open := func(*power.Config, *power.Host) (power.Device, error) { return &socket{}, nil }
	d := desk.New(desk.Config{Store: store.NewMemory(), Key: key, Timing: quick, Drivers: power.Drivers{
		{Name: "bmc", Check: fine, Open: open, Console: echo}, {Name: "plug", Check: fine, Open: open},
		{Name: "held", Check: fine, Open: open, Console: held}}})
	c := console.New(slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }() // ends with the test
	<-c.Ready()
	t.Cleanup(func() { stop(); <-done })
	r.page.API.(*web.API).WithPower(d).WithConsoles(c)
	for id, driver := range map[string]string{"m1": "bmc", "m2": "plug", "m4": "held"} {
		m := desk.Machine{ID: id}
		if _, err := d.Set(t.Context(), m, doc.PowerSet{V: 1, Driver: driver}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestConsole: an operator opens a machine's console from its page, reads it as text, types a line and a key, and
// closes it; a viewer has none of that, and another operator hears whose it is.
func TestConsole(t *testing.T) {
	r := newRig(t, options{})
	r.withConsoles(t)
	r.hello(t, 1, session.Inventory{})
	r.hello(t, 2, session.Inventory{})
	r.hello(t, 3, session.Inventory{})
	b, other, viewer := r.logged(t, access.Operator), r.logged(t, access.Admin), r.logged(t, access.Viewer)
	const at = "/machines/m1/console"
	if !strings.Contains(b.get("/machines/m1"), at) || strings.Contains(viewer.get("/machines/m1"), at) ||
		strings.Contains(b.get("/machines/m2"), "/console") {
		t.Error("the way to the console is for operators, of machines that have one")
	}
	r.hello(t, 4, session.Inventory{})
	if code, body, _ := b.do("POST", "/machines/m4/console/open", url.Values{"csrf": {b.csrf("/")}}); code !=
		http.StatusUnprocessableEntity || !strings.Contains(body, "somebody has its console already") {
		t.Errorf("a console that the BMC refuses: %d\n%s", code, body)
	}
	for path, want := range map[string]string{"/machines/m2/console": "no console is reached",
		"/machines/m3/console": "its power is not set up", at: "Open the console"} {
		if body := b.get(path); !strings.Contains(body, want) {
			t.Errorf("%s lacks %q:\n%s", path, want, body)
		}
	}
	for _, op := range []string{"open", "take", "keys", "close"} {
		if code, _, _ := viewer.do("POST", at+"/"+op, url.Values{"csrf": {viewer.csrf(
			"/")}}); code != http.StatusForbidden {
			t.Errorf("%s by a viewer: %d", op, code)
		}
	}
	if code, _, _ := viewer.do("GET", at+"/text", nil); code != http.StatusForbidden {
		t.Errorf("read by a viewer: %d", code)
	}
	if code, _, _ := b.do("POST", at+"/keys", url.Values{"csrf": {b.csrf("/")},
		"line": {"x"}}); code != http.StatusNotFound {
		t.Errorf("typed before it is open: %d", code)
	}
	if to := b.post(at+"/open", url.Values{}); to != at {
		t.Fatalf("the button leads to %s", to)
	}
	after, text, state := uint64(0), "", doc.ConsoleOpening
	read := func(want string) {
		t.Helper()
		for !strings.Contains(text, want) {
			code, body, _ := b.do("GET", path(at+"/text?after=%s&state=%s", strconv.FormatUint(after, 10), state), nil)
			var c doc.Console
			if err := json.Unmarshal([]byte(body), &c); code != http.StatusOK || err != nil {
				t.Fatalf("%d %s", code, body)
			}
			text, after, state = text+c.Text, c.Next, c.State
		}
	}
	read("login: <b>&\ufffd ")
	body := b.get(at)
	harmlessPage(t, at, body)
	if !strings.Contains(body, "login: &lt;b&gt;&amp;") || !strings.Contains(body, `name="line"`) {
		t.Errorf("the page of a console:\n%s", body)
	}
	if to := b.post(at+"/keys", url.Values{"line": {"root"}}); to != at {
		t.Errorf("a line leads to %s", to)
	}
	read("typed root")
	code, _, _ := b.do("POST", at+"/keys", url.Values{"csrf": {b.csrf("/")}, "key": {"up"}}, "HX-Request", "true")
	if code != http.StatusNoContent {
		t.Errorf("a key by a script: %d", code)
	}
	read("typed ESC[A")
	if code, _, _ := b.do("POST", at+"/keys", url.Values{"csrf": {b.csrf("/")},
		"key": {"none"}}); code != http.StatusBadRequest {
		t.Errorf("a key that is none: %d", code)
	}
	if code, _, _ := b.do("POST", at+"/keys", url.Values{"csrf": {b.csrf("/")},
		"line": {strings.Repeat("x", doc.MaxConsoleKeys)}}); code != http.StatusBadRequest {
		t.Errorf("a line that is too long: %d", code)
	}
	if body := other.get(at); !strings.Contains(body, "a-operator") || !strings.Contains(body, "Take it") ||
		strings.Contains(body, "login:") {
		t.Errorf("what another operator sees:\n%s", body)
	}
	if code, _, _ := other.do("POST", at+"/open", url.Values{"csrf": {other.csrf("/")}}); code != http.StatusConflict {
		t.Errorf("opened by another: %d", code)
	}
	other.post(at+"/take", url.Values{})
	if code, body, _ := b.do("POST", at+"/keys", url.Values{"csrf": {b.csrf("/")},
		"line": {"x"}}); code != http.StatusConflict ||
		!strings.Contains(body, "a-admin") {
		t.Errorf("typed at a console that was taken: %d", code)
	}
	if to := other.post(at+"/close", url.Values{}); to != "/machines/m1" {
		t.Errorf("closing leads to %s", to)
	}
	if code, _, _ := b.do("POST", at+"/none", url.Values{"csrf": {b.csrf("/")}}); code != http.StatusNotFound {
		t.Errorf("a deed that is none: %d", code)
	}
}
