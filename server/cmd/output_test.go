package cmd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// calls is what each function of this package and of castcmd mentions, by name: enough to tell whether a command can
// come to print a document.
func calls(t *testing.T) map[string]map[string]bool {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if out[fn.Name.Name] == nil {
				out[fn.Name.Name] = map[string]bool{}
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr:
					out[fn.Name.Name][n.Sel.Name] = true
				case *ast.Ident:
					out[fn.Name.Name][n.Name] = true
				}
				return true
			})
		}
	}
	return out
}

// reaches reports whether the function comes to print a document.
func reaches(of map[string]map[string]bool, from string, seen map[string]bool) bool {
	if seen[from] {
		return false
	}
	seen[from] = true
	if of[from]["Doc"] || of[from]["Object"] {
		return true
	}
	for name := range of[from] {
		if of[name] != nil && reaches(of, name, seen) {
			return true
		}
	}
	return false
}

// maker is the function of this package in which the command's own one is written.
func maker(c *cobra.Command) string {
	name := runtime.FuncForPC(reflect.ValueOf(c.RunE).Pointer()).Name()
	name = name[strings.LastIndex(name, "/")+1:]
	name = strings.TrimPrefix(name, "cmd.")
	name = strings.TrimPrefix(name, "(*env).")
	name, _, _ = strings.Cut(name, ".")
	return strings.TrimSuffix(name, "-fm")
}

// TestOutputIsFollowedOrRefused: a command prints a document in the form that --output says, or refuses the flag.
func TestOutputIsFollowedOrRefused(t *testing.T) {
	of := calls(t)
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		for _, s := range c.Commands() {
			each(s)
		}
		path := c.CommandPath()
		switch {
		case !c.Runnable() || c.HasSubCommands() || strings.HasPrefix(path, "diskcast cast "): // whose -o is a file
			return
		case slices.Contains(formless, path):
			for _, form := range [][]string{{"--json"}, {"-o", "json"}, {"--output=yaml"}, {"-o", "name"}} {
				args := append(strings.Fields(path)[1:], form...)
				err := Run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard)
				if ExitCode(err) != exitUsage || !strings.Contains(err.Error(), form[0][:2]) {
					t.Errorf("%v: %v", args, err)
				}
			}
		case c.RunE == nil:
			t.Errorf("%s: nobody knows whether it follows --output", path)
		case !reaches(of, maker(c), map[string]bool{}):
			t.Errorf("%s (made in %s) prints no document, and does not refuse --output", path, maker(c))
		}
	}
	root := Tree()
	each(root)
	for _, path := range formless {
		if c, _, err := root.Find(strings.Fields(path)[1:]); err != nil || c.CommandPath() != path {
			t.Errorf("there is no command %s", path)
		}
	}
}

// TestExportInForms: what is exported is in the form that was asked for, and apply reads each.
func TestExportInForms(t *testing.T) {
	o := newShop(t)
	file := filepath.Join(t.TempDir(), "lab.yaml")
	const lab = "groups:\n  g: room=210\nprofiles:\n  p:\n    verify: false\n    rate: 900000\n"
	if err := os.WriteFile(file, []byte(lab), 0o600); err != nil {
		t.Fatal(err)
	}
	at := []string{"--server", o.url, "--state", o.state}
	if code, out, said := o.run(append([]string{"apply", "-f", file}, at...)...); code != 0 {
		t.Fatalf("apply: %d, %s%s", code, out, said)
	}
	const want = `{"groups":{"g":"room=210"},"profiles":{"p":{"rate":900000,"verify":false}}}` + "\n"
	code, out, said := o.run(append([]string{"export", "-o", "json"}, at...)...)
	if code != 0 || out != want {
		t.Errorf("%d, %swant\n%s%s", code, out, want, said)
	}
	if code, _, said := o.run(append([]string{"export", "-o", "name"}, at...)...); code != exitUsage {
		t.Errorf("as names: %d %s", code, said)
	}
}
