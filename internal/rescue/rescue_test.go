package rescue

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/diskcast/diskcast/internal/testenv/need"
)

// line is a new key as a .pub file has it.
func line(t testing.TB, comment string) string {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return lineOf(t, pub) + " " + comment
}

func lineOf(t testing.TB, pub any) string {
	t.Helper()
	k, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

func TestParseKey(t *testing.T) {
	good := line(t, "me@desk")
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, line, want string }{
		{"good", good, ""},
		{"a comment with escapes", strings.Replace(good, "me@desk", "\x1b[2Jme", 1), ""},
		{"options", `command="true" ` + good, "options are not obeyed"},
		{"two lines", good + "\n" + good, "more than one line"},
		{"a certificate's name", "ssh-ed25519-cert-v01@openssh.com AAAA", "no public key"},
		{"nothing", "", "no public key"},
		{"a private key", "-----BEGIN OPENSSH PRIVATE KEY-----", "private key"},
		{"a short RSA key", lineOf(t, &short.PublicKey), "less than 2048 bits"},
	} {
		k, err := ParseKey(c.line)
		switch {
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == "" && strings.Contains(k.Line()+k.Words(), "\x1b"):
			t.Errorf("%s: %q", c.name, k.Words())
		}
	}
}

// TestKeygenAgrees has ssh-keygen make keys of all sorts and tell their fingerprints.
func TestKeygenAgrees(t *testing.T) {
	keygen := need.Tool(t, "ssh-keygen")
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		file := filepath.Join(t.TempDir(), "key")
		made := exec.Command(keygen, "-q", "-t", kind, "-N", "", "-C", "a b", "-f", file)
		if out, err := made.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParseKey(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if k.Line() != strings.TrimSpace(string(text)) {
			t.Errorf("%s: %s, and ssh-keygen wrote %s", kind, k.Line(), text)
		}
		said, err := exec.Command(keygen, "-l", "-f", file+".pub").Output()
		if err != nil || !strings.Contains(string(said), " "+k.Words()+" (") {
			t.Errorf("%s: %s, and ssh-keygen says %s, %v", kind, k.Words(), said, err)
		}
	}
}

func TestSpec(t *testing.T) {
	key := line(t, "me")
	s, err := ParseSpec([]byte(`{"keys":["  ` + key + `  "]}`))
	if err != nil || s.Seconds != 4*3600 || len(s.Keys) != 1 || s.Keys[0] != key {
		t.Errorf("%+v, %v", s, err)
	}
	for raw, want := range map[string]string{
		``: "cannot be read", `{} {}`: "something follows", `{"key":[]}`: "unknown field",
		`{"seconds":59}`: "are not 60 to", `{"seconds":604801}`: "are not 60 to", `{"seconds":-1}`: "are not 60 to",
		`{"keys":["x"]}`: "key 1: this is no public key",
		`{"keys":[` + strings.Repeat(`"x",`, maxKeys) + `"x"]}`: "more than 64",
		`{"keys":["` + strings.Repeat("x", maxSpec) + `"]}`:     "longer than",
	} {
		if _, err := ParseSpec([]byte(raw)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v; want %q", raw, err, want)
		}
	}
}

func TestOpened(t *testing.T) {
	key := line(t, "")
	text := func(o Opened) []byte {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	at := netip.MustParseAddrPort("10.0.0.5:22")
	o, err := ParseOpened(text(Opened{Consoles: []string{"tty\x1b1"}, Addr: at, HostKey: key}))
	if err != nil || o.Command() != "ssh root@10.0.0.5" || !strings.HasPrefix(o.Fingerprint(), "SHA256:") ||
		strings.Contains(o.Consoles[0], "\x1b") {
		t.Errorf("%+v, %v", o, err)
	}
	o.Addr = netip.MustParseAddrPort("[fe80::1]:2222")
	if got := o.Command(); got != "ssh -p 2222 root@fe80::1" {
		t.Errorf("command: %s", got)
	}
	if o, err := ParseOpened([]byte(`{"consoles":["ttyS0"]}`)); err != nil || o.Fingerprint() != "" {
		t.Errorf("without SSH: %+v, %v", o, err)
	}
	for want, raw := range map[string][]byte{
		"unexpected EOF":  []byte(`{`),
		"something":       []byte(`{} x`),
		"no address":      text(Opened{HostKey: key}),
		"host key":        text(Opened{Addr: at}),
		"16 consoles":     text(Opened{Consoles: make([]string, 17)}),
		"more than 8192":  []byte(`{"host_key":"` + strings.Repeat("x", maxOpened) + `"}`),
		"address with a ": []byte(`{"host_key":"` + key + `","addr":"[fe80::1%x]:22"}`),
	} {
		if _, err := ParseOpened(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v; want %q", raw, err, want)
		}
	}
}

func FuzzSpec(f *testing.F) {
	f.Add([]byte(`{"keys":["` + line(f, "x") + `"],"seconds":60}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSpec(b)
		if err != nil {
			return
		}
		again, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSpec(again); err != nil && len(again) <= maxSpec {
			t.Errorf("%s is read, and %s is not: %v", b, again, err)
		}
	})
}

func FuzzOpened(f *testing.F) {
	f.Add([]byte(`{"consoles":["tty1"],"addr":"10.0.0.5:22","host_key":"` + line(f, "x") + `"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := ParseOpened(b); err == nil && (len(o.Consoles) > maxConsoles ||
			(o.HostKey == "") != (o.Fingerprint() == "")) {
			t.Errorf("%+v", o)
		}
	})
}
