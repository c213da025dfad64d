package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/rescue"
	"github.com/diskcast/diskcast/server/doc"
)

const rescueKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5pY2Uta2V5LW9mLXRoaXMtdGVzdC1mb3ItcmVzY3Vl me@desk"

// TestRescueCommand: keys are read before anything is sent, and the session says whom it lets in.
func TestRescueCommand(t *testing.T) {
	o := newOffice(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("key.pub", "# mine\n\n"+rescueKey+"\n")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"is a private key", []string{"--key", file("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n")}},
		{"bad.pub:2: it has the option", []string{"--key", file("bad.pub", rescueKey+"\nrestrict "+rescueKey+"\n")}},
		{"has no key", []string{"--key", file("empty.pub", "\n")}},
		{"at least 1m", []string{"--limit", "0s"}},
		{"are not 60 to", []string{"--limit", "10s"}},
		{"kexec could start", []string{"--then", "kexec"}},
	} {
		args := append([]string{"session", "rescue", "--nodes", "52:54:00:00:00:01"}, c.args...)
		if code, out, said := o.run(args...); code != exitUsage || !strings.Contains(said, c.want) {
			t.Errorf("%v: %d, %s%s; want %q", c.args, code, out, said, c.want)
		}
	}
	code, out, said := o.run("session", "rescue", "--nodes", "52:54:00:00:00:01", "--key", good, "--limit", "90m")
	if code != 0 {
		t.Fatalf("%d, %s%s", code, out, said)
	}
	_, out, _ = o.run("session", "show", strings.TrimSpace(out))
	for _, want := range []string{"rescue", "open for  1h30m0s", "lets in   SHA256:", "me@desk"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in:\n%s", want, out)
		}
	}
	if _, out, _ = o.run("session", "list"); !strings.Contains(out, "rescue") {
		t.Errorf("list: %s", out)
	}
	_, _, said = o.run("session", "rescue", "--nodes", "52:54:00:00:00:02")
	if !strings.Contains(said, "consoles only") {
		t.Errorf("without a key: %s", said)
	}
}

// TestRescueShown: where the shell is, and by which host key it is known, until it is closed.
func TestRescueShown(t *testing.T) {
	s := &doc.Session{ID: "s9", State: "open",
		Spec: doc.Spec{V: 1, Kind: rescue.Action, All: true, Job: json.RawMessage(`{}`)},
		Parts: []doc.Part{{Node: "n1", State: doc.Running,
			Result: json.RawMessage(`{"consoles":["tty1"],"addr":"10.0.0.5:22","host_key":"` + rescueKey + `"}`)}}}
	shown := func() string {
		var out bytes.Buffer
		e := &env{}
		e.Out = &out
		if err := e.showSession(s); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for _, want := range []string{"a shell is on tty1", "ssh root@10.0.0.5   # its host key must be SHA256:"} {
		if !strings.Contains(shown(), want) {
			t.Errorf("%q is not in:\n%s", want, shown())
		}
	}
	s.Parts[0].State = doc.Done
	if strings.Contains(shown(), "ssh root@") {
		t.Errorf("a shell that is closed is shown:\n%s", shown())
	}
}
