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
