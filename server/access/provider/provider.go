// Package provider has people log in by the site's OpenID provider: OpenID Connect's authorization code flow with PKCE,
// state and nonce. Who the provider says somebody is decides, by the rules of the settings, what he may do.
//
// Nothing of a login that was begun is kept here: the browser has it, sealed, and one that ended is remembered until
// its time is over, so that it cannot end twice. The provider is looked for when somebody wants to log in, never at the
// server's start.
package provider

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/config"
)

// CallbackPath is where the provider sends browsers back to, below the page's URL.
const CallbackPath = "/login/oidc/callback"

// Bounds of what is asked of the provider and believed of it.
const (
	maxSecret   = 4096             // bytes of the client's secret
	maxPEM      = 1 << 20          // bytes of certificates
	maxDocument = 1 << 20          // bytes of one of its answers
	patience    = 10 * time.Second // for one
	retryAfter  = 5 * time.Second  // that a failure is believed
	renewAfter  = time.Hour        // its endpoints and keys are asked for anew
	skew        = time.Minute      // that its clock may be behind
	maxAhead    = 5 * time.Minute  // that its clock may be ahead, as go-oidc has it for nbf
	atOnce      = 16               // logins that are being ended
)

// algorithms of signatures; none and those with a shared secret are not among them.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.PS256,
	oidc.PS384, oidc.PS512, oidc.EdDSA}

// Provider is one.
type Provider struct {
	c      config.People
	secret string
	client *http.Client
	seal   cipher.AEAD // of what browsers keep; new at each start
	hold   func(on string) (string, error)
	now    func() time.Time
	places chan struct{} // one for each login that is being ended

	meeting sync.Mutex // held while the provider is asked who it is
	mu      sync.Mutex
	met     *met
	failed  error // at the last try
	tried   time.Time
	used    map[string]time.Time // states of logins that ended, until when they would be good
}

// met is what the provider says of itself.
type met struct {
	oauth    oauth2.Config
	verifier *oidc.IDTokenVerifier
	at       time.Time
	issuer   bool // it says its name with each answer (RFC 9207)
}

// New reads the files of the settings, and asks nobody. hold brings a selector of machines into its one form, or says
// why it cannot be read.
func New(c config.People, hold func(on string) (string, error)) (*Provider, error) {
	p := &Provider{c: c, hold: hold, now: time.Now, places: make(chan struct{}, atOnce), used: map[string]time.Time{}}
	var err error
	if c.SecretFile != "" {
		if p.secret, err = readSecret(c.SecretFile); err != nil {
			return nil, fmt.Errorf("oidc-secret-file: %w", err)
		}
	}
	if p.client, err = Client(c.CAFile); err != nil {
		return nil, fmt.Errorf("oidc-ca-file: %w", err)
	}
	var key [32]byte
	_, _ = rand.Read(key[:]) // it never fails
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	p.seal, err = cipher.NewGCM(block)
	return p, err
}

// readSecret reads the secret, which is not everybody's.
func readSecret(name string) (string, error) {
	b, mode, err := readFile(name, maxSecret)
	if err != nil {
		return "", err
	}
	if mode&0o007 != 0 {
		return "", fmt.Errorf("%s: everybody on this machine can read it: `chmod o= %s`, and have the provider make "+
			"another secret", name, name)
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s: it is not one line with the secret", name)
	}
	return secret, nil
}

func readFile(name string, most int64) ([]byte, os.FileMode, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(b)) > most {
		err = fmt.Errorf("%s: it has more than %d bytes", name, most)
	}
	return b, st.Mode(), err
}

// Client asks a provider: with bounds on what it reads, and following nobody elsewhere, since secrets are in requests.
func Client(caFile string) (*http.Client, error) {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if caFile != "" {
		b, _, err := readFile(caFile, maxPEM)
		if err != nil {
			return nil, err
		}
		tr.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !tr.TLSClientConfig.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s: there is no certificate in it (PEM)", caFile)
		}
	}
	return &http.Client{Transport: &bounded{tr}, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// bounded has answers of so many bytes, and an error behind them.
type bounded struct{ next http.RoundTripper }

func (b *bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	a, err := b.next.RoundTrip(r)
	if err == nil {
		a.Body = http.MaxBytesReader(nil, a.Body, maxDocument)
	}
	return a, err
}

// Host is what people know the provider by.
func (p *Provider) Host() string {
	u, err := url.Parse(p.c.Issuer)
	if err != nil {
		return plain.Line(p.c.Issuer, 100)
	}
	return u.Host
}

// Public is the URL of the page.
func (p *Provider) Public() string { return p.c.Public }

// Redirect is where the provider sends browsers back to.
func (p *Provider) Redirect() string { return p.c.Public + CallbackPath }

// Trouble is why the provider could not be asked the last time; empty: it could.
func (p *Provider) Trouble() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == nil {
		return ""
	}
	return plain.Line(p.failed.Error(), 300)
}

// meet is what the provider says of itself, asked for if that was long ago.
func (p *Provider) meet(ctx context.Context) (*met, error) {
	if m, err, ok := p.known(); ok {
		return m, err
	}
	p.meeting.Lock()
	defer p.meeting.Unlock()
	if m, err, ok := p.known(); ok { // another one has asked
		return m, err
	}
	// Whoever asked first may go away meanwhile: that says nothing of the provider, and others wait for it.
	m, err := p.ask(context.WithoutCancel(ctx))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried, p.failed = p.now(), err
	if err == nil {
		p.met = m
	}
	return m, err
}

// known is what is known without asking.
func (p *Provider) known() (*met, error, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	switch {
	case p.met != nil && now.Sub(p.met.at) < renewAfter:
		return p.met, nil, true
	case p.failed != nil && now.Sub(p.tried) < retryAfter:
		return nil, p.failed, true
	}
	return nil, nil, false
}

// ask has the provider say who it is.
func (p *Provider) ask(ctx context.Context) (*met, error) {
	ctx = oidc.ClientContext(ctx, p.client)
	found, err := oidc.NewProvider(ctx, p.c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the provider %s does not say who it is: %w", p.c.Issuer, err)
	}
	var more struct {
		Keys    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
		Issuer  bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, fmt.Errorf("what the provider %s says of itself is not understood: %w", p.c.Issuer, err)
	}
	end := found.Endpoint()
	for _, place := range []string{end.AuthURL, end.TokenURL, more.Keys} {
		u, err := url.Parse(place)
		if err != nil || u.Host == "" || u.Scheme != "https" && !strings.HasPrefix(p.c.Issuer, "http://") {
			return nil, fmt.Errorf("the provider %s names the address %q, which is not one of https", p.c.Issuer,
				plain.Line(place, 200))
		}
	}
	end.AuthStyle = oauth2.AuthStyleInHeader
	if p.secret == "" || len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic") {
		end.AuthStyle = oauth2.AuthStyleInParams
	}
	return &met{
		oauth: oauth2.Config{ClientID: p.c.Client, ClientSecret: p.secret, Endpoint: end, RedirectURL: p.Redirect(),
			Scopes: p.c.Scopes},
		verifier: found.VerifierContext(ctx, &oidc.Config{ClientID: p.c.Client, SupportedSigningAlgs: algorithms,
			Now: func() time.Time { return p.now().Add(-skew) }}),
		at: p.now(), issuer: more.Issuer}, nil
}
