package cmd

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocsLine runs the line of docs/operating.md that gives one command's names to another: it ends what is not over,
// and leaves what is.
func TestDocsLine(t *testing.T) {
	b, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile("`diskcast (session cancel) \\$\\(diskcast (.*)\\)` is a line that works")
	line := re.FindSubmatch(b)
	if line == nil {
		t.Fatal("docs/operating.md has the line no more")
	}
	o := newOffice(t)
	for _, mac := range []string{"01", "02", "03"} {
		o.must("create", "--image", "debian", "--nodes", "52:54:00:00:01:"+mac)
	}
	o.must("cancel", "s2")
	code, names, said := o.run(strings.Fields(string(line[2]))...)
	if code != 0 || names != "s1\ns3\n" {
		t.Fatalf("%s: %d, %s%s; want s1 and s3, which are not over", line[2], code, names, said)
	}
	code, out, said := o.run(append(strings.Fields(string(line[1])), strings.Fields(names)...)...)
	if code != 0 || !strings.HasPrefix(out, "s1 cancelled\n") ||
		!strings.Contains(out, "\ns3 cancelled\n") || strings.Contains(out, "s2") {
		t.Errorf("%s %q: %d, %s%s", line[1], names, code, out, said)
	}
	if _, names, _ = o.run(strings.Fields(string(line[2]))...); names != "" {
		t.Errorf("afterwards there is %s", names)
	}
}

// TestSeveral: commands that end or remove take several; what is wrong with one is said, and the rest is told.
func TestSeveral(t *testing.T) {
	o := newOffice(t)
	for _, name := range []string{"one", "two", "three"} {
		if code, out, said := o.run("group", "set", name, "row=1"); code != 0 {
			t.Fatal(out, said)
		}
		o.must("create", "--image", "debian", "--nodes", "52:54:00:00:02:0"+string('1'+name[0]%3))
	}
	for _, c := range []struct {
		line string
		code int
		want []string // in what is printed
	}{
		{"session cancel s1 s9 s2 -o name", 1, []string{"s1\ns2\n", `s9`}},
		{"session cancel s3 --json", 0, []string{`{"id":"s3"`}},
		{"session cancel s2 s3 --json", 0, []string{`[{"id":"s2"`, `{"id":"s3"`}},
		{"session cancel", exitUsage, []string{"SESSION..."}},
		{"session list --open --all", exitUsage, []string{"leave one away"}},
		{"session list --open --json", 0, []string{"[]"}},
		{"job cancel j8 j9", 1, []string{"no images to work on\nthis server"}},
		{"group rm one nine", 1, []string{"nine"}},
		{"group rm one two --revision 1", exitUsage, []string{"name one"}},
		{"group rm one two -o name", 0, []string{"one\ntwo\n"}},
		{"group list -o name", 0, []string{"three\n"}},
		{"machine remove m9 m1", 1, []string{"m9"}},
		{"node forget " + o.node + " 52:54:00:00:00:99", 1, []string{o.node + " forgotten\n", "52-54-00-00-00-99"}},
	} {
		code, out, said := o.run(strings.Fields(c.line)...)
		missing := func(w string) bool { return !strings.Contains(out+said, w) }
		if code != c.code || slices.ContainsFunc(c.want, missing) {
			t.Errorf("%s: %d, %s%s; want %d, %q", c.line, code, out, said, c.code, c.want)
		}
	}
}
