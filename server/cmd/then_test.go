package cmd

import (
	"bytes"
	"strings"
	"testing"
)

// TestBootIsThen gives the way of leaving by its old name and by its new one: the server that is asked is none, but the
// note tells which was read.
func TestBootIsThen(t *testing.T) {
	for flag, noted := range map[string]bool{"--boot": true, "--then": false} {
		var out, said bytes.Buffer
		err := Run(t.Context(), []string{"session", "create", "--state", t.TempDir(), "--image", "x", "--nodes", "all",
			flag, "reboot"}, strings.NewReader(""), &out, &said)
		if err == nil || ExitCode(err) == exitUsage {
			t.Errorf("%s: %v", flag, err)
		}
		if got := strings.Contains(said.String(), "--boot is called --then now"); got != noted {
			t.Errorf("%s: said %q", flag, &said)
		}
	}
}
