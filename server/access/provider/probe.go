package provider

import (
	"context"
	"fmt"
	"net/http"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/diskcast/diskcast/internal/plain"
)

// Probe asks the provider who it is, and whether it would send a browser back here: without anybody at it (prompt=none,
// OpenID Connect Core 3.1.2.1), it must say so to the redirect URL that is registered. wrong says what it did instead.
func (p *Provider) Probe(ctx context.Context) (wrong string, err error) {
	m, err := p.meet(ctx)
	if err != nil {
		return "", err
	}
	to := m.oauth.AuthCodeURL("doctor", oidc.Nonce("doctor"), oauth2.SetAuthURLParam("prompt", "none"),
		oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return "", err
	}
	a, err := p.client.Do(r)
	if err != nil {
		return "", fmt.Errorf("the provider %s does not answer where browsers are sent: %w", p.c.Issuer, err)
	}
	a.Body.Close()
	back, err := a.Location()
	switch {
	case err != nil:
		return fmt.Sprintf("it answers %d", a.StatusCode), nil
	case back.Scheme+"://"+back.Host+back.Path != p.Redirect():
		return "it sends them to " + plain.Line(back.Scheme+"://"+back.Host+back.Path, 200), nil
	}
	switch word := back.Query().Get("error"); word {
	case "", "login_required", "interaction_required", "consent_required", "account_selection_required":
		return "", nil
	default:
		return fmt.Sprintf("it says %s: %s", plain.Line(word, 60),
			plain.Line(back.Query().Get("error_description"), 200)), nil
	}
}
