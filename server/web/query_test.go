package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestQueriesAreReadWhole holds that no request leaves a part of its query away: a filter that is lost is none, and a
// word that is lost is the other answer.
func TestQueriesAreReadWhole(t *testing.T) {
	r := newRig(t)
	for i := range 3 {
		r.hello(fmt.Sprintf("52:54:00:00:00:%02x", i+1), "b1")
	}
	for query, words := range map[string]string{
		"/v1/machines?select=m%3":                             "cannot be read",
		"/v1/machines?select=m1;limit=1":                      "cannot be read",
		"/v1/machines?select=m1&select=m2":                    "twice",
		"/v1/machines?limit=1&limit=2":                        "twice",
		"/v1/machines?select=":                                "empty",
		"/v1/sessions?state=over&state=going":                 "twice",
		"/v1/receipts/page?sesion=s1":                         "none of session",
		"/v1/images?name=":                                    "empty",
		"/v1/events?session=":                                 "empty",
		"/v1/events?node=":                                    "empty",
		"/v1/events?aftr=1":                                   "none of after, session, node",
		"/v1/events?after=&after=x":                           "twice",
		"/v1/nodes/52:54:00:00:00:01/log?all=yes":             "neither true nor false",
		"/v1/nodes/52:54:00:00:00:01/log?all=":                "neither true nor false",
		"/v1/nodes/52:54:00:00:00:01/log?al=true":             "none of limit, all",
		"/v1/images/debian/diff?from=debian&extents=please":   "neither true nor false",
		"/v1/machines/m1?select=m2":                           "takes no parameters",
		"/v1/audit?affter=1":                                  "none of after, limit",
		"/v1/nodes/52:54:00:00:00:01/log?limit=1&limit=10000": "twice",
	} {
		code, body, _ := r.call("GET", query, r.id.Token, "")
		if code != http.StatusBadRequest || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), words) {
			t.Errorf("%s: %d %.300s, want 400 with %q", query, code, body, words)
		}
	}
	code, body, _ := r.call("DELETE", "/v1/nodes/52:54:00:00:00:01?forse=true", r.id.Token, "")
	if code != http.StatusBadRequest {
		t.Errorf("a misspelt force: %d %s", code, body)
	}
	for _, query := range []string{"/v1/machines?select=m1&cursor=", "/v1/nodes/52:54:00:00:00:02/log?all=1",
		"/v1/audit?after=", "/v1/receipts?session=", "/healthz?probe=7", "/v1/openapi.json?x",
		"/debug/pprof/goroutine?debug=1"} {
		if code, body, _ := r.call("GET", query, r.id.Token, ""); code != http.StatusOK {
			t.Errorf("%s: %d %.200s", query, code, body)
		}
	}
	// Who is not let in hears nothing of what a request takes.
	if code, body, _ := r.call("GET", "/v1/machines?x=1", "wrong", ""); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d %s", code, body)
	}
}

// TestCursorsOutliveTheirFilter holds that a walk goes on where the last element that was shown exists, though the
// filter does not fit it any more.
func TestCursorsOutliveTheirFilter(t *testing.T) {
	r := newRig(t)
	for i := range 4 {
		r.hello(fmt.Sprintf("52:54:00:00:00:%02x", i+1), "b1")
		if code, body, _ := r.call("POST", "/v1/sessions", r.id.Token,
			`{"v":1,"image":"debian","nodes":["52:54:00:00:00:09"],"target":{}}`); code != http.StatusCreated {
			t.Fatalf("%d %s", code, body)
		}
	}
	if code, body, _ := r.call("POST", "/v1/machines", r.id.Token,
		`{"v":1,"on":"*","labels":{"room":"210"}}`); code != http.StatusOK {
		t.Fatalf("%d %s", code, body)
	}
	for _, c := range []struct{ list, method, path, body, last string }{
		{"/v1/sessions?limit=2&state=waiting", "POST", "/v1/sessions/s2/cancel", "", "s4"},
		{"/v1/machines?limit=2&select=room%3D210", "PATCH", "/v1/machines/m2", `{"v":1,"labels":{"room":"9"}}`, "m4"},
	} {
		code, body, h := r.call("GET", c.list, r.id.Token, "")
		next := strings.TrimSuffix(strings.TrimPrefix(h.Get("Link"), "<"), `>; rel="next"`)
		if code != http.StatusOK || next == "" {
			t.Fatalf("%s: %d %s", c.list, code, body)
		}
		if code, body, _ := r.call(c.method, c.path, r.id.Token, c.body); code != http.StatusOK {
			t.Fatalf("%s: %d %s", c.path, code, body)
		}
		code, body, _ = r.call("GET", next, r.id.Token, "")
		if code != http.StatusOK || !strings.Contains(body, `"id":"`+c.last+`"`) ||
			strings.Count(body, `"state":"waiting"`)+strings.Count(body, `"revision"`) < 2 {
			t.Errorf("%s after %s: %d %.300s", next, c.path, code, body)
		}
	}
}

// TestTokensOfNoSelector: a selector that is empty, as of a script's variable that is not set, is not the token of all
// machines.
func TestTokensOfNoSelector(t *testing.T) {
	r := newRig(t)
	for on, want := range map[string]int{`,"on":""`: http.StatusUnprocessableEntity,
		`,"on":" "`: http.StatusUnprocessableEntity, ``: http.StatusCreated} {
		code, body, _ := r.call("POST", "/v1/tokens", r.id.Token, `{"v":1,"name":"teacher","role":"operator"`+on+`}`)
		if code != want {
			t.Errorf("%s: %d %s", on, code, body)
		}
	}
}

// TestHeadsOfWhatIsFollowed holds that a HEAD is answered at once, and that a token's scheme has no case (RFC 9110).
func TestHeadsOfWhatIsFollowed(t *testing.T) {
	r := newRig(t)
	if code, body, h := r.call("HEAD", "/v1/events", r.id.Token, ""); code != http.StatusOK ||
		h.Get("Content-Type") != ndjson {
		t.Errorf("%d %s %v", code, body, h)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.srv.URL+"/v1/jobs", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "bearer "+r.id.Token)
	resp, err := r.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		t.Errorf("a scheme in small letters: %s", resp.Status)
	}
}
