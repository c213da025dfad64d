package web

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// TestMediaType: a document that is said to be something other than JSON is refused, before it is read and by every
// request that takes one; one that is said to be JSON, or nothing, is taken. Whose token is wrong hears that.
func TestMediaType(t *testing.T) {
	r := newRig(t)
	const path, lab = "/v1/lab", `{"v":1,"machines":[{"name":"pc1","macs":["52:54:00:00:00:01"]}]}`
	for kind, want := range map[string]int{"": 200, "application/json": 200, "application/json; charset=utf-8": 200,
		"Application/JSON": 200, "application/merge-patch+json": 200, "application/octet-stream": 200,
		"application/x-www-form-urlencoded": 415, "application/x-www-form-urlencoded; charset=utf-8": 415,
		"multipart/form-data; boundary=x": 415, "text/plain": 415, "text/plain; charset=utf-8": 415,
		"application/yaml": 415, "json": 415, ";": 415, "application/json, text/plain": 415} {
		code, body, _ := r.call("POST", path, r.id.Token, lab, "Content-Type", kind)
		if code != want {
			t.Errorf("%q: %d, want %d\n%s", kind, code, want, body)
		}
		var e doc.Error
		if want == 415 && (json.Unmarshal([]byte(body), &e) != nil || e.Code != doc.ProblemMediaType ||
			!strings.Contains(e.Detail, "application/json")) {
			t.Errorf("%q: %s", kind, body)
		}
	}
	const form = "application/x-www-form-urlencoded"
	if code, body, _ := r.call("POST", path, r.id.Token, lab, "Content-Type", form); !strings.Contains(body, "--json") {
		t.Errorf("a form: %d\n%s", code, body)
	}
	if code, _, _ := r.call("POST", path, "wrong", lab, "Content-Type", form); code != http.StatusUnauthorized {
		t.Errorf("a form with a wrong token: %d", code)
	}
	if code, body, _ := r.call("POST", "/v1/sessions/plan", r.id.Token, "{", "Content-Type", form); code != 415 {
		t.Errorf("a form that is no JSON either: %d\n%s", code, body)
	}
	fits := strings.NewReplacer("{", "", "}", "")
	node := r.hello("52:54:00:00:00:01", "b1")
	agreed := contracts()
	for _, rt := range Routes() {
		if call := agreed[rt.Pattern()]; !call.Document() {
			continue
		}
		token := r.id.Token
		if rt.Role == Node {
			token = node.Token
		}
		at := fits.Replace(strings.ReplaceAll(rt.Path, "{node}", node.Node))
		if code, body, _ := r.call(rt.Method, at, token, "{}", "Content-Type", "text/plain"); code != 415 {
			t.Errorf("%s: %d\n%s", rt.Pattern(), code, body)
		}
	}
}
