package session

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

// TestKnown: each step that has a name in event.go is one that the protocol has, but for those that are no step on a
// timeline.
func TestKnown(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	often := map[string]bool{StepProgress: true, StepMulticast: true, StepChunk: true, StepLog: true, StepHanded: true}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Step") || len(v.Values) != 1 {
			return true
		}
		step, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		if Known(step) == often[step] {
			t.Errorf("%s: known %v", v.Names[0].Name, Known(step))
		}
		return true
	})
	if n < 12 {
		t.Errorf("%d steps were found", n)
	}
}
