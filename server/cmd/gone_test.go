package cmd

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestGone: a command that takes something away says what, and with --json in one document.
func TestGone(t *testing.T) {
	o := newOffice(t)
	if code, _, said := o.run("machine", "name", "m1", "lab-01"); code != 0 {
		t.Fatal(code, said)
	}
	for _, c := range []struct {
		args []string
		how  string
		what string
	}{
		{[]string{"machine", "remove", "lab-01"}, "removed", "lab-01"},
		{[]string{"node", "forget", o.node}, "forgotten", o.node},
	} {
		code, out, said := o.run(append(c.args, "--json")...)
		var got map[string][]string
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
			t.Errorf("%v --json: exit %d, %q, %s: %v", c.args, code, out, said, err)
		}
		if d := cmp.Diff(map[string][]string{c.how: {c.what}}, got); d != "" {
			t.Errorf("%v: %s", c.args, d)
		}
		if code, out, _ := o.run(append(c.args, "--json")...); code != exitFailed || out != "" {
			t.Errorf("%v twice: exit %d, %q", c.args, code, out)
		}
	}
}
