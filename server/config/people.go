package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// People is how people log in at the page by the site's OpenID provider.
type People struct {
	Issuer     string
	Public     string // URL of the page as browsers know it, without a slash at its end
	Client     string
	SecretFile string // empty: the client has no secret
	CAFile     string // empty: the system's
	Scopes     []string
	Name       string // claim
	Rules      []PeopleRule
	Lasts      time.Duration // of a login
}

// PeopleRule says what those may do whose ID token has a claim with a value. The first that fits a person counts.
type PeopleRule struct {
	Claim, Value string // a value of "*" is any
	Role, On     string // selector of machines; empty: all
}

// ofPeople reports whether a setting is of how people log in by a provider.
func (s *Setting) ofPeople() bool {
	return s.Name == "public-url" || strings.HasPrefix(s.Name, "oidc-")
}

// PeopleNames are the names of those settings.
func PeopleNames() (out []string) {
	for i := range table {
		if table[i].ofPeople() {
			out = append(out, table[i].Name)
		}
	}
	return out
}

// Bounds of a login by the provider.
const (
	minLogin    = time.Minute
	maxLogin    = 7 * 24 * time.Hour
	maxRule     = 2048 // bytes
	maxSelector = 1024 // bytes, as of a token's
)

// peopleRoles are those of tokens (server/access), where a test compares them.
var peopleRoles = []string{"viewer", "operator", "admin"}

// ParsePeopleRule reads CLAIM=VALUE -> ROLE [SELECTOR].
func ParsePeopleRule(text string) (r PeopleRule, err error) {
	who, what, ok := strings.Cut(text, " -> ")
	r.Claim, r.Value, _ = strings.Cut(strings.TrimSpace(who), "=")
	if len(text) > maxRule || !ok || r.Claim == "" || r.Value == "" {
		return r, errors.New(`is not of the form "groups=teachers -> operator room=210"`)
	}
	r.Role, r.On, _ = strings.Cut(strings.TrimSpace(what), " ")
	r.On = strings.TrimSpace(r.On)
	switch {
	case !slices.Contains(peopleRoles, r.Role):
		return r, fmt.Errorf("has the role %q, which is none of %s", r.Role, strings.Join(peopleRoles, ", "))
	case r.Role == "admin" && r.On != "":
		return r, errors.New("holds an admin to machines: leave the selector away, or make it an operator")
	case len(r.On) > maxSelector:
		return r, fmt.Errorf("has a selector of more than %d bytes: keep it as a group (`diskcast group set`)",
			maxSelector)
	}
	return r, nil
}

func peopleRule(s string) error {
	_, err := ParsePeopleRule(s)
	return err
}

// secureURL allows none too, and http:// of this machine alone.
func secureURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return errors.New("is no address such as https://login.example.org")
	case u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "127.0.0.1" && u.Hostname() != "localhost"):
		return errors.New("does not begin with https://")
	}
	return nil
}

// publicURL allows none too.
func publicURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.Trim(u.Path, "/") != "" {
		return errors.New("is no address of the page such as https://diskcast.example.org:8443")
	}
	return nil
}

func claimName(s string) error {
	if s == "" || len(s) > 256 || strings.ContainsAny(s, " \t\r\n=") {
		return errors.New("is no claim such as email, preferred_username or sub")
	}
	return nil
}

// People is who logs in by a provider; nil: nobody. What is there and what lacks must go together.
func (v *Settings) People() (*People, error) {
	p := &People{Issuer: v.Issuer, Public: strings.TrimSuffix(v.Public, "/"), Client: v.Client,
		SecretFile: v.SecretFile, CAFile: v.ProviderCA, Scopes: v.Scopes, Name: v.PersonClaim, Lasts: v.LoginTime}
	for _, text := range v.PeopleRules {
		r, err := ParsePeopleRule(text)
		if err != nil {
			return nil, &ValueError{Name: "oidc-rules", Value: text, Err: err}
		}
		p.Rules = append(p.Rules, r)
	}
	if p.Issuer == "" {
		if p.Client != "" || p.SecretFile != "" || len(p.Rules) > 0 {
			return nil, errors.New("people cannot log in by a provider that is not named: set oidc-issuer")
		}
		return nil, nil
	}
	for _, lacks := range []struct {
		it   bool
		name string
		why  string
	}{
		{p.Public == "", "public-url", "the provider sends browsers back there"},
		{p.Client == "", "oidc-client", "it is this server's name at the provider"},
		{len(p.Rules) == 0, "oidc-rules", "nobody could log in"},
	} {
		if lacks.it {
			return nil, fmt.Errorf("oidc-issuer needs %s: %s", lacks.name, lacks.why)
		}
	}
	if p.Lasts < minLogin || p.Lasts > maxLogin {
		return nil, &ValueError{Name: "oidc-lasts", Value: p.Lasts.String(),
			Err: fmt.Errorf("is not from %v to %v", minLogin, maxLogin)}
	}
	if !slices.Contains(p.Scopes, "openid") {
		p.Scopes = append([]string{"openid"}, p.Scopes...)
	}
	return p, nil
}
