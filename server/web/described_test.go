package web

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// TestWrongFields: a document that is refused has its wrong fields named, and nothing of what they hold repeated.
func TestWrongFields(t *testing.T) {
	r := newRig(t)
	const secret = "hunter2hunter2"
	for _, c := range []struct {
		path, body string
		fields     []doc.FieldError
	}{
		{"/v1/sessions", `{"v":1,"nods":["x"],"count":"` + secret + `","target":{"sisze":1}}`,
			[]doc.FieldError{{Field: "count", Error: "expected integer"},
				{Field: "nods", Error: "unknown field"}, {Field: "target.sisze", Error: "unknown field"}}},
		{"/v1/sessions", `[]`, []doc.FieldError{{Error: "expected object"}}},
		{"/v1/sessions", `{"v":1,`, []doc.FieldError{{Error: "the document ends in the middle"}}},
		{"/v1/sessions", `{"v":1} {}`, []doc.FieldError{{Error: "the request has data after its end"}}},
		{"/v1/lab", `{"v":1,"machines":[{"labels":{"a.b":"c"}}],"groups":[{"name":"a"},{"name":["` + secret + `"]}]}`,
			[]doc.FieldError{{Field: "groups[1].name", Error: "expected string"}}},
	} {
		code, body, _ := r.call("POST", c.path, r.id.Token, c.body)
		var e doc.Error
		if err := json.Unmarshal([]byte(body), &e); err != nil || code != http.StatusBadRequest ||
			!reflect.DeepEqual(e.Errors, c.fields) || strings.Contains(body, secret) {
			t.Errorf("%s %s: %d %s, want the fields %+v", c.path, c.body, code, body, c.fields)
		}
		for _, f := range c.fields {
			if !strings.Contains(e.Detail, f.Error) || !strings.Contains(e.Detail, f.Field) {
				t.Errorf("%q says nothing of %+v", e.Detail, f)
			}
		}
	}
}

// TestAPIPage: every code that a refusal may have is described where its type points, and nothing on the page runs.
func TestAPIPage(t *testing.T) {
	r := newRig(t)
	code, page, h := r.call("GET", "/v1/", "", "")
	if policy := h.Get("Content-Security-Policy"); code != http.StatusOK || strings.Contains(policy, "unsafe") ||
		!strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "style-src 'sha256-") {
		t.Errorf("%d, %q", code, policy)
	}
	seen := map[string]bool{}
	for _, p := range doc.Problems() {
		if seen[p.Code] || !strings.Contains(page, `id="`+p.Code+`"`) {
			t.Errorf("%s is there twice, or is not on the page", p.Code)
		}
		seen[p.Code] = true
	}
	for _, rt := range Routes() {
		if !strings.Contains(page, "<code>"+strings.TrimSuffix(rt.Path, "{$}")+"</code>") {
			t.Errorf("%s is not on the page", rt.Pattern())
		}
	}
	if strings.Contains(page, "<script") || strings.Contains(page, " style=") || strings.Contains(page, "ZgotmplZ") {
		t.Error("the page has a script, a style in an element, or what the template refused")
	}
}
