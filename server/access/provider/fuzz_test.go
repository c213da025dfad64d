package provider

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/server/access"
	"github.com/diskcast/diskcast/server/config"
)

// FuzzPerson: whatever claims somebody has, he is one printable name with a role of the rules, or nobody.
func FuzzPerson(f *testing.F) {
	f.Add([]byte(`{"sub":"1","email":"ada@example.org","email_verified":true,"groups":["it"]}`))
	f.Add([]byte(`{"email":"a","email_verified":"true","a":{"b":{"c":["x"]}}}`))
	f.Add([]byte(`{"a":[[[]]],"a.b.c":true,"groups":{"it":null}}`))
	var rules []config.PeopleRule
	for _, text := range []string{"groups=it -> admin", "a.b.c=x -> viewer room=1", "a=* -> operator"} {
		r, err := config.ParsePeopleRule(text)
		if err != nil {
			f.Fatal(err)
		}
		rules = append(rules, r)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		claims := map[string]any{}
		if len(text) > maxToken || json.Unmarshal(text, &claims) != nil {
			return
		}
		for _, name := range []string{"email", "sub", "a.b.c"} {
			p := &Provider{c: config.People{Name: name, Rules: rules},
				hold: func(on string) (string, error) { return on, nil }}
			l, err := p.person(claims)
			if err != nil {
				if s := err.Error(); len(s) > 1000 || plain.Line(s, 0) != s {
					t.Errorf("refused with %q", s)
				}
				continue
			}
			h := l.Holder
			word, ok := strings.CutPrefix(h.Name, access.PersonPrefix)
			if !ok || word == "" || len(word) > maxName || plain.Line(word, 0) != word ||
				!access.Covers(h.Role, access.Viewer) {
				t.Errorf("%q is %+v", text, h)
			}
		}
	})
}

// FuzzKept: what a browser says that it kept is what this server gave it, or nothing.
func FuzzKept(f *testing.F) {
	p, err := New(config.People{Issuer: "https://login.example.org"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add("AAAA")
	f.Add(strings.Repeat("A", maxKeep))
	f.Fuzz(func(t *testing.T, kept string) {
		if b, err := p.open(kept); err == nil {
			t.Errorf("%q is taken for %+v", kept, b)
		}
	})
}
