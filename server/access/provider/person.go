package provider

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/access"
)

// maxName bounds, in bytes, what a person is called.
const maxName = 128

// person says who somebody is, and what he may do.
func (p *Provider) person(claims map[string]any) (*Login, error) {
	name, err := p.name(claims)
	if err != nil {
		return nil, err
	}
	subject, _ := claims["sub"].(string)
	l := &Login{Holder: access.Holder{Name: access.PersonPrefix + name}, Subject: plain.Line(subject, maxName)}
	for _, r := range p.c.Rules {
		is := func(v string) bool { return r.Value == "*" || v == r.Value }
		if !slices.ContainsFunc(values(claims, r.Claim), is) {
			continue
		}
		l.Holder.Role = r.Role
		if r.On == "" {
			return l, nil
		}
		if l.Holder.Within, err = p.hold(r.On); err != nil {
			return nil, fmt.Errorf("the rule %s=%s holds you to machines that nobody can say: %w: an administrator "+
				"mends oidc-rules", r.Claim, r.Value, err)
		}
		return l, nil
	}
	return nil, fmt.Errorf("the provider knows you as %s, and no rule of this server says what you may do: ask its "+
		"administrator (oidc-rules)", name)
}

// name is what a person is called in the record of changes.
func (p *Provider) name(claims map[string]any) (string, error) {
	all := values(claims, p.c.Name)
	if len(all) != 1 {
		if p.c.Name == "email" && claims["email"] != nil {
			return "", errors.New("the provider has not verified your address of mail, by which this server knows " +
				"people")
		}
		return "", fmt.Errorf("the provider does not say your %s, by which this server knows people: its scopes may "+
			"lack it", plain.Line(p.c.Name, 60))
	}
	name := all[0]
	if name == "" || len(name) > maxName || plain.Line(name, 0) != name || strings.TrimSpace(name) != name ||
		strings.ContainsAny(name, "/\\?#%") {
		return "", fmt.Errorf("your %s is nothing that people are called here: %q", plain.Line(p.c.Name, 60),
			plain.Line(name, maxName))
	}
	return name, nil
}

// values are the texts of a claim: one, those of a list, or true. A name with dots may mean a claim within others. An
// address of mail that the provider has not verified is none, for anybody may have said it.
func values(claims map[string]any, name string) []string {
	if name == "email" && claims["email_verified"] != true && claims["email_verified"] != "true" {
		return nil
	}
	v, ok := claims[name]
	for in, rest := claims, name; !ok; {
		head, tail, more := strings.Cut(rest, ".")
		if v, rest = in[head], tail; !more {
			break
		}
		if in, _ = v.(map[string]any); in == nil {
			return nil
		}
	}
	switch v := v.(type) {
	case string:
		return []string{v}
	case bool:
		return []string{fmt.Sprint(v)}
	case []any:
		var all []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				all = append(all, s)
			}
		}
		return all
	}
	return nil
}
