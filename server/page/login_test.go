package page

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/doc"
)

func (b *visitor) cookie() string {
	u, err := url.Parse(b.r.srv.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == cookieName {
			return c.Value
		}
	}
	return ""
}

func TestLogin(t *testing.T) {
	r := newRig(t, options{})
	b := r.visitor(t)
	for _, path := range []string{"/", "/machines?q=x", "/settings"} {
		code, _, h := b.do("GET", path, nil)
		if code != http.StatusSeeOther || !strings.HasPrefix(h.Get("Location"), "/login") {
			t.Errorf("GET %s of a stranger: %d to %q", path, code, h.Get("Location"))
		}
	}
	if code, _ := b.login("wrong"); code != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", code)
	}
	if code, _ := b.login(strings.Repeat("x", maxToken+1)); code != http.StatusUnauthorized {
		t.Errorf("a token that is too long: %d", code)
	}
	if code, to := b.login(r.tokens[access.Viewer]); code != http.StatusSeeOther || to != "/" {
		t.Fatalf("login: %d to %q", code, to)
	}
	if body := b.get("/"); !strings.Contains(body, "a-viewer") {
		t.Errorf("the page does not say who is logged in:\n%s", body)
	}
	first := b.cookie()
	if first == "" || strings.Contains(first, r.tokens[access.Viewer]) {
		t.Fatalf("cookie %q", first)
	}
	code, _, h := b.do("POST", "/logout", url.Values{"csrf": {b.csrf("/")}})
	if code != http.StatusSeeOther || h.Get("Location") != "/login" {
		t.Errorf("logout: %d to %q", code, h.Get("Location"))
	}
	stale := r.visitor(t)
	if code, _, _ := stale.do("GET", "/", nil, "Cookie", cookieName+"="+first); code != http.StatusSeeOther {
		t.Errorf("the cookie of before the logout: %d", code)
	}
}

// TestCookie: the browser keeps the cookie from scripts, from other servers and from plain HTTP, and the login from
// being framed or stored.
func TestCookie(t *testing.T) {
	r := newRig(t, options{})
	b := r.visitor(t)
	code, _, h := b.do("POST", "/login", url.Values{"csrf": {b.csrf("/login")}, "token": {r.tokens[access.Admin]}})
	if code != http.StatusSeeOther {
		t.Fatal(code)
	}
	var got *http.Cookie
	for _, c := range (&http.Response{Header: h}).Cookies() {
		if c.Name == cookieName {
			got = c
		}
	}
	if got == nil || !got.Secure || !got.HttpOnly || got.SameSite != http.SameSiteStrictMode || got.Path != "/" ||
		got.Domain != "" || got.MaxAge != int(loginLasts/time.Second) {
		t.Errorf("cookie %+v", got)
	}
	_, _, h = b.do("GET", "/", nil)
	for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'",
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
		"Referrer-Policy": "no-referrer"} {
		if got := h.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if csp := h.Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || strings.Contains(csp, "http") {
		t.Errorf("policy %q", csp)
	}
}

// TestFixation: a cookie that somebody else set before a login is not the one of after it, nor does it work then.
func TestFixation(t *testing.T) {
	r := newRig(t, options{})
	b := r.logged(t, access.Viewer)
	before := b.cookie()
	if code, _ := b.login(r.tokens[access.Admin]); code != http.StatusSeeOther {
		t.Fatal(code)
	}
	if b.cookie() == before {
		t.Error("the login took over the cookie of before")
	}
	other := r.visitor(t)
	if code, _, _ := other.do("GET", "/", nil, "Cookie", cookieName+"="+before); code != http.StatusSeeOther {
		t.Errorf("the cookie of before works still: %d", code)
	}
	mine := r.visitor(t)
	if code, _, _ := mine.do("GET", "/", nil, "Cookie", cookieName+"=chosen"); code != http.StatusSeeOther {
		t.Errorf("a cookie that the server did not make: %d", code)
	}
}

// TestLoginEnds: a login ends with its time, and with its token.
func TestLoginEnds(t *testing.T) {
	r := newRig(t, options{})
	b := r.logged(t, access.Operator)
	b.get("/")
	if err := r.book.Remove(t.Context(), "a-operator"); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := b.do("GET", "/", nil); code != http.StatusSeeOther {
		t.Errorf("its token was removed: %d", code)
	}
	b = r.logged(t, access.Viewer)
	r.page.visits.now = func() time.Time { return time.Now().Add(loginLasts + time.Second) }
	if code, _, _ := b.do("GET", "/", nil); code != http.StatusSeeOther {
		t.Errorf("after %v: %d", loginLasts, code)
	}
	code, _, h := b.do("GET", "/machines", nil, "HX-Request", "true")
	if code != http.StatusUnauthorized || h.Get("HX-Redirect") != "/login?next=%2Fmachines" {
		t.Errorf("a script's request after the end: %d, to %q", code, h.Get("HX-Redirect"))
	}
	const over = "This login is over"
	if body := b.get("/login?next=%2Fmachines"); !strings.Contains(body, over) ||
		!strings.Contains(body, clock(r.page.visits.began)) || !strings.Contains(body, `value="/machines"`) {
		t.Errorf("who was logged in does not hear why that is over:\n%s", body)
	}
	if strings.Contains(r.visitor(t).get("/login"), over) {
		t.Error("a stranger hears of a login that is over")
	}
}

// TestManyLogins: logins are bounded, in all and by token, and the oldest goes.
func TestManyLogins(t *testing.T) {
	r := newRig(t, options{})
	first := r.page.visits.begin(access.SumOf(r.tokens[access.Viewer]), loginLasts)
	for range 3 * maxOfToken {
		r.page.visits.begin(access.SumOf(r.tokens[access.Admin]), loginLasts)
	}
	if n := len(r.page.visits.byID); n != maxOfToken+1 {
		t.Errorf("%d logins, want %d", n, maxOfToken+1)
	}
	req, err := http.NewRequest("GET", "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(cookie(cookieName, first, 0))
	if e, _ := r.page.visits.of(req); e == nil {
		t.Error("another token's logins ended this one")
	}
}

// TestNext: a login leads to pages of this server only.
func TestNext(t *testing.T) {
	for to, want := range map[string]string{"": "/", "/machines?q=a%20b": "/machines?q=a%20b", "//evil.example": "/",
		"https://evil.example/": "/", `/\evil.example`: "/", "javascript:alert(1)": "/", "machines": "/",
		"/a\nb": "/", "/%zz": "/"} {
		if got := local(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

// TestForeignForms: every route that changes something refuses forms of others' pages, forms without the token of this
// login, and requests of those who are not logged in. The routes are the table's.
func TestForeignForms(t *testing.T) {
	r := newRig(t, options{})
	for _, rt := range Routes() {
		method, path, _ := strings.Cut(rt.Pattern, " ")
		if method == "GET" {
			continue
		}
		if method != "POST" {
			t.Errorf("%s: what changes something is a POST", rt.Pattern)
		}
		path = strings.NewReplacer("{machine}", "m1", "{id}", "s1", "{op}", "on", "{image}", "x").Replace(path)
		b, other := r.logged(t, access.Admin), r.logged(t, access.Admin)
		good := b.csrf("/")
		for name, ask := range map[string]func() int{
			"no token": func() int { code, _, _ := b.do("POST", path, url.Values{}); return code },
			"another's token": func() int {
				code, _, _ := b.do("POST", path, url.Values{"csrf": {other.csrf("/")}})
				return code
			},
			"token in the address": func() int {
				code, _, _ := b.do("POST", path+"?csrf="+good, url.Values{})
				return code
			},
			"another origin": func() int {
				code, _, _ := b.do("POST", path, url.Values{"csrf": {good}}, "Origin", "https://evil.example")
				return code
			},
			"cross site": func() int {
				code, _, _ := b.do("POST", path, url.Values{"csrf": {good}}, "Sec-Fetch-Site", "cross-site")
				return code
			},
		} {
			if code := ask(); code != http.StatusForbidden {
				t.Errorf("%s, %s: %d, want %d", rt.Pattern, name, code, http.StatusForbidden)
			}
		}
		stranger := r.visitor(t)
		code, _, _ := stranger.do("POST", path, url.Values{"csrf": {good}})
		if rt.Role != Anyone && code != http.StatusSeeOther || rt.Role == Anyone && code != http.StatusForbidden {
			t.Errorf("%s of a stranger: %d", rt.Pattern, code)
		}
	}
}

// TestLoginByLink: a link logs in once, and not by being looked at; it leads to what its token may.
func TestLoginByLink(t *testing.T) {
	r := newRig(t, options{})
	made, err := r.book.Link("a-viewer", doc.LoginLinkSpec{V: 1, Minutes: 10})
	if err != nil {
		t.Fatal(err)
	}
	_, word, _ := strings.Cut(made.Path, "link=")
	mail := r.visitor(t)
	for range 3 { // what looks at links before people do
		body := mail.get(made.Path)
		if !strings.Contains(body, "logs you in once") || strings.Contains(body, "a-viewer") {
			t.Fatalf("the link leads to\n%s", body)
		}
	}
	use := func(b *visitor, word string) int {
		t.Helper()
		code, _, _ := b.do("POST", "/login/link", url.Values{"csrf": {b.csrf(made.Path)}, "link": {word}})
		return code
	}
	if code, _, _ := mail.do("POST", "/login/link", url.Values{"link": {word}}); code != http.StatusForbidden {
		t.Errorf("from a page of somebody else's: %d", code)
	}
	b := r.visitor(t)
	if code := use(b, word); code != http.StatusSeeOther {
		t.Fatalf("the link: %d", code)
	}
	if body := b.get("/"); !strings.Contains(body, "a-viewer") {
		t.Errorf("logged in as another:\n%s", body)
	}
	for _, again := range []string{word, "", word + "x", r.tokens[access.Admin]} {
		if code := use(r.visitor(t), again); code != http.StatusUnauthorized {
			t.Errorf("the link %q afterwards: %d", again, code)
		}
	}
	if err := r.book.Remove(t.Context(), "a-viewer"); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := b.do("GET", "/", nil); code != http.StatusSeeOther {
		t.Errorf("the login outlived its token: %d", code)
	}
}
