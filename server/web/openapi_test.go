package web

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/diskcast/diskcast/server/web/openapi"
)

// described reads the description as another program reads it, and has it judged.
func describedBy(t *testing.T) *openapi3.T {
	t.Helper()
	calls, err := Calls()
	if err != nil {
		t.Fatal(err)
	}
	b, err := openapi.Document("test", calls)
	if err != nil {
		t.Fatal(err)
	}
	d, err := openapi3.NewLoader().LoadFromData(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDescriptionNamesEveryRoute(t *testing.T) {
	d := describedBy(t)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("it is OpenAPI %q", d.OpenAPI)
	}
	patterns, ids := map[string]bool{}, map[string]bool{}
	for _, rt := range Routes() {
		patterns[rt.Pattern()] = true
		op := d.Paths.Value(strings.TrimSuffix(rt.Path, "{$}")).GetOperation(rt.Method)
		if op == nil {
			t.Errorf("%s is not there", rt.Pattern())
			continue
		}
		if ids[op.OperationID] || op.OperationID == "" {
			t.Errorf("%s: the id %q is of two or of none", rt.Pattern(), op.OperationID)
		}
		ids[op.OperationID] = true
		if op.Summary == "" {
			t.Errorf("%s: nothing says what it does", rt.Pattern())
		}
		for _, p := range op.Parameters {
			if p.Value.Description == "" {
				t.Errorf("%s: nothing says what %s is", rt.Pattern(), p.Value.Name)
			}
		}
		if open := op.Security == nil; open != (rt.Role == Anyone) {
			t.Errorf("%s, for %s: it says that anybody may: %v", rt.Pattern(), rt.Role, open)
		}
		if (op.RequestBody != nil) != (rt.Body > 0) {
			t.Errorf("%s takes %d bytes, and has a body: %v", rt.Pattern(), rt.Body, op.RequestBody != nil)
		}
	}
	for pattern := range contracts() {
		if !patterns[pattern] {
			t.Errorf("the contract of %s is of no route", pattern)
		}
	}
}
