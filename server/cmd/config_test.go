package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/config"
)

// Every flag of serve is a key of the file, but for those that name the file, the form of what is printed, and a
// login, which is the client's.
func TestServeFlagsAreKeys(t *testing.T) {
	root := newRoot(&env{UI: ui.UI{}})
	serve, _, err := root.Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	not := map[string]bool{"config": true, "json": true, "output": true, "help": true, "context": true}
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

// What parses and cannot work is found by config check, as serve would stumble over it.
func TestConfigCheckFinds(t *testing.T) {
	dir := t.TempDir()
	path := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	if err := errors.Join(os.Mkdir(path("state"), 0o700), os.Mkdir(path("boot"), 0o755), os.Mkdir(path("images"),
		0o700),
		os.WriteFile(path("file"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	run := func(text string) (string, error) {
		name := path("d.toml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		err := Run(t.Context(), []string{"config", "check", name}, nil, &out, &errs)
		return out.String() + errs.String(), err
	}
	for text, want := range map[string]string{
		`listen = ":0"`:                                  "a port that is not a number from 1 to 65535",
		`http = ":0"`:                                    "a port that is not a number from 1 to 65535",
		`listen = ":8080"`:                               "are one port",
		`boot-dir = "` + path("file") + `"`:              "is a file, and not a directory",
		`store = "` + path("file", "images") + `"`:       "a part of the path is a file",
		`state = "` + path("file") + `"`:                 "is a file, and not a directory",
		"interface = \"lo\"\naddress = \"10.9.8.7\"":     "does not have the address 10.9.8.7",
		"interface = \"lo\"\nlisten = \"10.9.8.7:8443\"": "this machine has no address 10.9.8.7",
		"interface = \"lo\"\ndhcp = \"full\"\ndhcp-range = \"10.9.8.7-10.9.8.9\"": "not within 127.0.0.0/8",
	} {
		if _, err := run(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	dirs := fmt.Sprintf("state = %q\nboot-dir = %q\nstore = %q\n", path("state"), path("boot"), path("images"))
	if out, err := run("interface = \"lo\"\n" + dirs); err != nil {
		t.Errorf("what works: %s%v", out, err)
	}
	if out, err := run("interface = \"nic9\"\n" + dirs); err != nil || !strings.Contains(out, "was not looked at") {
		t.Errorf("another machine's settings: %s%v", out, err)
	}
	need.Root(t)
	if err := os.Chown(path("state"), 54321, 54321); err != nil {
		t.Fatal(err)
	}
	if _, err := run(dirs); err == nil || !strings.Contains(err.Error(), path("images")+" belongs to user 0") {
		t.Errorf("images that the server's user cannot read: %v", err)
	}
}

// A state directory that is named and not there is not made by who only asks for something in it.
func TestNoStateByASlip(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "diskcast"), 0o700); err != nil {
		t.Fatal(err)
	}
	slip := filepath.Join(dir, "diskcats")
	for _, args := range [][]string{{"token"}, {"image", "list"}, {"image", "import", "x.raw", "--name", "x"},
		{"session", "list"}} {
		var out, errs bytes.Buffer
		err := Run(t.Context(), append(args, "--state", slip), nil, &out, &errs)
		if err == nil || !strings.Contains(err.Error(), slip) {
			t.Errorf("%v: %v", args, err)
		}
		if args[0] == "token" && !strings.Contains(err.Error(), "did you mean "+filepath.Join(dir, "diskcast")) {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(slip); err == nil {
			t.Fatalf("%v made %s", args, slip)
		}
	}
	var out, errs bytes.Buffer
	if err := Run(t.Context(), []string{"token", "--make", "--state", slip}, nil, &out, &errs); err != nil {
		t.Error(err)
	}
}

// A layout that cannot be read says that, and how it can.
func TestLayoutThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	if there, err := isLayout(dir); there || err != nil {
		t.Errorf("a folder without oci-layout: %t, %v", there, err)
	}
	err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(t.TempDir(), "store")
	code, _, said := (&shop{t: t}).run("image", "import", dir, "--name", "x", "--store", store)
	if code != exitDamage || strings.Count(said, "index.json is damaged: it is missing") != 1 {
		t.Errorf("half a layout: exit %d, %s", code, said)
	}
	// A link to itself can be opened by nobody, root neither.
	if err := os.Symlink("index.json", filepath.Join(dir, "index.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := isLayout(dir); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a layout that cannot be read: %v", err)
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
