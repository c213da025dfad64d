package cmd

import (
	"bytes"
	"strings"
	"testing"
)

// TestEraseAsks: nothing is sent to a server before the command line is whole and somebody has said yes.
func TestEraseAsks(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--nodes", "all"}, "method"},
		{[]string{"--method", "hammer", "--nodes", "all"}, "is none of"},
		{[]string{"--method", "zero", "--passes", "3", "--nodes", "all"}, "no passes"},
		{[]string{"--method", "zero"}, "--nodes"},
		{[]string{"--method", "zero", "--nodes", "all", "--disk", "shiny"}, "--disk"},
		{[]string{"--method", "zero", "--nodes", "all"}, "--yes"},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"session", "erase", "--server", "https://127.0.0.1:1", "--state", t.TempDir()},
			c.args...)
		err := Run(t.Context(), args, strings.NewReader("yes\n"), &out, &errs)
		if ExitCode(err) != exitUsage || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: exit %d, %v; want %q", c.args, ExitCode(err), err, c.says)
		}
	}
}
