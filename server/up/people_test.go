package up

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/testenv/nettest"
	"github.com/diskcast/diskcast/server/config"
)

// TestPeople: how people log in by a provider goes from the command line into the settings file that is made; what
// lacks is said before anything is made, and a file that says otherwise decides.
func TestPeople(t *testing.T) {
	n := nettest.New(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	told := func(names ...string) People {
		p := People{Settings: config.Defaults(), Names: names}
		p.Settings.Public, p.Settings.Issuer = "https://diskcast.example.org:8443", "https://login.example.org/realms/x"
		p.Settings.Client, p.Settings.SecretFile = "diskcast", secret
		p.Settings.PeopleRules = []string{"groups=it -> admin", "groups=teachers -> operator room=210"}
		return p
	}
	all := []string{"public-url", "oidc-issuer", "oidc-client", "oidc-secret-file", "oidc-rules"}
	for name, c := range map[string]struct {
		people People
		want   string
	}{
		"no rules":      {told(all[:4]...), "oidc-rules: nobody could log in"},
		"no issuer":     {told("public-url", "oidc-client"), "set oidc-issuer"},
		"an URL alone":  {told("public-url"), "--oidc-issuer"},
		"no public URL": {told(all[1:]...), "public-url"},
		"no secret": {func() People {
			p := told(all...)
			p.Settings.SecretFile += ".none"
			return p
		}(), "is not there: make it first"},
		"a secret of this folder": {func() People {
			p := told(all...)
			p.Settings.SecretFile = "secret"
			return p
		}(), "a whole path"},
		"an issuer of everybody's": {func() People {
			p := told(all...)
			p.Settings.Issuer = "http://login.example.org"
			return p
		}(), `--oidc-issuer "http://login.example.org" does not begin with https://`},
		"a rule that is none": {func() People {
			p := told(all...)
			p.Settings.PeopleRules = []string{"it=admin"}
			return p
		}(), "is not of the form"},
	} {
		o := options(t, newHost(t))
		o.People = c.people
		if _, err := run(t, n, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if after := hashes(t, filepath.Dir(o.State)); after != "" {
			t.Errorf("%s: it wrote\n%s", name, after)
		}
	}
	h := newHost(t)
	o := options(t, h)
	o.People = told(all...)
	r, err := run(t, n, o)
	if err != nil {
		t.Fatal(err)
	}
	f, err := config.Read(o.File)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Settings().People()
	if err != nil || got == nil || got.Issuer != o.People.Settings.Issuer || got.SecretFile != secret ||
		len(got.Rules) != 2 || got.Rules[1].On != "room=210" {
		t.Errorf("the file says %+v, %v", got, err)
	}
	said := ""
	for _, s := range r.Steps {
		said += s.What + "\n"
	}
	if !strings.Contains(said, "https://diskcast.example.org:8443/login/oidc/callback") {
		t.Errorf("it said\n%s", said)
	}
	if r, err = run(t, n, o); err != nil || r.Changed {
		t.Errorf("again: %v", err)
	}
	o.People.Settings.Client = "another"
	if _, err = run(t, n, o); err == nil || !strings.Contains(err.Error(), `oidc-client = "diskcast"`) ||
		!strings.Contains(err.Error(), `"another"`) {
		t.Errorf("a file that says otherwise: %v", err)
	}
}
