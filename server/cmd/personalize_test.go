package cmd

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/personal"
	"github.com/diskcast/diskcast/internal/testenv/need"
)

// TestPersonalizeFile reads settings and the archive beside them.
func TestPersonalizeFile(t *testing.T) {
	tar := need.Tool(t, "tar")
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("motd", "hello")
	if out, err := exec.Command(tar, "-C", dir, "-czf", filepath.Join(dir, "lab.tar.gz"),
		"motd").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, tt := range []struct{ text, want string }{
		{"\xef\xbb\xbfkernel_words = [\"quiet\"]\n[archive]\nfile = \"lab.tar.gz\"\ninto = \"/etc\"\n" +
			"[script]\nrun = \"true\"\n[[network]]\ndhcp = \"yes\"\n", ""},
		{"[archive]\nfile = \"none.tar\"\n", "no such file"},
		{"[archive]\ninto = \"/etc\"\n", "file names none"},
		{"[archive]\ncontent = \"AAAA\"\n", "unknown key"},
		{"hostnam = \"a\"\n", "own.toml:1: unknown key hostnam: did you mean hostname?"},
		{"hostname = \"a\"\nhostname = \"b\"\n", "own.toml:2: a key or a table stands here that stood before"},
		{"[[files]]\npath = \"/x\"\ncontent = \"\"\nmode = 0644\n", "own.toml:4: this is no TOML, or not of the type"},
		{"[[files]]\npath = \"/etc/ssh/sshd_config\"\nmode = \"0600\"\n",
			"own.toml: files: \"/etc/ssh/sshd_config\" has no content, and would be emptied"},
		{"[[network]]\ngateway = \"10.0.0.1\"\n", ":2: unknown key network.gateway"},
	} {
		o := &ownFlags{file: write("own.toml", tt.text)}
		raw, err := o.settings(func(string) bool { return false })
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", tt.text, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s, err := personal.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		members, err := s.Archive.Members()
		if err != nil || len(members) != 1 || members[0].Name != "/etc/motd" || string(members[0].Content) != "hello" {
			t.Errorf("%+v, %v", members, err)
		}
		if !json.Valid(raw) || strings.Contains(string(raw), "lab.tar.gz") {
			t.Errorf("%s", raw)
		}
	}
}
