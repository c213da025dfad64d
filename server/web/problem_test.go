package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
)

// problem holds that an answer which is no success is a problem document whose code is of its status: every answer that
// a test of this package gets is held to it.
func problem(code int, h http.Header, body []byte) error {
	if code < 400 || code == http.StatusRequestedRangeNotSatisfiable { // which is net/http's
		return nil
	}
	var e doc.Error
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("%d: %w: %.300s", code, err, body)
	}
	known := slices.ContainsFunc(doc.Problems(), func(p doc.Problem) bool {
		return p.Code == e.Code && p.Status == code && p.Title == e.Title
	})
	if kind := h.Get("Content-Type"); !known || e.Status != code || e.Type != doc.ProblemType(e.Code) ||
		e.Detail == "" || e.Detail != e.Error || kind != "application/problem+json" {
		return fmt.Errorf("%d is no problem document, but %s: %.300s", code, kind, body)
	}
	return nil
}

func TestProblems(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		method, path, token, body, code string
	}{
		{"POST", "/v1/sessions", r.id.Token, `{"v":1,"nods":["x"]}`, doc.ProblemDocument},
		{"POST", "/v1/sessions", r.id.Token, `{"v":1,`, doc.ProblemDocument},
		{"POST", "/v1/node/hello", "", `{"v":9}`, doc.ProblemDocument},
		{"POST", "/v1/sessions", r.id.Token, `{"v":1,"image":"debian","target":{}}`, doc.ProblemRefused},
		{"GET", "/v1/machines?select=[", r.id.Token, "", doc.ProblemRefused},
		{"GET", "/v1/jobs/j1?wait=x", r.id.Token, "", doc.ProblemBadRequest},
		{"GET", "/v1/sessions", "", "", doc.ProblemUnauthorized},
		{"GET", "/v1/sessions/s9", r.id.Token, "", doc.ProblemNotFound},
		{"PUT", "/v1/sessions", r.id.Token, `{"v":1}`, doc.ProblemMethod},
		{"GET", "/v1/nothing", r.id.Token, "", doc.ProblemNoEndpoint},
		{"GET", "/v1/sessions", r.id.Token, "{}", doc.ProblemTooLarge},
		{"GET", "/debug/pprof/nothing", r.id.Token, "", doc.ProblemNotFound},
	} {
		_, body, _ := r.call(c.method, c.path, c.token, c.body)
		var e doc.Error
		if err := json.Unmarshal([]byte(body), &e); err != nil || e.Code != c.code {
			t.Errorf("%s %s: %s, want the code %s", c.method, c.path, body, c.code)
		}
	}
	_, err := r.operator().Session(t.Context(), "s9")
	var refused *client.StatusError
	if !errors.As(err, &refused) || refused.Problem != doc.ProblemNotFound || refused.Code != http.StatusNotFound {
		t.Errorf("the client has %+v of it", err)
	}
	text, err := os.ReadFile("../../docs/operator-api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range doc.Problems() {
		if row := fmt.Sprintf("| `%s` | %d | %s |\n", p.Code, p.Status, p.Title); !strings.Contains(string(text), row) {
			t.Errorf("docs/operator-api.md lacks %s", row)
		}
	}
}

// TestMethods: a method that a path does not have is refused with those that it has, for every path of the table; the
// API's root is found without its slash.
func TestMethods(t *testing.T) {
	r := newRig(t)
	has := map[string][]string{}
	for _, rt := range Routes() {
		if has[rt.Path] = append(has[rt.Path], rt.Method); rt.Method == http.MethodGet {
			has[rt.Path] = append(has[rt.Path], http.MethodHead)
		}
	}
	for path, methods := range has {
		plainly := strings.NewReplacer("{$}", "", "{", "", "}", "", "...", "").Replace(path)
		code, body, h := r.call("BREW", plainly, "", "")
		allow := strings.Split(h.Get("Allow"), ", ")
		if code != http.StatusMethodNotAllowed || slices.ContainsFunc(methods, func(m string) bool {
			return !slices.Contains(allow, m)
		}) {
			t.Errorf("%s: %d, Allow %q, want %v in it: %s", path, code, h.Get("Allow"), methods, body)
		}
	}
	code, body, _ := r.call("GET", "/v1", r.id.Token, "")
	if want, wanted, _ := r.call("GET", "/v1/", r.id.Token, ""); code != want || body != wanted {
		t.Errorf("/v1 answers %d, and /v1/ %d", code, want)
	}
}

// TestUnreadableDocuments: what is no document is refused in words, with where in it.
func TestUnreadableDocuments(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct{ name, body, words, field string }{
		{"nothing", "", "no document", ""},
		{"blanks", " \n", "no document", ""},
		{"a byte order mark", "\ufeff{\"v\":1}", "byte order mark", ""},
		{"UTF-16", "\xff\xfe{\x00}\x00", "UTF-16", ""},
		{"gzip", "\x1f\x8b\x08\x00\x00", "compressed", ""},
		{"zstd", "\x28\xb5\x2f\xfd\x00", "compressed", ""},
		{"half of one", `{"v":1,`, "ends in the middle", ""},
		{"a word", "{\"v\":1,\n \"image\": debian}", "line 2, column 11", ""},
		{"an exponent", `{"v":1e0,"image":"debian"}`, "digits alone", "v"},
		{"an exponent within", `{"v":1,"image":"debian","more_disks":[{"image":"x","target":{"min_size":1e3}}]}`,
			"digits alone", "more_disks[0].target.min_size"},
		{"a fraction", `{"v":1,"image":"debian","count":1.0}`, "digits alone", "count"},
		{"a large number", `{"v":1,"image":"debian","count":92233720368547758080}`, "", "count"},
		{"two", `{"v":1}{"v":1}`, "after its end", ""},
	} {
		code, body, _ := r.call("POST", "/v1/sessions", r.id.Token, c.body)
		var e doc.Error
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatal(err)
		}
		if code != http.StatusBadRequest || e.Code != doc.ProblemDocument || !strings.Contains(e.Detail, c.words) ||
			len(e.Errors) != 1 || e.Errors[0].Field != c.field || e.Errors[0].Error == "" ||
			strings.Contains(body, "Go ") || strings.Contains(body, "EOF") {
			t.Errorf("%s: %d %s, want %q of %q", c.name, code, body, c.words, c.field)
		}
	}
	code, body, h := r.call("POST", "/v1/sessions", r.id.Token, `{"v":1}`, "Content-Encoding", "gzip")
	if code != http.StatusUnsupportedMediaType || h.Get("Accept-Encoding") != "identity" {
		t.Errorf("%d %s", code, body)
	}
}
