package config

import (
	"strings"
	"testing"
)

func TestPeopleRules(t *testing.T) {
	for text, want := range map[string]PeopleRule{
		"groups=it -> admin":                            {"groups", "it", "admin", ""},
		"groups=Teachers 210 -> operator room=210,@lab": {"groups", "Teachers 210", "operator", "room=210,@lab"},
		"sub=* -> viewer":                               {"sub", "*", "viewer", ""},
		"https://x/roles=a=b -> viewer  *":              {"https://x/roles", "a=b", "viewer", "*"},
	} {
		if got, err := ParsePeopleRule(text); err != nil || got != want {
			t.Errorf("%q: got %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "form", "groups=it": "form", "groups -> admin": "form", "=it -> admin": "form", "groups= -> admin": "form",
		"groups=it -> ": "none of", "groups=it -> root": "none of", "groups=it -> admin room=1": "holds an admin",
		"groups=it -> viewer " + strings.Repeat("a", 1025): "more than 1024", strings.Repeat("a", 3000): "form",
	} {
		if got, err := ParsePeopleRule(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %+v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func FuzzPeopleRule(f *testing.F) {
	f.Add("groups=it -> admin")
	f.Add("a=b -> operator room=210")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParsePeopleRule(text)
		if err != nil {
			return
		}
		if r.Claim == "" || r.Value == "" || r.Role == "" || r.Role == "admin" && r.On != "" {
			t.Errorf("%q is %+v", text, r)
		}
		again := r.Claim + "=" + r.Value + " -> " + strings.TrimSpace(r.Role+" "+r.On)
		if x, err := ParsePeopleRule(again); err != nil || x != r {
			t.Errorf("%q is %+v, and once more %+v, %v", text, r, x, err)
		}
	})
}

// TestPeopleSettings: what must go together is held together.
func TestPeopleSettings(t *testing.T) {
	full := func(change func(*Settings)) *Settings {
		v := Defaults()
		v.Public, v.Issuer, v.Client = "https://lab.example.org/", "https://login.example.org", "diskcast"
		v.PeopleRules = []string{"groups=it -> admin"}
		change(v)
		return v
	}
	p, err := full(func(*Settings) {}).People()
	if err != nil || p.Public != "https://lab.example.org" || p.Scopes[0] != "openid" || len(p.Rules) != 1 {
		t.Errorf("got %+v, %v", p, err)
	}
	if p, err := Defaults().People(); p != nil || err != nil {
		t.Errorf("without any: %+v, %v", p, err)
	}
	for want, change := range map[string]func(*Settings){
		"public-url":  func(v *Settings) { v.Public = "" },
		"oidc-client": func(v *Settings) { v.Client = "" },
		"nobody":      func(v *Settings) { v.PeopleRules = nil },
		"oidc-issuer": func(v *Settings) { v.Issuer = "" },
		"oidc-lasts":  func(v *Settings) { v.LoginTime = 1 },
		"oidc-rules":  func(v *Settings) { v.PeopleRules = []string{"x"} },
	} {
		if p, err := full(change).People(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %+v, %v; want an error with %q", p, err, want)
		}
	}
	for name, bad := range map[string][]string{
		"public-url": {"http://lab.example.org", "lab", "https://lab/x", "https://a@lab", "https://lab?x"},
		"oidc-issuer": {"http://login.example.org", "login", "https://", "https://a@x", "https://x?y", "https://x#y",
			"http://localhost.example.org"},
		"oidc-name": {"", "a b"},
	} {
		for _, text := range bad {
			if Find(name).check(text) == nil {
				t.Errorf("%s takes %q", name, text)
			}
		}
	}
}
