package cmd

import (
	"strings"
	"testing"
)

// TestRepeatCommands makes a repeating session, by flags and by a profile, and lists, shows and forgets it.
func TestRepeatCommands(t *testing.T) {
	o := newOffice(t)
	do := func(code int, want string, args ...string) {
		t.Helper()
		got, out, said := o.run(args...)
		if got != code || !strings.Contains(out+said, want) {
			t.Errorf("%v: %d, %s%s; want %d and %q", args, got, out, said, code, want)
		}
	}
	create := []string{"session", "create", "--image", "debian", "--nodes", "all"}
	do(0, "r1", append(create, "--every", "0 3 * * 1-5")...)
	do(0, "its first session is made at", append(create, "--every", "@daily", "--missed", "run", "--verify")...)
	if _, out, _ := o.run(append(create, "--every", "@daily", "--plan")...); strings.Contains(out, "r3") {
		t.Errorf("a plan makes a repeating session: %s", out)
	}
	do(exitUsage, "--at does not go with --every", append(create, "--every", "@daily", "--at", "21:30")...)
	do(exitUsage, "--missed goes with --every", append(create, "--missed", "run")...)
	do(exitUsage, "none of skip", append(create, "--every", "@daily", "--missed", "twice")...)
	do(exitFailed, "five fields", append(create, "--every", "0 3 * *")...)
	do(0, "profile", "profile", "set", "lab", "--image", "debian", "--then", "reboot")
	do(0, "r3", "session", "create", "--profile", "lab", "--nodes", "all", "--every", "@hourly")
	do(exitFailed, "did you mean lab?", "session", "create", "--profile", "lba", "--nodes", "all", "--every", "@hourly")
	do(0, "0 3 * * 1-5", "repeat", "list")
	do(0, `"profile":"lab"`, "repeat", "show", "r3")
	do(0, `"missed":"run"`, "repeat", "show", "r2", "--json")
	do(0, "r2 removed", "repeat", "rm", "r1", "r2")
	do(exitFailed, "repeating session r1", "repeat", "show", "r1")
	do(exitUsage, "--every", "profile", "set", "lab", "--image", "debian", "--every", "@daily")
}
