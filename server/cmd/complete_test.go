package cmd

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/client/contexts"
)

// TestCompletion: the shell completes what the server has, and is given nothing where there is no answer.
func TestCompletion(t *testing.T) {
	o := newOffice(t)
	id := strings.TrimSpace(o.must("create", "--image", "debian", "--nodes", o.node))
	for _, c := range []struct {
		words []string
		want  []string
	}{
		{[]string{"session", "show", ""}, []string{id}},
		{[]string{"session", "cancel", ""}, []string{id}},
		{[]string{"session", "show", id, ""}, nil},
		{[]string{"machine", "show", ""}, []string{"m1"}},
		{[]string{"node", "show", ""}, []string{o.node}},
		{[]string{"session", "create", "--nodes", ""}, []string{"m1"}},
	} {
		if got := o.complete(o.url, c.words...); !slices.Equal(got, c.want) {
			t.Errorf("%q is completed to %q, want %q", c.words, got, c.want)
		}
	}
	if got := o.complete("https://127.0.0.1:1", "session", "show", ""); len(got) > 0 {
		t.Errorf("without a server it is completed to %q", got)
	}
}

// TestCompletionOfNames: so it does names of what the operator wrote down, entries of menus, and servers that were
// logged in to, which it asks no server for.
func TestCompletionOfNames(t *testing.T) {
	o := newOffice(t)
	file := filepath.Join(t.TempDir(), "contexts")
	t.Setenv("DISKCAST_CONTEXTS", file)
	f := &contexts.File{V: 1, Current: "lab", Servers: map[string]contexts.Context{"lab": {Server: "https://10.0.0.1"},
		"school": {Server: "https://10.0.0.2"}}}
	if err := f.Save(file); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"profile", "set", "teach", "--image", "debian"},
		{"group", "set", "front", "room=210"}, {"rule", "set", "dell", "--vendor", "Dell*"},
		{"menu", "set", "hall", "own-disk", "wait", "profile=teach"}} {
		if code, _, said := o.run(args...); code != 0 {
			t.Fatalf("%v: %d %s", args, code, said)
		}
	}
	for _, c := range []struct {
		words []string
		want  []string
	}{
		{[]string{"group", "show", ""}, []string{"front"}},
		{[]string{"group", "rm", "other", ""}, []string{"front"}},
		{[]string{"group", "set", ""}, []string{"front"}},
		{[]string{"rule", "show", ""}, []string{"dell"}},
		{[]string{"rule", "rm", ""}, []string{"dell"}},
		{[]string{"menu", "show", ""}, []string{"hall"}},
		{[]string{"menu", "rm", ""}, []string{"hall"}},
		{[]string{"menu", "set", "hall", ""}, []string{"own-disk", "wait", "rescue", "memtest", "profile=teach"}},
		{[]string{"context", "use", ""}, []string{"lab", "school"}},
		{[]string{"context", "rm", ""}, []string{"lab", "school"}},
		{[]string{"session", "list", "--context", ""}, []string{"lab", "school"}},
	} {
		got, directive := o.completion(o.url, c.words...)
		if !slices.Equal(got, c.want) || directive != ":4" {
			t.Errorf("%q is completed to %q (%s), want %q", c.words, got, directive, c.want)
		}
	}
}

// complete is what the shell is given for the last of the words.
func (o *office) complete(url string, words ...string) []string {
	o.t.Helper()
	got, _ := o.completion(url, words...)
	return got
}

// completion is that and the directive, such as :4 for no files.
func (o *office) completion(url string, words ...string) (got []string, directive string) {
	o.t.Helper()
	args := []string{"__complete", words[0], words[1], "--server", url, "--state", o.state}
	if words[0] == "context" { // which asks no server
		args = args[:3]
	}
	args = append(args, words[2:]...)
	var out, errs bytes.Buffer
	if err := Run(o.t.Context(), args, strings.NewReader(""), &out, &errs); err != nil {
		o.t.Fatalf("%v: %v", words, err)
	}
	for line := range strings.Lines(out.String()) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(word, ":") {
			directive = word
			continue
		}
		got = append(got, word)
	}
	return got, directive
}

// TestCompletionScripts prints what makes each shell complete, to where all results go.
func TestCompletionScripts(t *testing.T) {
	for shell := range completionExamples {
		var out, errs bytes.Buffer
		err := Run(t.Context(), []string{"completion", shell}, strings.NewReader(""), &out, &errs)
		if err != nil || !strings.Contains(out.String(), "__complete") {
			t.Errorf("%s: %v, %d bytes, %s", shell, err, out.Len(), errs.String())
		}
	}
}

// TestOutput prints one list in each form.
func TestOutput(t *testing.T) {
	o := newOffice(t)
	id := strings.TrimSpace(o.must("create", "--image", "debian", "--nodes", o.node))
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"session", "list", "-o", "name"}, id + "\n"},
		{[]string{"session", "show", id, "--output", "name"}, id + "\n"},
		{[]string{"machine", "list", "--output=name"}, "m1\n"},
		{[]string{"session", "list", "--output", "yaml"}, "---\n- id: " + id + "\n"},
		{[]string{"session", "list", "--output", "json"}, `[{"id":"` + id + `"`},
		{[]string{"session", "list", "--output", "table"}, "SESSION"},
	} {
		if code, out, errs := o.run(c.args...); code != 0 || !strings.HasPrefix(out, c.want) {
			t.Errorf("%q: %d %s %s, want %q", c.args, code, out, errs, c.want)
		}
	}
	for _, args := range [][]string{{"session", "list", "-o", "xml"}, {"session", "list", "--json", "-o", "yaml"}} {
		if code, out, _ := o.run(args...); code != exitUsage || out != "" {
			t.Errorf("%q: %d %s", args, code, out)
		}
	}
}
