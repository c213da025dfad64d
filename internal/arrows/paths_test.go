package arrows

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// paths are the files and folders of the module that a page names in backticks. NAME and KIND in a recipe stand for
// what the reader chooses: any will do.
func paths(page string) (out []string) {
	for _, quoted := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(page, -1) {
		for _, word := range strings.Fields(quoted[1]) {
			word = strings.TrimRight(strings.TrimPrefix(strings.TrimLeft(word, "("), "./"), ",.;:()/")
			word, _, _ = strings.Cut(word, "#")
			word = regexp.MustCompile(`\b(NAME|KIND)\b`).ReplaceAllString(word, "*")
			first, _, deep := strings.Cut(word, "/")
			if deep && slices.Contains(tops, first) || strings.HasSuffix(word, ".md") {
				out = append(out, strings.TrimSuffix(word, "/..."))
			}
		}
	}
	return out
}

// tops are the folders that a path of the module begins with.
var tops = []string{".ci", "agent", "docs", "initramfs", "internal", "mkimage", "qemu-tests", "server"}

// TestPaths wants every path that a page names to be there. (docs/adr says what was, with the names of that day.)
func TestPaths(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, page := range append(pages, "../../CONTRIBUTING.md", "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths(string(text)) {
			checked++
			found := 0
			for _, dir := range []string{"../..", filepath.Dir(page)} {
				there, err := filepath.Glob(filepath.Join(dir, path))
				if err != nil {
					t.Fatal(err)
				}
				found += len(there)
			}
			if found == 0 {
				t.Errorf("%s names %s, which is not there", page, path)
			}
		}
	}
	if checked < 150 {
		t.Errorf("%d paths were found in the pages, want at least 150", checked)
	}
}

func TestPathsFound(t *testing.T) {
	got := paths("`go test ./server/web -run Docs` and `agent/KIND/`, `a/b`, `GET /v1/x`, `docs/x.md#part`, `.ci/x`")
	if want := []string{"server/web", "agent/*", "docs/x.md", ".ci/x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
