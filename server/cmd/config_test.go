package cmd

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/config"
)

// Every flag of serve is a key of the file, but for those that name the file and the form of what is printed.
func TestServeFlagsAreKeys(t *testing.T) {
	root := newRoot(&env{UI: ui.UI{}})
	serve, _, err := root.Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	not := map[string]bool{"config": true, "json": true, "help": true}
	flags := 0
	see := func(f *pflag.Flag) {
		if not[f.Name] {
			return
		}
		flags++
		if config.Find(f.Name) == nil {
			t.Errorf("--%s is no key of the settings file: add it to server/config's table", f.Name)
		}
	}
	serve.Flags().VisitAll(see)
	serve.InheritedFlags().VisitAll(see)
	if flags != len(config.Names()) {
		t.Errorf("%d flags, %d keys", flags, len(config.Names()))
	}
}

// What is wrong with the file of serve and of config check is a word with its line, before anything is served.
func TestSettingsFile(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		name := filepath.Join(dir, "d.toml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	run := func(args ...string) (string, error) {
		var out, errs bytes.Buffer
		err := Run(context.Background(), args, nil, &out, &errs)
		return out.String() + errs.String(), err
	}
	for text, want := range map[string]string{
		"interface = \"nic9\"\nlisten = \"x\"\n":  "d.toml:2: listen",
		"interface = \"nic9\"\ndhcp = \"full\"\n": "--dhcp full needs --dhcp-range",
		"interface = \"nic9\"\n":                  `interface "nic9"`, // it was taken from the file
		"inteface = \"nic9\"\n":                   "did you mean interface",
	} {
		if _, err := run("serve", "--state", dir, "--config", file(text)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("serve with %q: %v, want %q", text, err, want)
		}
	}
	_, err := run("serve", "--state", dir, "--interface", "nic8", "--config", file("interface = \"nic9\"\n"))
	if err == nil || !strings.Contains(err.Error(), `"nic8"`) {
		t.Errorf("the flag does not win: %v", err)
	}
	if _, err := run("serve", "--interface", "nic8", "--config", filepath.Join(dir, "none.toml")); err == nil ||
		ExitCode(err) != exitUsage {
		t.Errorf("a file that is named and is not there: %v", err)
	}
	out, err := run("config", "check", file("interface = \"eth1\"\ndns = [\"10.0.0.1\", \"10.0.0.2\"]\n"))
	if err != nil || !strings.Contains(out, "10.0.0.1, 10.0.0.2") || !strings.Contains(out, "no mistake") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := run("config", "check", file("dhcp = \"full\"\n")); err == nil {
		t.Error("config check does not see that full needs a range")
	}
	if out, err = run("config", "example"); err != nil || !strings.Contains(out, "#lease-time = \"12h0m0s\"") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Root does not write into the store of a server that runs as another user and could not read it.
func TestStoreOfAnotherUser(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	for _, c := range []struct {
		owner, uid int
		refused    bool
	}{{0, 0, false}, {54321, 0, true}, {54321, 54321, false}} {
		if err := os.Chown(dir, c.owner, -1); err != nil {
			t.Fatal(err)
		}
		err := ownStore(dir, c.uid)
		if (err != nil) != c.refused || c.refused && !strings.Contains(err.Error(), "--server https://") {
			t.Errorf("store of %d, asked by %d: %v", c.owner, c.uid, err)
		}
	}
	if err := ownStore(filepath.Join(dir, "none"), 0); err != nil {
		t.Errorf("a store that is not there yet: %v", err)
	}
}
