package cmd

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
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
		{[]string{"--method", "overwrite", "--passes", "0", "--nodes", "all"}, "at least 1"},
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

// TestEraseShown: a session that erases says so, how, and of each machine whether there is a receipt.
func TestEraseShown(t *testing.T) {
	result, err := json.Marshal(erasure.Result{V: erasure.Version, Method: erasure.Overwrite, OK: true,
		Disk: erasure.Disk{Path: "/dev/sda", Size: 1 << 30}, Term: erasure.Clear, Reason: "every byte was written"})
	if err != nil {
		t.Fatal(err)
	}
	planned := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := &doc.Session{ID: "s9", State: doc.Done, Spec: doc.Spec{V: 1, Kind: erasure.Action, All: true,
		Target: session.Target{Type: "nvme"},
		Job:    json.RawMessage(`{"method":"overwrite","read_back":"all","passes":3}`)},
		Parts: []doc.Part{{Node: "n1", State: doc.Done, Planned: planned, Result: result},
			{Node: "n2", State: doc.Failed, Planned: planned, NoReceipt: "the key is gone"}}}
	var out bytes.Buffer
	e := &env{}
	e.Out = &out
	if err := e.showSession(s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"erase", "overwrite", "read back  all", "passes     3", "receipt get s9",
		"NIST SP 800-88: clear (every byte was written)", "NO receipt: the key is gone",
		"on a disk that the node never named", "a receipt says what was done, and that no disk was named"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "image") {
		t.Errorf("an erase has an image:\n%s", out.String())
	}
	for i := range s.Parts {
		s.Parts[i].Disk = &session.DiskID{Path: "/dev/nvme0n1"}
	}
	out.Reset()
	if err := e.showSession(s); err != nil || strings.Contains(out.String(), "named") ||
		!strings.Contains(out.String(), "/dev/nvme0n1") {
		t.Errorf("%v, with disks:\n%s", err, out.String())
	}
	if got := what(s); got != "erase overwrite" {
		t.Errorf("in the list it is %q", got)
	}
}

// TestFlagNames: what stands in backquotes in a flag's help is printed as the name of its value: one word.
func TestFlagNames(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if name, _ := pflag.UnquoteUsage(f); strings.ContainsAny(name, " `") || strings.Count(f.Usage, "`") > 2 {
				t.Errorf("%s --%s: its value is called %q", c.CommandPath(), f.Name, name)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(Tree())
}
