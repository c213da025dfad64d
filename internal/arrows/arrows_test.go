// Package arrows holds the tables of docs/architecture.md, which say what a room may import, against what the packages
// import.
package arrows

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/diskcast/diskcast/"

// rooms is folder -> folders that it may import, from lines of three cells whose first begins with a name in backticks.
func rooms(text string) map[string][]string {
	line := regexp.MustCompile("(?m)^\\| (`[^|]*) \\|[^|]*\\|([^|]*)\\|$")
	name := regexp.MustCompile("`([^`]+)`")
	all := map[string][]string{}
	for _, m := range line.FindAllStringSubmatch(text, -1) {
		var may []string
		for _, n := range name.FindAllStringSubmatch(m[2], -1) {
			may = append(may, n[1])
		}
		for _, n := range name.FindAllStringSubmatch(m[1], -1) {
			all[n[1]] = append(may, n[1])
		}
	}
	return all
}

// within says whether a package is a folder or below it.
func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// room is the longest folder with the package in it; "" if none.
func room(all map[string][]string, pkg string) string {
	longest := ""
	for folder := range all {
		if within(pkg, folder) && len(folder) > len(longest) {
			longest = folder
		}
	}
	return longest
}

// wrong is what the tables do not allow a package to import.
func wrong(all map[string][]string, pkg string, imports []string) []string {
	var out []string
	for _, path := range imports {
		other, ours := strings.CutPrefix(path, module)
		if ours && !slices.ContainsFunc(all[room(all, pkg)],
			func(folder string) bool { return within(other, folder) }) {
			out = append(out, other)
		}
	}
	return out
}

func TestArrows(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	all := rooms(string(text))
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	seen := map[string]bool{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkg := strings.TrimPrefix(p.ImportPath, module)
		r := room(all, pkg)
		if r == "" {
			t.Errorf("%s is in no room of docs/architecture.md: add a line", pkg)
		}
		seen[r] = true
		for _, other := range wrong(all, pkg, p.Imports) {
			t.Errorf("%s imports %s, which the line of `%s` in docs/architecture.md does not name", pkg, other, r)
		}
	}
	for folder := range all {
		if !seen[folder] {
			t.Errorf("docs/architecture.md has a line for %s, and no package is there", folder)
		}
	}
}

// TestKnowNothing holds what no chain of imports may bring.
func TestKnowNothing(t *testing.T) {
	for pkg, not := range map[string][]string{
		"internal/image": {"net"}, "internal/image/capture": {"net"}, "internal/image/restore": {"net"},
		"internal/volume/probe": {"net", module + "internal/image"},
		"internal/convert":      {"net", module + "internal/image"},
		"internal/cast":         {module + "internal/image", module + "internal/volume"},
	} {
		out, err := exec.Command("go", "list", "-deps", module+pkg).Output()
		if err != nil {
			t.Fatalf("go list -deps %s: %v", pkg, err)
		}
		deps := strings.Fields(string(out))
		for _, n := range not {
			if slices.Contains(deps, n) {
				t.Errorf("%s comes to import %s", pkg, n)
			}
		}
	}
}

func TestWrong(t *testing.T) {
	all := rooms("| `server` | x | `server/cmd`, `internal/plain` |\n| `server/cmd` | x | all of `server` |\n| " +
		"`internal/plain` | x | nothing of ours |\n")
	for pkg, c := range map[string]struct{ imports, want []string }{
		"server/cmd":       {[]string{"fmt", module + "server/web"}, nil},
		"internal/plain":   {[]string{module + "internal/image"}, []string{"internal/image"}},
		"internal/plain/x": {[]string{module + "internal/plain"}, nil},
		"internal/plainer": {[]string{module + "internal/plain"}, []string{"internal/plain"}},
	} {
		if got := wrong(all, pkg, c.imports); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", pkg, got, c.want)
		}
	}
}
