package jobs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// mayImport is all that the state machine and the kinds are made of. None of it blocks, waits, writes or asks the time
// by itself, but for package time, of which only reckoning is allowed.
var mayImport = []string{"bytes", "cmp", "encoding/json", "errors", "fmt", "slices", "strconv", "strings", "time",
	"unicode", "github.com/diskcast/diskcast/internal/units",
	"github.com/diskcast/diskcast/internal/erasure", "github.com/diskcast/diskcast/internal/rescue",
	"github.com/diskcast/diskcast/internal/image",
	"github.com/diskcast/diskcast/internal/receipt", "github.com/diskcast/diskcast/internal/plain",
	"github.com/diskcast/diskcast/internal/session",
	"github.com/diskcast/diskcast/server/jobs", "github.com/diskcast/diskcast/server/doc"}

// TestPure holds that no file here or in the folder of a kind has a goroutine, a channel, a clock, or an import that
// could bring one.
func TestPure(t *testing.T) {
	var files []string
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
			files = append(files, path)
		}
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range impure(t, path, src) {
			t.Error(bad)
		}
	}
	for _, src := range []string{"import \"sync\"", "import \"time\"\nfunc f() { time.Now() }", "func f() { go f() }",
		"var c chan int",
		"import \"github.com/diskcast/diskcast/server/store\""} {
		if len(impure(t, "x.go", []byte("package x\n"+src+"\n"))) == 0 {
			t.Errorf("taken for pure: %s", src)
		}
	}
}

func impure(t *testing.T, path string, src []byte) (bad []string) {
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, path, src, 0)
	if err != nil {
		t.Fatal(err)
	}
	note := func(pos token.Pos, words string) { bad = append(bad, set.Position(pos).String()+": "+words) }
	kinds := strings.HasPrefix(path, "kinds/") // which names the folders of the kinds
	for _, i := range f.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		ok := kinds && strings.HasPrefix(name, "github.com/diskcast/diskcast/server/jobs/")
		for _, may := range mayImport {
			ok = ok || name == may
		}
		if !ok {
			note(i.Pos(), "imports "+name)
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			note(n.Pos(), "starts a goroutine")
		case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
			note(n.Pos(), "has a channel")
		case *ast.SelectorExpr:
			pkg, ok := n.X.(*ast.Ident)
			if !ok || pkg.Name != "time" {
				return true
			}
			switch n.Sel.Name {
			case "Time", "Duration", "Second", "Minute", "Hour":
			default:
				note(n.Pos(), "uses time."+n.Sel.Name)
			}
		}
		return true
	})
	return bad
}
