package provider

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/access"
)

// Bounds of a login.
const (
	KeepTime = 10 * time.Minute // that it may take
	maxKeep  = 3 << 10          // bytes that a browser keeps of it
	maxNext  = 1 << 10          // bytes of the page that it leads to
	maxCode  = 4 << 10          // bytes of what the provider sends with the browser
	maxToken = 64 << 10         // bytes of an ID token
	maxUsed  = 20000            // logins that are remembered for KeepTime
)

// Login is one that ended well.
type Login struct {
	Holder  access.Holder
	Subject string // the provider's own name of the person
	Until   time.Time
	Next    string // page that was wanted
}

// ErrProvider is wrapped by errors that are the provider's, who does not answer or answers what cannot be used.
var ErrProvider = errors.New("login by the provider failed")

// ErrRefused is wrapped by errors about a person, or about what a browser came with.
var ErrRefused = errors.New("login refused")

// begun is a login until it ends, as the browser keeps it.
type begun struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"` // of PKCE
	Next     string    `json:"to"`
	Until    time.Time `json:"until"`
}

// Begin returns where the browser is to go, and what it is to keep meanwhile.
func (p *Provider) Begin(ctx context.Context, next string) (to, keep string, err error) {
	m, err := p.meet(ctx)
	if err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrProvider, err)
	}
	if len(next) > maxNext {
		next = "/"
	}
	b := begun{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next,
		Until: p.now().Add(KeepTime)}
	text, err := json.Marshal(b)
	if err != nil {
		return "", "", err
	}
	nonce := make([]byte, p.seal.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	keep = base64.RawURLEncoding.EncodeToString(p.seal.Seal(nonce, nonce, text, nil))
	return m.oauth.AuthCodeURL(b.State, oidc.Nonce(b.Nonce), oauth2.S256ChallengeOption(b.Verifier)), keep, nil
}

// open reads what a browser kept.
func (p *Provider) open(keep string) (*begun, error) {
	if len(keep) > maxKeep {
		return nil, errors.New("what the browser kept is too long")
	}
	text, err := base64.RawURLEncoding.DecodeString(keep)
	if err != nil || len(text) < p.seal.NonceSize() {
		return nil, errors.New("what the browser kept is not of this server")
	}
	n := p.seal.NonceSize()
	if text, err = p.seal.Open(nil, text[:n], text[n:], nil); err != nil {
		return nil, errors.New("what the browser kept is not of this server, or the server was started anew meanwhile")
	}
	b := &begun{}
	if err := json.Unmarshal(text, b); err != nil {
		return nil, err
	}
	if !p.now().Before(b.Until) {
		return nil, fmt.Errorf("it took longer than %v", KeepTime)
	}
	return b, nil
}

// once reports whether a login is ended for the first time.
func (p *Provider) once(b *begun) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if _, again := p.used[b.State]; again {
		return false
	}
	if len(p.used) >= maxUsed {
		maps.DeleteFunc(p.used, func(_ string, until time.Time) bool { return !now.Before(until) })
	}
	if len(p.used) >= maxUsed {
		return false // rather no login than one that ends twice
	}
	p.used[b.State] = b.Until
	return true
}

// Finish ends a login: with what the browser kept, and the words that the provider sent it back with.
func (p *Provider) Finish(ctx context.Context, keep string, q url.Values) (*Login, error) {
	b, err := p.open(keep)
	if err != nil {
		return nil, fmt.Errorf("%w: this browser has begun no login here that could end now: %w", ErrRefused, err)
	}
	if subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(b.State)) != 1 {
		return nil, fmt.Errorf("%w: the answer is of another login than the one that this browser began last",
			ErrRefused)
	}
	if !p.once(b) {
		return nil, fmt.Errorf("%w: this login has ended already: begin another", ErrRefused)
	}
	if word := q.Get("error"); word != "" {
		return nil, fmt.Errorf("%w: the provider says %s: %s", ErrRefused, plain.Line(word, 60),
			plain.Line(q.Get("error_description"), 200))
	}
	code := q.Get("code")
	if code == "" || len(code) > maxCode {
		return nil, fmt.Errorf("%w: the provider sent no code that could be one", ErrRefused)
	}
	select {
	case p.places <- struct{}{}:
		defer func() { <-p.places }()
	default:
		return nil, fmt.Errorf("%w: many log in at once: begin again", ErrProvider)
	}
	m, err := p.meet(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProvider, err)
	}
	// A provider that is another one says so before it gets the code (RFC 9207).
	if iss := q.Get("iss"); iss != p.c.Issuer && (iss != "" || m.issuer) {
		return nil, fmt.Errorf("%w: the answer is of another provider, %q", ErrRefused, plain.Line(iss, 200))
	}
	token, err := m.oauth.Exchange(oidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(b.Verifier))
	if err != nil {
		return nil, p.exchangeFailed(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok || len(raw) > maxToken {
		return nil, fmt.Errorf("%w: the provider gave no ID token of at most %d bytes", ErrProvider, maxToken)
	}
	claims, err := p.claims(ctx, m, raw, b.Nonce)
	if err != nil {
		return nil, fmt.Errorf("%w: the ID token is not taken: %w", ErrProvider, err)
	}
	l, err := p.person(claims)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	l.Next, l.Until = b.Next, p.now().Add(p.c.Lasts)
	return l, nil
}

// exchangeFailed is an error of the code's exchange in words.
func (p *Provider) exchangeFailed(err error) error {
	if said := (*oauth2.RetrieveError)(nil); errors.As(err, &said) {
		return fmt.Errorf("%w: the provider gives nothing for the code: %d %s %s", ErrProvider,
			said.Response.StatusCode, plain.Line(said.ErrorCode, 60), plain.Line(said.ErrorDescription, 200))
	}
	return fmt.Errorf("%w: the provider %s gives nothing for the code: %s", ErrProvider, p.c.Issuer,
		plain.Line(err.Error(), 300))
}

// claims are those of an ID token that is the provider's, for this server, of now, and of this login.
func (p *Provider) claims(ctx context.Context, m *met, raw, nonce string) (map[string]any, error) {
	id, err := m.verifier.Verify(oidc.ClientContext(ctx, p.client), raw)
	if err != nil {
		words := plain.Line(err.Error(), 300)
		if late := (*oidc.TokenExpiredError)(nil); errors.As(err, &late) {
			words += fmt.Sprintf("; it is %s here: compare the clocks of the server and of the provider",
				p.now().UTC().Format(time.RFC3339))
		}
		return nil, errors.New(words)
	}
	if ahead := id.IssuedAt.Sub(p.now()); ahead > maxAhead {
		return nil, fmt.Errorf("it was made %v from now (iat): compare the clocks of the server and of the provider",
			ahead.Round(time.Second))
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return nil, errors.New("it is of another login: its nonce is another one")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return nil, err
	}
	// OpenID Connect Core 3.1.3.7, 4 and 5.
	azp, has := claims["azp"]
	if has && azp != p.c.Client || !has && len(id.Audience) > 1 {
		return nil, errors.New("it was made for another client (azp)")
	}
	if id.Subject == "" {
		return nil, errors.New("it is of nobody: it has no sub")
	}
	return claims, nil
}
