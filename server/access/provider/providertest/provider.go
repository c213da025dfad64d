// Package providertest is an OpenID provider for tests: a discovery document, real keys, an authorization endpoint that
// knows everybody, a token endpoint that holds a code against PKCE and gives nothing for it twice. It does wrong what a
// test tells it to.
package providertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// The client that the provider knows.
const (
	Client = "diskcast"
	Secret = "a secret of the client"
)

// Provider is one that runs.
type Provider struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	key      crypto.Signer
	id       string // of the key
	public   []jose.JSONWebKey
	codes    map[string]grant
	Redirect string         // the one that the provider knows
	Claims   map[string]any // of who logs in, in place of the usual ones
	Down     bool           // it answers nothing
	Asks     bool           // it shows a page of its own before it sends a browser back
	Issuer   string         // that it says in its document; empty: the right one
	// Token makes another token of the claims than the right one.
	Token func(claims map[string]any) string
	// Answer does something else at the token endpoint.
	Answer http.HandlerFunc
	// Asked is how many codes were exchanged.
	Asked int
}

type grant struct{ challenge, nonce, redirect string }

// New starts one whose redirect is known for a page.
func New(t testing.TB, page string) *Provider {
	p := &Provider{t: t, codes: map[string]grant{}, Redirect: page + "/login/oidc/callback"}
	p.RSA("one")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", p.document)
	mux.HandleFunc("/keys", p.keys)
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("/token", p.token)
	p.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		down := p.Down
		p.mu.Unlock()
		if down {
			http.Error(w, "the provider is being mended", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

// Do changes the provider while it runs.
func (p *Provider) Do(f func(p *Provider)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(p)
}

// RSA has the provider sign with a new key, and know no other.
func (p *Provider) RSA(id string) {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		p.t.Fatal(err)
	}
	p.use(id, k, jose.RS256)
}

// EC is RSA with a key of P-256.
func (p *Provider) EC(id string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.use(id, k, jose.ES256)
}

func (p *Provider) use(id string, k crypto.Signer, alg jose.SignatureAlgorithm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.key, p.id = k, id
	p.public = []jose.JSONWebKey{{Key: k.Public(), KeyID: id, Algorithm: string(alg), Use: "sig"}}
}

func (p *Provider) document(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	issuer := p.Issuer
	if issuer == "" {
		issuer = p.URL
	}
	p.answer(w, map[string]any{"issuer": issuer, "authorization_endpoint": p.URL + "/authorize",
		"token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys", "response_types_supported": []string{"code"},
		"subject_types_supported": []string{"public"}, "authorization_response_iss_parameter_supported": true,
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "none", "HS256"}})
}

func (p *Provider) answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	b, err := json.Marshal(v)
	if err != nil {
		p.t.Error(err)
	}
	_, _ = w.Write(b) // who asks breaks off where it is too much
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer(w, jose.JSONWebKeySet{Keys: p.public})
}

// authorize lets everybody in who comes with what a client must come with.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	if q.Get("redirect_uri") != p.Redirect || q.Get("client_id") != Client {
		http.Error(w, "this redirect is not registered", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	switch {
	case q.Get("prompt") == "none":
		back.Set("error", "login_required")
	case q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" || q.Get("nonce") == "" ||
		len(q.Get("state")) < 20 || !strings.Contains(q.Get("scope"), "openid"):
		back.Set("error", "invalid_request")
	default:
		code := rand.Text()
		p.codes[code] = grant{q.Get("code_challenge"), q.Get("nonce"), q.Get("redirect_uri")}
		back.Set("code", code)
	}
	to := p.Redirect + "?" + back.Encode()
	if p.Asks {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<title>Provider</title><a id="yes" href="%s">I am Ada</a>`, html.EscapeString(to))
		return
	}
	http.Redirect(w, r, to, http.StatusFound)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Asked++
	if p.Answer != nil {
		p.Answer(w, r)
		return
	}
	id, secret, _ := r.BasicAuth()
	if pass, err := url.QueryUnescape(secret); err != nil || id != Client || pass != Secret {
		p.refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	code := r.PostFormValue("code")
	g, ok := p.codes[code]
	delete(p.codes, code)
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge ||
		r.PostFormValue("redirect_uri") != g.redirect {
		p.refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	now := time.Now()
	claims := map[string]any{"iss": p.URL, "sub": "0815", "aud": Client, "exp": now.Add(5 * time.Minute).Unix(),
		"iat": now.Unix(), "nonce": g.nonce, "email": "ada@example.org", "email_verified": true,
		"groups": []string{"teachers", "staff"}}
	for k, v := range p.Claims {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	token := ""
	if p.Token != nil {
		token = p.Token(claims)
	} else {
		token = p.sign(claims, p.key, p.id)
	}
	p.answer(w, map[string]any{"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": token})
}

func (p *Provider) refuse(w http.ResponseWriter, code int, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": why, "error_description": "no <b>way</b>"})
}

// Sign makes a token of claims with a key that the caller names, under an id of his choice.
func (p *Provider) Sign(claims map[string]any, key crypto.Signer, id string) string {
	return p.sign(claims, key, id)
}

// Key is the one that is signed with, and its id. It is for Token, which runs while nothing changes.
func (p *Provider) Key() (crypto.Signer, string) { return p.key, p.id }

func (p *Provider) sign(claims map[string]any, key crypto.Signer, id string) string {
	alg := jose.RS256
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		alg = jose.ES256
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	b, err := json.Marshal(claims)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	o, err := s.Sign(b)
	if err != nil {
		p.t.Error(err)
		return ""
	}
	text, err := o.CompactSerialize()
	if err != nil {
		p.t.Error(err)
	}
	return text
}
