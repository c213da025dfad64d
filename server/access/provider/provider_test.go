package provider

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/access/provider/providertest"
	"github.com/diskcast/diskcast/server/config"
)

const page = "https://diskcast.example.org:8443"

// rig is a provider and its client.
type rig struct {
	*Provider
	t  *testing.T
	at *providertest.Provider
}

func newRig(t *testing.T, rules ...string) *rig {
	t.Helper()
	at := providertest.New(t, page)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: at.Certificate().Raw})
	secret := filepath.Join(dir, "secret")
	if err := errors.Join(os.WriteFile(ca, cert, 0o644),
		os.WriteFile(secret, []byte(providertest.Secret+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	set := config.Defaults()
	set.Public, set.Issuer, set.Client = page, at.URL, providertest.Client
	set.SecretFile, set.ProviderCA, set.PeopleRules = secret, ca, rules
	if len(rules) == 0 {
		set.PeopleRules = []string{"groups=it -> admin", "groups=teachers -> operator room=210"}
	}
	c, err := set.People()
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(*c, func(on string) (string, error) {
		if on == "broken" {
			return "", errors.New("there is no such group")
		}
		return on, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{p, t, at}
}

// begin begins a login; answer is what the provider sends the browser back with.
func (r *rig) begin(next string) (keep string, answer url.Values) {
	r.t.Helper()
	to, keep, err := r.Begin(r.t.Context(), next)
	if err != nil {
		r.t.Fatal(err)
	}
	return keep, r.visit(to)
}

// visit is a browser at the provider.
func (r *rig) visit(to string) url.Values {
	r.t.Helper()
	c := *r.at.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a, err := c.Get(to)
	if err != nil {
		r.t.Fatal(err)
	}
	a.Body.Close()
	back, err := a.Location()
	if err != nil || !strings.HasPrefix(back.String(), page+CallbackPath+"?") {
		r.t.Fatalf("the provider answers %d %v %v", a.StatusCode, back, err)
	}
	return back.Query()
}

func (r *rig) login() (*Login, error) {
	keep, q := r.begin("/machines")
	return r.Finish(r.t.Context(), keep, q)
}

func TestLogin(t *testing.T) {
	for _, key := range []string{"RSA", "EC"} {
		r := newRig(t)
		if key == "EC" {
			r.at.EC("ec")
		}
		l, err := r.login()
		if err != nil {
			t.Fatal(err)
		}
		want := access.Holder{Name: "oidc:ada@example.org", Role: "operator", Within: "room=210"}
		if l.Holder != want || l.Next != "/machines" || l.Subject != "0815" {
			t.Errorf("%s: got %+v", key, l)
		}
		if lasts := time.Until(l.Until); lasts > 8*time.Hour || lasts < 7*time.Hour {
			t.Errorf("%s: it lasts %v", key, lasts)
		}
		if r.Trouble() != "" {
			t.Error(r.Trouble())
		}
	}
}

// TestTokens: a token that is not the provider's, for this client, of this login and of now is not taken.
func TestTokens(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	unsigned := func(alg string) func(map[string]any) string {
		return func(claims map[string]any) string {
			b, _ := json.Marshal(claims)
			e := base64.RawURLEncoding.EncodeToString
			return e([]byte(`{"alg":"`+alg+`","typ":"JWT"}`)) + "." + e(b) + "."
		}
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).Unix() }
	for _, c := range []struct {
		name   string
		claims map[string]any
		token  func(p *providertest.Provider) func(map[string]any) string
		want   string // empty: it is taken
	}{
		{name: "another issuer", claims: map[string]any{"iss": "https://evil.example.org"}, want: "different provider"},
		{name: "another audience", claims: map[string]any{"aud": "another"}, want: "expected audience"},
		{name: "no audience", claims: map[string]any{"aud": nil}, want: "expected audience"},
		{name: "several audiences without azp", claims: map[string]any{"aud": []string{providertest.Client, "x"}},
			want: "another client"},
		{name: "several audiences, for us", claims: map[string]any{"aud": []string{providertest.Client, "x"},
			"azp": providertest.Client}},
		{name: "several audiences, for another", claims: map[string]any{"aud": []string{providertest.Client, "x"},
			"azp": "x"}, want: "another client"},
		{name: "another nonce", claims: map[string]any{"nonce": "another"}, want: "nonce"},
		{name: "no nonce", claims: map[string]any{"nonce": nil}, want: "nonce"},
		{name: "expired", claims: map[string]any{"exp": ago(2 * time.Minute)}, want: "expired"},
		{name: "expired by a clock that is behind", claims: map[string]any{"exp": ago(30 * time.Second)}},
		{name: "expired, with a clock", claims: map[string]any{"exp": ago(time.Hour)}, want: "compare the clocks"},
		{name: "made in an hour", claims: map[string]any{"iat": ago(-time.Hour)}, want: "compare the clocks"},
		{name: "made by a clock that is ahead", claims: map[string]any{"iat": ago(-2 * time.Minute)}},
		{name: "no end", claims: map[string]any{"exp": nil}, want: "expired"},
		{name: "not yet", claims: map[string]any{"nbf": ago(-time.Hour)}, want: "not before"},
		{name: "of nobody", claims: map[string]any{"sub": nil}, want: "no sub"},
		{name: "unsigned", token: func(*providertest.Provider) func(map[string]any) string { return unsigned("none") },
			want: "not taken"},
		{name: "unsigned, said otherwise", want: "not taken",
			token: func(*providertest.Provider) func(map[string]any) string { return unsigned("RS256") }},
		{name: "signed with the client's secret", want: "not taken",
			token: func(p *providertest.Provider) func(map[string]any) string {
				return func(claims map[string]any) string {
					s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256,
						Key: []byte(strings.Repeat(providertest.Secret, 2))}, nil)
					if err != nil {
						t.Error(err)
						return ""
					}
					b, _ := json.Marshal(claims)
					o, _ := s.Sign(b)
					text, _ := o.CompactSerialize()
					return text
				}
			}},
		{name: "another key under the name of the provider's", want: "not taken",
			token: func(p *providertest.Provider) func(map[string]any) string {
				return func(claims map[string]any) string {
					_, id := p.Key()
					return p.Sign(claims, other, id)
				}
			}},
		{name: "changed behind the signature", want: "not taken",
			token: func(p *providertest.Provider) func(map[string]any) string {
				return func(claims map[string]any) string {
					k, id := p.Key()
					part := strings.Split(p.Sign(claims, k, id), ".")
					claims["groups"] = []string{"it"}
					b, _ := json.Marshal(claims)
					return part[0] + "." + base64.RawURLEncoding.EncodeToString(b) + "." + part[2]
				}
			}},
		{name: "huge", claims: map[string]any{"x": strings.Repeat("x", maxToken)}, want: "no ID token of at most"},
		{name: "larger than all bounds", claims: map[string]any{"x": strings.Repeat("x", 2*maxDocument)},
			want: "gives nothing"},
		{name: "no token", want: "not taken",
			token: func(*providertest.Provider) func(map[string]any) string {
				return func(map[string]any) string { return "" }
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.at.Do(func(p *providertest.Provider) {
				p.Claims = c.claims
				if c.token != nil {
					p.Token = c.token(p)
				}
			})
			l, err := r.login()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !errors.Is(err, ErrProvider) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %+v, %v; want an error with %q", l, err, c.want)
			}
		})
	}
}

// TestAnswers: what a browser comes back with must be of the login that it began, of that provider, and new.
func TestAnswers(t *testing.T) {
	r := newRig(t)
	refused := func(name, keep string, q url.Values, want string) {
		t.Helper()
		before := r.at.Asked
		l, err := r.Finish(t.Context(), keep, q)
		if err == nil || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %+v, %v; want an error with %q", name, l, err, want)
		}
		if r.at.Asked != before {
			t.Errorf("%s: the provider was asked", name)
		}
	}
	keep, q := r.begin("/")
	refused("without what the browser kept", "", q, "has begun no login")
	refused("with what another server gave", base64.RawURLEncoding.EncodeToString(make([]byte, 200)), q,
		"not of this server")
	refused("with what is too long", strings.Repeat("A", maxKeep+1), q, "too long")
	// Login CSRF: somebody's answer in the browser of another, who began a login of his own.
	victim, _ := r.begin("/")
	refused("another's answer", victim, q, "another login")
	foreign := url.Values{"state": q["state"], "code": q["code"], "iss": {"https://evil.example.org"}}
	mine, own := r.begin("/")
	foreign.Set("state", own.Get("state"))
	refused("another provider's answer", mine, foreign, "another provider")
	mine, own = r.begin("/")
	own.Del("iss")
	refused("an answer of a provider that says its name, without it", mine, own, "another provider")
	mine, own = r.begin("/")
	own.Del("code")
	refused("no code", mine, own, "no code")
	mine, own = r.begin("/")
	own.Set("code", strings.Repeat("x", maxCode+1))
	refused("a huge code", mine, own, "no code")
	mine, own = r.begin("/")
	own.Set("error", "access_denied")
	own.Set("error_description", "you\x1b[2J may not\n")
	refused("a refusal", mine, own, "access_denied: you")
	if _, err := r.Finish(t.Context(), keep, q); err != nil {
		t.Errorf("the login that began first: %v", err)
	}
	refused("once more", keep, q, "has ended already")
	// The same code in another login: PKCE, and a provider that gives nothing for it twice.
	keep, again := r.begin("/")
	again.Set("code", q.Get("code"))
	if _, err := r.Finish(t.Context(), keep, again); err == nil || !errors.Is(err, ErrProvider) ||
		!strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("a code that was used: %v", err)
	}
	keep, q = r.begin("/")
	r.now = func() time.Time { return time.Now().Add(KeepTime + time.Second) }
	refused("late", keep, q, "longer than")
}

// TestStolenCode: who has somebody's code and not his browser gets nothing for it.
func TestStolenCode(t *testing.T) {
	r := newRig(t)
	_, victim := r.begin("/")
	keep, own := r.begin("/")
	own.Set("code", victim.Get("code"))
	if _, err := r.Finish(t.Context(), keep, own); err == nil || !strings.Contains(err.Error(), "invalid_grant") {
		t.Errorf("got %v", err)
	}
}

// TestPeople: who somebody is, and what he may do.
func TestPeople(t *testing.T) {
	for _, c := range []struct {
		name   string
		rules  []string
		claims map[string]any
		want   access.Holder
		err    string
	}{
		{name: "the first rule that fits", claims: map[string]any{"groups": []string{"teachers", "it"}},
			want: access.Holder{Name: "oidc:ada@example.org", Role: "admin"}},
		{name: "no rule", claims: map[string]any{"groups": []string{"pupils"}}, err: "no rule"},
		{name: "part of a name", claims: map[string]any{"groups": []string{"teachers2", "xit"}}, err: "no rule"},
		{name: "no groups", claims: map[string]any{"groups": nil}, err: "no rule"},
		{name: "one group as a text", claims: map[string]any{"groups": "it"},
			want: access.Holder{Name: "oidc:ada@example.org", Role: "admin"}},
		{name: "a claim within others", rules: []string{"realm_access.roles=lab admins -> viewer"},
			claims: map[string]any{"realm_access": map[string]any{"roles": []string{"lab admins"}}},
			want:   access.Holder{Name: "oidc:ada@example.org", Role: "viewer"}},
		{name: "a claim with dots in its name", rules: []string{"https://x.example.org/roles=a -> viewer"},
			claims: map[string]any{"https://x.example.org/roles": []any{"a", 7, nil}},
			want:   access.Holder{Name: "oidc:ada@example.org", Role: "viewer"}},
		{name: "everybody", rules: []string{"sub=* -> viewer"},
			want: access.Holder{Name: "oidc:ada@example.org", Role: "viewer"}},
		{name: "a number is no name", rules: []string{"level=7 -> viewer"}, claims: map[string]any{"level": 7},
			err: "no rule"},
		{name: "mail that is not verified", claims: map[string]any{"email_verified": false}, err: "not verified"},
		{name: "mail of which nobody says whether", claims: map[string]any{"email_verified": nil}, err: "not verified"},
		{name: "no mail", claims: map[string]any{"email": nil}, err: "does not say your email"},
		{name: "a name with a line's end", claims: map[string]any{"email": "ada\n@example.org"},
			err: "nothing that people"},
		{name: "a name that turns the text", claims: map[string]any{"email": "ada\u202e@example.org"},
			err: "nothing that people"},
		{name: "a long name", claims: map[string]any{"email": strings.Repeat("a", 200) + "@example.org"},
			err: "nothing that people"},
		{name: "a selector of a group that is gone", rules: []string{"groups=staff -> viewer broken"},
			err: "nobody can say"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, c.rules...)
			r.at.Do(func(p *providertest.Provider) { p.Claims = c.claims })
			l, err := r.login()
			switch {
			case c.err == "" && (err != nil || l.Holder != c.want):
				t.Errorf("got %+v, %v; want %+v", l, err, c.want)
			case c.err != "" && (err == nil || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.err)):
				t.Errorf("got %+v, %v; want an error with %q", l, err, c.err)
			}
		})
	}
}

// TestKeysChange: a provider that signs with a new key is believed at once, and an old key no longer than an hour.
func TestKeysChange(t *testing.T) {
	r := newRig(t)
	if _, err := r.login(); err != nil {
		t.Fatal(err)
	}
	old, oldID := r.at.Key()
	r.at.EC("two")
	if _, err := r.login(); err != nil {
		t.Errorf("after the change: %v", err)
	}
	r.at.Do(func(p *providertest.Provider) {
		p.Token = func(claims map[string]any) string {
			claims["exp"] = time.Now().Add(5 * time.Hour).Unix()
			return p.Sign(claims, old, oldID)
		}
	})
	r.now = func() time.Time { return time.Now().Add(renewAfter + time.Minute) }
	if _, err := r.login(); err == nil {
		t.Error("a key that the provider has taken back is believed")
	}
}

// TestDown: a provider that does not answer is said to do so, is not asked by each who comes, and is found again.
func TestDown(t *testing.T) {
	r := newRig(t)
	r.at.Do(func(p *providertest.Provider) { p.Down = true })
	for range 2 {
		_, _, err := r.Begin(t.Context(), "/")
		if err == nil || !errors.Is(err, ErrProvider) || !strings.Contains(err.Error(), "503") {
			t.Errorf("got %v", err)
		}
	}
	if !strings.Contains(r.Trouble(), "being mended") {
		t.Errorf("its trouble is %q", r.Trouble())
	}
	r.at.Do(func(p *providertest.Provider) { p.Down = false })
	if _, _, err := r.Begin(t.Context(), "/"); err == nil {
		t.Error("it was asked again at once")
	}
	r.now = func() time.Time { return time.Now().Add(retryAfter) }
	if _, err := r.login(); err != nil || r.Trouble() != "" {
		t.Errorf("when it is back: %v %q", err, r.Trouble())
	}
	r.at.Do(func(p *providertest.Provider) { p.Issuer = "https://evil.example.org" })
	r.now = func() time.Time { return time.Now().Add(2 * renewAfter) }
	if _, _, err := r.Begin(t.Context(), "/"); err == nil || !errors.Is(err, ErrProvider) {
		t.Errorf("a provider that says another name: %v", err)
	}
}

// TestWhoGoesAway: somebody who asks and goes away does not have the provider called silent.
func TestWhoGoesAway(t *testing.T) {
	r := newRig(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, _ = r.Begin(gone, "/") // whatever he is answered
	if _, err := r.login(); err != nil || r.Trouble() != "" {
		t.Errorf("the next one: %v, %q", err, r.Trouble())
	}
}

// TestStranger: a provider whose certificate nobody vouches for is not asked for anything.
func TestStranger(t *testing.T) {
	r := newRig(t)
	c := r.c
	c.CAFile = ""
	p, err := New(c, r.hold)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Begin(t.Context(), "/"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}

// TestHostile: whatever the token endpoint does, it ends, in words that do nothing to a page or a log.
func TestHostile(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "" {
				t.Error("code and secret are sent where a redirect leads")
			}
			http.Redirect(w, r, "/token?elsewhere", http.StatusTemporaryRedirect)
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<script>\x1b[2J")) },
		"no end":  func(w http.ResponseWriter, r *http.Request) { forever(w, r) },
		"nothing": func(http.ResponseWriter, *http.Request) {},
		"a number": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte(`{"access_token":"x","id_token":7}`))
		},
	} {
		r := newRig(t)
		r.at.Do(func(p *providertest.Provider) { p.Answer = answer })
		_, err := r.login()
		if err == nil || !errors.Is(err, ErrProvider) || strings.ContainsAny(err.Error(), "\x1b\n") ||
			len(err.Error()) > 1000 {
			t.Errorf("%s: got %q", name, err)
		}
	}
}

func forever(w http.ResponseWriter, r *http.Request) {
	block := make([]byte, 64<<10)
	for r.Context().Err() == nil {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// TestProbe: a provider that knows the server is well, and one that does not is said to do what it does.
func TestProbe(t *testing.T) {
	r := newRig(t)
	if wrong, err := r.Probe(t.Context()); wrong != "" || err != nil {
		t.Errorf("got %q %v", wrong, err)
	}
	r.at.Do(func(p *providertest.Provider) { p.Redirect = "https://elsewhere.example.org/callback" })
	if wrong, err := r.Probe(t.Context()); wrong != "it answers 400" || err != nil {
		t.Errorf("of another redirect: got %q %v", wrong, err)
	}
	r.at.Close()
	if _, err := r.Probe(t.Context()); err == nil {
		t.Error("one that is gone is well")
	}
}

// TestMany: thousands log in, and what is remembered of them has bounds.
func TestMany(t *testing.T) {
	r := newRig(t)
	if _, err := r.login(); err != nil {
		t.Fatal(err)
	}
	b := begun{Until: time.Now().Add(KeepTime)}
	for range maxUsed + 10 {
		b.State = rand.Text()
		r.once(&b)
	}
	if len(r.used) > maxUsed {
		t.Errorf("%d are remembered", len(r.used))
	}
	b.State = rand.Text()
	if r.once(&b) {
		t.Error("one that is not remembered ends")
	}
	r.now = func() time.Time { return b.Until }
	if b.Until = b.Until.Add(KeepTime); !r.once(&b) {
		t.Error("when their time is over there is no room")
	}
	r = newRig(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			to, keep, err := r.Begin(context.WithoutCancel(t.Context()), "/")
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := r.Finish(t.Context(), keep, r.visit(to)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestRoles: rules know the roles of tokens and no others, and a selector as long as a token's.
func TestRoles(t *testing.T) {
	for role, want := range map[string]bool{access.Viewer: true, access.Operator: true, access.Admin: true,
		"node": false, "": false} {
		if _, err := config.ParsePeopleRule("a=b -> " + role); (err == nil) != want {
			t.Errorf("%q: %v", role, err)
		}
	}
	for n, want := range map[int]bool{access.MaxOn: true, access.MaxOn + 1: false} {
		if _, err := config.ParsePeopleRule("a=b -> viewer " + strings.Repeat("x", n)); (err == nil) != want {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// TestFiles: a secret that everybody can read, and files that are none, keep the server from starting.
func TestFiles(t *testing.T) {
	r := newRig(t)
	dir := t.TempDir()
	open, empty := filepath.Join(dir, "open"), filepath.Join(dir, "empty")
	if err := errors.Join(os.WriteFile(open, []byte("x"), 0o644), os.WriteFile(empty, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		secret, ca, want string
	}{
		{open, "", "everybody"}, {empty, "", "not one line"}, {filepath.Join(dir, "none"), "", "no such file"},
		{"", empty, "no certificate"}, {"", filepath.Join(dir, "none"), "no such file"},
	} {
		set := r.c
		set.SecretFile, set.CAFile = c.secret, c.ca
		if _, err := New(set, r.hold); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}
