package config

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func TestExampleIsTheDefaults(t *testing.T) {
	var b strings.Builder
	if err := WriteExample(&b); err != nil {
		t.Fatal(err)
	}
	for text, keys := range map[string]int{
		b.String(): 0,
		regexp.MustCompile(`(?m)^#([a-z-]+ = |\[)`).ReplaceAllString(b.String(), "$1"): len(table),
	} {
		f, err := Parse("example", []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(f.Values) != keys {
			t.Errorf("%d keys, want %d", len(f.Values), keys)
		}
		if keys > 0 {
			want := Notify{Webhooks: []*Webhook{exampleWebhook()}, Mail: exampleMail()}
			if d := cmp.Diff(want, f.Notify); d != "" {
				t.Error(d)
			}
		}
		want := Defaults()
		got := f.Settings()
		if len(got.DNS) == 0 {
			got.DNS = nil // no addresses, whether nil or a list without any
		}
		if len(got.PeopleRules) == 0 {
			got.PeopleRules = nil
		}
		if len(got.Hooks) == 0 {
			got.Hooks = nil
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if len(line) > 120 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

func TestParse(t *testing.T) {
	const text = `# ours
interface = "eth1"
"dhcp" = 'full'
dhcp-range = """10.0.0.100-10.0.0.200"""
dns = [ # two of them
  "10.0.0.1", "10.0.0.2",
]
lease-time = "1h30m"
tftp = false
rate-cap = "900M"
`
	f, err := Parse("x.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Interface, want.DHCP, want.Range, want.TFTP, want.RateCap = "eth1", "full", "10.0.0.100-10.0.0.200", false,
		"900M"
	want.DNS, want.LeaseTime = []string{"10.0.0.1", "10.0.0.2"}, 90*time.Minute
	if d := cmp.Diff(want, f.Settings()); d != "" {
		t.Error(d)
	}
	if got := f.Values[len(f.Values)-1].Line; got != 10 {
		t.Errorf("rate-cap is in line %d, want 10", got)
	}
}

func hooked(name, url string) string {
	return fmt.Sprintf("[[notify.webhook]]\nname = %q\nurl = %q\n", name, url)
}

// TestNotify: tables follow the keys; what is not in them is the default.
func TestNotify(t *testing.T) {
	text := "interface = \"eth1\"\n" + hooked("a", "https://x/") + hooked("b", "http://127.0.0.1:8/") +
		"kinds = [\"machine.new\"]\ngive-up = \"24h\"\n[notify.mail]\nserver = \"m:587\"\nfrom = \"d@x.org\"\n" +
		"to = [\"a@x.org\", \"b@x.org\"]\ngather = \"5m\"\n"
	f, err := Parse("x.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	a, b, m := newWebhook(), newWebhook(), newMail()
	a.Name, a.URL = "a", "https://x/"
	b.Name, b.URL, b.Kinds, b.GiveUp = "b", "http://127.0.0.1:8/", []string{"machine.new"}, 24*time.Hour
	m.Server, m.From, m.To, m.Gather = "m:587", "d@x.org", []string{"a@x.org", "b@x.org"}, 5*time.Minute
	if d := cmp.Diff(Notify{Webhooks: []*Webhook{a, b}, Mail: m}, f.Notify); d != "" {
		t.Error(d)
	}
	if f.Settings().Interface != "eth1" || len(f.Values) != 1 {
		t.Errorf("%+v", f.Values)
	}
}

func TestMistakes(t *testing.T) {
	for text, want := range map[string][]string{
		"\ninterfase = \"eth1\"\n":                 {"x.toml:2: unknown key interfase: did you mean interface?"},
		"tftp = true\ndhcp = full # mine\n":        {`x.toml:2: text stands in quotes: dhcp = "full"`},
		"dhcp_range = \"\"\n":                      {"x.toml:1:", "did you mean dhcp-range?"},
		"frobnicate = 1\n":                         {"x.toml:1: unknown key frobnicate: `diskcast config example`"},
		"dhcp.range = \"x\"\n":                     {"x.toml:1: unknown key dhcp.range: did you mean dhcp-range?"},
		"\n[server]\ninterface = \"eth1\"\n":       {"x.toml:2:", "no table [server]"},
		"tftp = \"yes\"\n":                         {"x.toml:1: tftp is a string in quotes instead of true or false"},
		"lease-time = 12\n":                        {"x.toml:1: lease-time is a number", "duration"},
		"lease-time = \"12\"\n":                    {`x.toml:1: lease-time "12" is not a duration`},
		"dhcp = \"on\"\n":                          {`x.toml:1: dhcp "on" is none of full, proxy, off`},
		"dns = [\"10.0.0.1\", 7]\n":                {"x.toml:1: dns has a number"},
		"dns = [\"10.0.0.1\", \"me\"]\n":           {`x.toml:1: dns "me" is no IP address`},
		"state = \"here\"\n":                       {`x.toml:1: state "here" does not begin at /`},
		"listen = \"8443\"\n":                      {`x.toml:1: listen "8443" is not HOST:PORT`},
		"listen = \":0\"\n":                        {"x.toml:1: listen", "port"},
		"groups = \"10.0.0.0/8\"\n":                {"x.toml:1: groups", "multicast"},
		"rate-cap = \"fast\"\n":                    {"x.toml:1: rate-cap", "900M"},
		"interface = eth1\n":                       {"x.toml:1:"},
		"tftp = true\n\ntftp = false\n":            {"x.toml:3:", "tftp"},
		"a = 1\nb = 2\ninterface = \"eth1\"\n":     {"x.toml:1:", "x.toml:2:"},
		strings.Repeat("#\n", MaxFile):             {"more than"},
		"interface = \"eth1\n":                     {"x.toml:1:"},
		"[[notify.webhook]]\n":                     {"x.toml:1: [[notify.webhook]]: it needs a name and a url"},
		"[notify.webhook]\n":                       {"x.toml:1: [notify.webhook] is written [[notify.webhook]]"},
		"[[notify.mail]]\n":                        {"x.toml:1: [[notify.mail]] is written [notify.mail]"},
		"[notify]\nmail = 1\n":                     {"x.toml:1: there is no table [notify]"},
		"[notify.mail]\nserver = \"mail\"\n":       {"x.toml:2: server \"mail\" is not HOST:PORT"},
		"[notify.mail]\nsever = \"m:25\"\n":        {"x.toml:2: unknown key sever: did you mean server?"},
		"[notify.mail]\nfrom = \"nobody\"\n":       {"x.toml:2: from \"nobody\" is no mail address"},
		"[notify.mail]\ngather = \"2h\"\n":         {"is not from 0s to 1h0m0s"},
		"[notify.mail]\nkinds = [\"all\"]\n":       {"is none of session.ended"},
		hooked("a", "https://u:p@x/"):              {"x.toml:3: url", "has a user"},
		hooked("mail", "https://x/"):               {"x.toml:2: name \"mail\" is the name of [notify.mail]"},
		hooked("a", "https://x/") + "kinds = []\n": {"its kinds are empty"},
		"[notify.mail]\ntls = \"maybe\"\n": {
			"is none of starttls, tls, off", "it needs a server, from and to"},
		hooked("a", "ftp://x") + hooked("b", ""): {
			"x.toml:3: url \"ftp://x\" is not of the form", "x.toml:6: url"},
		hooked("a", "http://10.0.0.1/"): {
			"x.toml:1: [[notify.webhook]]: its url is http://", "plain-http"},
		hooked("a", "https://x/") + hooked("a", "https://y/"): {
			"two [[notify.webhook]] are called a"},
		"[notify.mail]\nserver = \"m:25\"\nfrom = \"a@b\"\nto = [\"c@d\"]\nuser = \"u\"\ntls = \"off\"\n": {
			"x.toml:1: [notify.mail]: its password would go over the network"},
		"[[notify.webhook]]\nurl = \"https://x/\"\n[nosuch]\n": {
			"x.toml:1: [[notify.webhook]]: it needs", "x.toml:3: there is no table [nosuch]"},
	} {
		_, err := Parse("x.toml", []byte(text))
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%.60q: got %v, want %q", text, err, w)
			}
		}
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none.toml")); err == nil ||
		!strings.Contains(err.Error(), "example") {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestFlagsWin(t *testing.T) {
	f, err := Parse("x.toml", []byte("interface = \"eth1\"\ndns = [\"10.0.0.1\"]\nhttp = \":80\"\nstate = \"/file\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	set := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	v := Flags(set)
	set.StringVar(&v.State, "state", "/environment", "")
	t.Setenv("DISKCAST_STATE", "/environment")
	if err := set.Parse([]string{"--interface", "eth2", "--dns", "10.9.9.9"}); err != nil {
		t.Fatal(err)
	}
	if err := f.Apply(set); err != nil {
		t.Fatal(err)
	}
	if v.Interface != "eth2" || len(v.DNS) != 1 || v.DNS[0] != "10.9.9.9" || v.HTTP != ":80" ||
		v.State != "/environment" {
		t.Errorf("%+v", v)
	}
	if err := v.Check(); err != nil {
		t.Error(err)
	}
	v.Optimize = "always"
	if err := v.Check(); err == nil || err.Error() != `optimize "always" is none of off, idle` {
		t.Error(err)
	}
}

// What WriteFile writes is read as the same settings.
func TestWriteFile(t *testing.T) {
	v := Defaults()
	v.Interface, v.DNS, v.TFTP, v.State = "eth\"1\\\n", []string{"10.0.0.1", "10.0.0.2"}, false, "/srv/x"
	v.LeaseTime = 90 * time.Second
	var b strings.Builder
	if err := v.WriteFile(&b, "a title\nof two lines"); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "x.toml")
	if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Read(name)
	if err != nil {
		t.Fatalf("%v\n%s", err, &b)
	}
	if d := cmp.Diff(v, f.Settings()); d != "" {
		t.Error(d)
	}
	if len(f.Values) != 5 {
		t.Errorf("%d keys, want only the 5 that are not defaults\n%s", len(f.Values), &b)
	}
}

// What is read without a word is read the same when it is written and read again.
func FuzzParse(f *testing.F) {
	f.Add("interface = \"eth1\"\ndns = [\"10.0.0.1\"]\n[x]\n")
	f.Add("[[notify.webhook]]\nname = \"a\"\nurl = \"https://x/\"\n[notify.mail]\nserver = \"m:25\"\n")
	f.Add("tftp = true\nlease-time = \"12h\"\n\"dhcp\" = '''full'''")
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		v := file.Settings()
		if err := v.Check(); err != nil {
			t.Fatalf("a file that was read has a wrong value: %v", err)
		}
		var b strings.Builder
		if err := v.WriteFile(&b, "again"); err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again", []byte(b.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, &b)
		}
		w := again.Settings()
		if len(v.DNS) == 0 {
			v.DNS, w.DNS = nil, nil
		}
		if d := cmp.Diff(v, w); d != "" {
			t.Error(d)
		}
	})
}
