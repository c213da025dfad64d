package web

import (
	"net/http"
	"strings"
	"testing"
)

// TestNothingElseIsNamed: refusals, warnings and words that were stored before name no machine or session that is not
// within, and do not tell a name that is there from one that is not.
func TestNothingElseIsNamed(t *testing.T) {
	r := newRoom(t)
	token := r.secret["operator"]
	for _, c := range []struct{ name, method, path, body, want string }{
		{"a name that is taken", "PATCH", "/v1/machines/in-1", `{"v":1,"name":"out-1"}`,
			"machine (not yours) is called out-1 already"},
		{"a slip of the hand", "POST", "/v1/sessions/plan", `{"v":1,"image":"debian","nodes":["52:54:00:00:00:03"]}`,
			""},
		{"a machine that is not within", "GET", "/v1/machines/out-1", "",
			`machine \"out-1\": not found, or it is not of`},
		{"one that is not there", "GET", "/v1/machines/out-7", "", `machine \"out-7\": not found, or it is not of`},
		{"its selector", "POST", "/v1/sessions", `{"v":1,"image":"debian","on":"out-1"}`, `\"out-1\"`},
		{"one of none", "POST", "/v1/sessions", `{"v":1,"image":"debian","on":"out-7"}`, `\"out-7\"`},
	} {
		code, body := r.once(c.method, c.path, token, c.body)
		got := strings.NewReplacer("out-1 already", "", "out-1\\\"", "").Replace(body)
		if code/100 == 2 && c.want != "" || leaks(got) != "" || strings.Contains(got, "m2") ||
			!strings.Contains(body, c.want) {
			t.Errorf("%s: %d %s; want %s", c.name, code, body, c.want)
		}
	}
	r.make("PATCH", "/v1/machines/m1", `{"v":1,"notes":"see out-1 and m1"}`)
	if code, body := r.once("GET", "/v1/machines/m1", token, ""); code != http.StatusOK ||
		!strings.Contains(body, "see out-1 and m1") {
		t.Errorf("what was entered of its own machine: %d %s", code, body)
	}
}
