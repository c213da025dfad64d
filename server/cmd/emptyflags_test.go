package cmd

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestEmptyFlags: what a script gives whose variable is not set never means what leaving the flag out does.
func TestEmptyFlags(t *testing.T) {
	o := newOffice(t)
	restore := []string{"session", "create", "--image", "debian", "--nodes", "52:54:00:00:00:09"}
	for _, flag := range []string{"capture", "partition", "at", "every", "before", "after", "personalize", "profile",
		"power", "then", "mode", "rate", "append", "disk", "shell-key", "hostname", "image", "on"} {
		code, out, said := o.run(append(restore, "--"+flag+"=")...)
		if want := "--" + flag + " '' is empty"; code != exitUsage || !strings.Contains(said, want) || out != "" {
			t.Errorf("%s: %d, %s%s; want %d and %q", flag, code, out, said, exitUsage, want)
		}
	}
	for _, args := range [][]string{{"plan", "--image", "debian", "--nodes", "1", "--capture", ""},
		{"edit", "s1", "--at", ""}, {"retry", "s1", "--context", ""}} {
		if code, _, said := o.run(append([]string{"session"}, args...)...); code != exitUsage ||
			!strings.Contains(said, "'' is empty") {
			t.Errorf("%v: %d, %s", args, code, said)
		}
	}
	if _, out, _ := o.run("session", "list", "--all", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("a session was made: %s", out)
	}
	o.must("create", "--image", "debian", "--nodes", "52:54:00:00:00:09", "--notes", "")
	o.must("edit", "s1", "--notes", "", "--rate", "")
}

// TestEmptyMeans gives every text flag of every command an empty value: all but these are refused before anything is
// done.
func TestEmptyMeans(t *testing.T) {
	means := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		c.InitDefaultHelpFlag()
		c.Flags().VisitAll(func(f *pflag.Flag) {
			_, many := f.Value.(pflag.SliceValue)
			if f.Value.Type() != "string" && !many {
				return
			}
			f.Changed = true
			if err := f.Value.Set(""); err != nil {
				t.Fatal(err)
			}
			err := c.Args(c, nil)
			if err == nil || !strings.Contains(err.Error(), "--"+f.Name+" '' is empty") {
				means[strings.TrimPrefix(c.CommandPath(), "diskcast ")+" --"+f.Name] = true
			} else if ExitCode(err) != exitUsage {
				t.Errorf("%s --%s: %v has the exit code %d", c.CommandPath(), f.Name, err, ExitCode(err))
			}
			f.Changed = false
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(Tree())
	for flag := range means {
		c, name, _ := strings.Cut(flag, " --")
		switch {
		case name == "notes", flag == "session edit --rate", c == "serve", c == "doctor":
		default:
			t.Errorf("%s '' is taken", flag)
		}
	}
}
