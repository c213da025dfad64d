package cmd

import (
	"strings"
	"testing"
)

// TestNames: with --output name, what makes, changes or removes something prints its name and does not fail after the
// deed; what has none to print does nothing.
func TestNames(t *testing.T) {
	o := newOffice(t)
	for _, c := range []struct {
		want string
		args []string
	}{
		{"s1", []string{"session", "create", "--image", "debian", "--nodes", "52:54:00:00:00:09"}},
		{"s1", []string{"session", "cancel", "s1"}},
		{"s1", []string{"session", "watch", "s1"}},
		{"s1", []string{"session", "rm", "s1"}},
		{"front", []string{"group", "set", "front", "room=210"}},
		{"dell", []string{"rule", "set", "dell", "--vendor", "Dell*"}},
		{"lab", []string{"profile", "set", "lab", "--image", "debian"}},
		{"lab", []string{"profile", "rm", "lab"}},
		{"", []string{"image", "gc"}},
		{"", []string{"token", "create", "ada", "--role", "viewer"}},
	} {
		code, out, said := o.run(append(c.args, "-o", "name")...)
		switch {
		case c.want == "" && (code != exitUsage || !strings.Contains(said, "no name to print") || out != ""):
			t.Errorf("%v: %d, %s%s; want a refusal", c.args, code, out, said)
		case c.want != "" && (out != c.want+"\n" || code != 0 && code != exitSession):
			t.Errorf("%v: %d, %s%s; want %s", c.args, code, out, said, c.want)
		}
	}
}
