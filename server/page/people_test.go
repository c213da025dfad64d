package page

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/access/provider"
	"github.com/diskcast/diskcast/server/access/provider/providertest"
	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/config"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/identity"
	"github.com/diskcast/diskcast/server/web"
)

// withProvider gives a rig's page a provider of its own.
func (r *rig) withProvider(t *testing.T) *providertest.Provider {
	t.Helper()
	at := providertest.New(t, r.srv.URL)
	dir := t.TempDir()
	ca, secret := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "secret")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: at.Certificate().Raw})
	if err := errors.Join(os.WriteFile(ca, cert, 0o644),
		os.WriteFile(secret, []byte(providertest.Secret), 0o600)); err != nil {
		t.Fatal(err)
	}
	set := config.Defaults()
	set.Public, set.Issuer, set.Client = r.srv.URL, at.URL, providertest.Client
	set.SecretFile, set.ProviderCA = secret, ca
	set.PeopleRules = []string{"groups=it -> admin", "groups=teachers -> operator room=210"}
	c, err := set.People()
	if err != nil {
		t.Fatal(err)
	}
	if r.page.People, err = provider.New(*c, func(on string) (string, error) { return on, nil }); err != nil {
		t.Fatal(err)
	}
	return at
}

// away is a browser at the provider; it returns where that sends it.
func (b *visitor) away(at *providertest.Provider, to string) string {
	b.t.Helper()
	c := *at.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a, err := c.Get(to)
	if err != nil {
		b.t.Fatal(err)
	}
	a.Body.Close()
	back := a.Header.Get("Location")
	if !strings.HasPrefix(back, b.r.srv.URL+provider.CallbackPath) {
		b.t.Fatalf("the provider answers %d to %q", a.StatusCode, back)
	}
	return strings.TrimPrefix(back, b.r.srv.URL)
}

// begin begins a login by the provider, and returns what the provider sends the browser back to.
func (b *visitor) begin(at *providertest.Provider, path string) string {
	b.t.Helper()
	code, body, h := b.do("GET", path, nil)
	if code != http.StatusSeeOther {
		b.t.Fatalf("GET %s: %d %s", path, code, body)
	}
	return b.away(at, h.Get("Location"))
}

// enter logs in by the provider.
func (b *visitor) enter(at *providertest.Provider) {
	b.t.Helper()
	if code, body, _ := b.do("GET", b.begin(at, "/login/oidc"), nil); code != http.StatusOK {
		b.t.Fatalf("%d: %s", code, body)
	}
}

func TestProviderLogin(t *testing.T) {
	r := newRig(t, options{})
	at := r.withProvider(t)
	b := r.visitor(t)
	if body := b.get("/login?next=/machines?q=1"); !strings.Contains(body, "/login/oidc?next=%2Fmachines%3Fq%3D1") {
		t.Errorf("the form offers no login by the provider:\n%s", body)
	}
	back := b.begin(at, "/login/oidc?next=%2Fmachines%3Fq%3D1")
	code, body, h := b.do("GET", back, nil)
	if code != http.StatusOK || h.Get("Refresh") != "0; url=/machines?q=1" ||
		!strings.Contains(body, "oidc:ada@example.org") {
		t.Fatalf("%d, Refresh %q\n%s", code, h.Get("Refresh"), body)
	}
	var login, kept *http.Cookie
	for _, c := range (&http.Response{Header: h}).Cookies() {
		switch c.Name {
		case cookieName:
			login = c
		case keepCookie:
			kept = c
		}
	}
	if login == nil || !login.Secure || !login.HttpOnly || login.SameSite != http.SameSiteStrictMode ||
		login.Domain != "" || login.MaxAge > 8*3600 || login.MaxAge < 7*3600 {
		t.Errorf("the login's cookie is %+v", login)
	}
	if kept == nil || kept.MaxAge >= 0 {
		t.Errorf("what the browser kept is not taken from it: %+v", kept)
	}
	if body := b.get("/"); !strings.Contains(body, "oidc:ada@example.org") {
		t.Error("the page does not say who is logged in")
	}
	// Once more, as somebody who saw the address would: the browser has nothing left that it could end.
	if code, body, _ := b.do("GET", back, nil); code != http.StatusUnauthorized ||
		!strings.Contains(body, "has begun no login") {
		t.Errorf("once more: %d %s", code, body)
	}
	first := b.cookie()
	if code, _, _ := b.do("POST", "/logout", url.Values{"csrf": {b.csrf("/")}}); code != http.StatusSeeOther {
		t.Errorf("logout: %d", code)
	}
	if code, _, _ := r.visitor(t).do("GET", "/", nil, "Cookie", cookieName+"="+first); code != http.StatusSeeOther {
		t.Errorf("the cookie of before the logout: %d", code)
	}
	if l := r.book.List(); len(l) != 3 {
		t.Errorf("somebody is left: %+v", l)
	}
}

// TestKeepCookie: what a browser keeps meanwhile is kept from scripts and other servers, and is good for little.
func TestKeepCookie(t *testing.T) {
	r := newRig(t, options{})
	r.withProvider(t)
	_, _, h := r.visitor(t).do("GET", "/login/oidc", nil)
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if c.Name != keepCookie || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" ||
			c.Domain != "" || c.MaxAge != 600 {
			t.Errorf("got %+v", c)
		}
		for _, word := range []string{"state", "nonce"} {
			if to, _ := url.Parse(h.Get("Location")); strings.Contains(c.Value, to.Query().Get(word)) {
				t.Errorf("the cookie tells the %s", word)
			}
		}
	}
}

// TestLoginOfAnother: nobody ends a login in somebody else's browser, neither with an answer for himself nor by having
// it begin one.
func TestLoginOfAnother(t *testing.T) {
	r := newRig(t, options{})
	at := r.withProvider(t)
	evil := r.visitor(t).begin(at, "/login/oidc")
	victim := r.logged(t, access.Viewer)
	before := victim.cookie()
	for _, had := range []string{"no login begun", "a login begun"} {
		if code, body, _ := victim.do("GET", evil, nil); code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", had, code, body)
		}
		if victim.cookie() != before || !strings.Contains(victim.get("/"), "a-viewer") {
			t.Errorf("%s: the victim is logged in as somebody else", had)
		}
		victim.begin(at, "/login/oidc")
	}
	code, _, h := victim.do("GET", "/login/oidc", nil, "Sec-Fetch-Site", "cross-site")
	if code != http.StatusOK || h.Get("Location") != "" {
		t.Errorf("a page of somebody else's begins a login: %d %q", code, h.Get("Location"))
	}
}

// TestNoOpenRedirect: nothing that comes with a request leads elsewhere, before the login or after it.
func TestNoOpenRedirect(t *testing.T) {
	r := newRig(t, options{})
	at := r.withProvider(t)
	for _, next := range []string{"https://evil.example.org/", "//evil.example.org", "/\\evil.example.org",
		"javascript:alert(1)", "/x\r\nSet-Cookie: a=b", "/" + strings.Repeat("x", 4000)} {
		b := r.visitor(t)
		_, _, h := b.do("GET", b.begin(at, "/login/oidc?next="+url.QueryEscape(next)), nil)
		if got := h.Get("Refresh"); got != "0; url=/" {
			t.Errorf("%.40q leads to %q", next, got)
		}
	}
	_, _, h := r.visitor(t).do("GET", "/login/oidc?next=/machines", nil, "Host", "evil.example.org")
	if to := h.Get("Location"); !strings.HasPrefix(to, at.URL+"/authorize?") && !strings.HasPrefix(to, r.srv.URL) {
		t.Errorf("with another name of the server it leads to %q", to)
	}
}

// TestOtherName: who comes under another name of the server goes on under that which the provider sends him back to.
func TestOtherName(t *testing.T) {
	r := newRig(t, options{})
	r.withProvider(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.srv.URL+"/login/oidc?next=/machines", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "diskcast.lan"
	a, err := r.visitor(t).http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	a.Body.Close()
	want := r.srv.URL + "/login/oidc?moved=&next=%2Fmachines"
	if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != want {
		t.Errorf("%d to %q, want %q", a.StatusCode, got, want)
	}
}

// TestProviderDown: the page says so, and a token still logs in.
func TestProviderDown(t *testing.T) {
	r := newRig(t, options{})
	at := r.withProvider(t)
	at.Do(func(p *providertest.Provider) { p.Down = true })
	b := r.visitor(t)
	code, body, _ := b.do("GET", "/login/oidc", nil)
	if code != http.StatusBadGateway || !strings.Contains(body, "503") ||
		!strings.Contains(body, "a token still logs you in") {
		t.Errorf("%d\n%s", code, body)
	}
	if body := b.get("/login"); !strings.Contains(body, "It did not answer when it was asked last") {
		t.Errorf("the form does not say it:\n%s", body)
	}
	if code, _ := b.login(r.tokens[access.Viewer]); code != http.StatusSeeOther {
		t.Errorf("a token: %d", code)
	}
}

// TestWhomNoRuleFits is told so, gets no cookie, and cannot ask for ever.
func TestWhomNoRuleFits(t *testing.T) {
	r := newRig(t, options{})
	at := r.withProvider(t)
	at.Do(func(p *providertest.Provider) { p.Claims = map[string]any{"groups": []string{"pupils"}} })
	codes := map[int]int{}
	for range 30 {
		b := r.visitor(t)
		code, body, _ := b.do("GET", b.begin(at, "/login/oidc"), nil)
		codes[code]++
		if !strings.Contains(body, "no rule of this server says what you may do") || b.cookie() != "" {
			t.Fatalf("%d\n%s", code, body)
		}
	}
	if codes[http.StatusUnauthorized] != 20 || codes[http.StatusTooManyRequests] != 10 {
		t.Errorf("answers %v", codes)
	}
}

var tokenShown = regexp.MustCompile(`<code class="long"><bdi>([A-Za-z0-9_-]{43})</bdi></code>`)

// TestOwnToken: who is logged in by the provider gets a token for the command line that may what he may, and ends when
// an administrator ends him.
func TestOwnToken(t *testing.T) {
	r := newRig(t, options{})
	at := r.withProvider(t)
	b := r.visitor(t)
	b.enter(at)
	code, body, _ := b.do("POST", "/token", url.Values{"csrf": {b.csrf("/token")}})
	m := tokenShown.FindStringSubmatch(body)
	if code != http.StatusOK || m == nil {
		t.Fatalf("%d\n%s", code, body)
	}
	want := access.Holder{Name: "oidc:ada@example.org", Role: access.Operator, Within: "room=210"}
	if h, ok := r.book.Who(m[1]); !ok || h != want {
		t.Errorf("got %+v %v", h, ok)
	}
	if until, ok := r.book.Until(access.SumOf(m[1])); !ok || time.Until(until) > 8*time.Hour {
		t.Errorf("it ends %v %v", until, ok)
	}
	if code, _, _ := b.do("POST", "/token", url.Values{"csrf": {"guessed"}}); code != http.StatusForbidden {
		t.Errorf("a form of nobody's: %d", code)
	}
	viewer := r.logged(t, access.Viewer)
	code, body, _ = viewer.do("POST", "/token", url.Values{"csrf": {viewer.csrf("/")}})
	if code != http.StatusConflict || tokenShown.MatchString(body) {
		t.Errorf("who logged in with a token: %d\n%s", code, body)
	}
	if admin := r.logged(t, access.Admin).get("/settings"); !strings.Contains(admin, "oidc:ada@example.org") {
		t.Error("an administrator does not see who is logged in")
	}
	if err := r.book.Remove(t.Context(), "oidc:ada@example.org"); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.book.Who(m[1]); ok {
		t.Error("the token outlives its person")
	}
	if code, _, _ := b.do("GET", "/", nil); code != http.StatusSeeOther {
		t.Errorf("the login outlives its person: %d", code)
	}
}

// TestPersonIsHeld: a person who is held to machines sees no others, and is named where he may not do something.
func TestPersonIsHeld(t *testing.T) {
	r := newRig(t, options{})
	at := r.withProvider(t)
	b := r.visitor(t)
	b.enter(at)
	if code, body, _ := b.do("GET", "/settings", nil); code != http.StatusForbidden ||
		!strings.Contains(body, "oidc:ada@example.org is held to the machines room=210") {
		t.Errorf("settings: %d\n%s", code, body)
	}
	at.Do(func(p *providertest.Provider) { p.Claims = map[string]any{"groups": []string{"it"}} })
	admin := r.visitor(t)
	admin.enter(at)
	if body := admin.get("/settings"); !strings.Contains(body, "oidc:ada@example.org") {
		t.Error("an admin by the provider is not one")
	}
}

// TestLoginsAreRecorded: a login by the provider and a token made in it are in the record of changes, and a later login
// with less ends them.
func TestLoginsAreRecorded(t *testing.T) {
	r := newRig(t, options{})
	at := r.withProvider(t)
	id, err := identity.Load(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, err := id.Signer()
	if err != nil {
		t.Fatal(err)
	}
	record, err := audit.New(t.Context(), r.db, key)
	if err != nil {
		t.Fatal(err)
	}
	r.page.API.(*web.API).WithAudit(record)
	b, later := r.visitor(t), r.visitor(t)
	at.Do(func(p *providertest.Provider) { p.Claims = map[string]any{"groups": []string{"it"}} })
	b.enter(at)
	b.do("POST", "/token", url.Values{"csrf": {b.csrf("/")}})
	at.Do(func(p *providertest.Provider) { p.Claims = map[string]any{"groups": []string{"teachers"}} })
	later.enter(at)
	list, err := record.List(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i := range list.Lines {
		var e doc.AuditEntry
		if err := json.Unmarshal(list.Lines[i].Entry, &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(strings.Join([]string{e.Kind, e.Who, e.Role, e.Within, e.Request}, " ")))
	}
	want := []string{
		"asked oidc:ada@example.org admin  GET /login/oidc/callback", "done    GET /login/oidc/callback",
		"asked oidc:ada@example.org admin  POST /token", "done    POST /token",
		"asked oidc:ada@example.org operator room=210 GET /login/oidc/callback", "done    GET /login/oidc/callback"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	if code, _, _ := b.do("GET", "/machines", nil); code == http.StatusOK {
		t.Error("the login that may more than the person goes on")
	}
	if body := later.get("/machines"); !strings.Contains(body, "oidc:ada@example.org") {
		t.Errorf("the later one is not in:\n%s", body)
	}
}
