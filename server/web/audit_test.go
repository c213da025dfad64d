package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/audit"
	"github.com/diskcast/diskcast/server/doc"
)

// recorded are the entries behind the one with the number, and the number of the last.
func (r *rig) recorded(after uint64) ([]doc.AuditEntry, uint64) {
	r.t.Helper()
	part, err := r.record.List(r.t.Context(), after, audit.MaxLines)
	if err != nil {
		r.t.Fatal(err)
	}
	out := make([]doc.AuditEntry, len(part.Lines))
	for i := range part.Lines {
		if err := json.Unmarshal(part.Lines[i].Entry, &out[i]); err != nil {
			r.t.Fatal(err)
		}
	}
	return out, part.Head.N
}

// TestEveryChangeIsRecorded asks each route of the table: what is no reading is recorded before and after, with who
// asked, or stands among those that change nothing.
func TestEveryChangeIsRecorded(t *testing.T) {
	r := newRig(t)
	made, err := r.book.Create(t.Context(), doc.TokenSpec{V: session.Version, Name: "ada", Role: "admin"})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, rt := range Routes() {
		seen[rt.Pattern()] = true
		length, body := int64(0), io.Reader(http.NoBody)
		if rt.Body > 0 {
			length, body = 1, strings.NewReader("x")
		}
		ctx, cancel := context.WithCancel(t.Context())
		if rt.Method == "GET" || unrecorded[rt.Pattern()] != "" {
			cancel()
		}
		_, before := r.recorded(0)
		w := r.askWith(ctx, rt.Method, filled(&rt, "none"), made.Secret, body, length)
		cancel()
		got, _ := r.recorded(before)
		if !rt.recorded() {
			if len(got) > 0 {
				t.Errorf("%s is no change, and is recorded: %+v", rt.Pattern(), got)
			}
			continue
		}
		if len(got) != 2 || got[0].Kind != doc.AuditAsked || got[0].Who != "ada" || got[0].Role != "admin" ||
			!strings.HasPrefix(got[0].From, "127.0.") || got[0].Request != rt.Pattern() || got[0].Path == "" ||
			got[1].Kind != doc.AuditDone || got[1].Of != got[0].N || got[1].Status != w.Code ||
			(w.Code >= 400) != (got[1].Error != "") {
			t.Errorf("%s, %d: %+v", rt.Pattern(), w.Code, got)
		}
	}
	for _, list := range []map[string]bool{urgent, sealed} {
		for pattern := range list {
			if !seen[pattern] {
				t.Errorf("there is no %s", pattern)
			}
		}
	}
	for pattern := range unrecorded {
		if !seen[pattern] || strings.HasPrefix(pattern, "GET ") {
			t.Errorf("%s needs no exception", pattern)
		}
	}
}

// TestRecordHasWhatChanged reads of changes what was before and what is after.
func TestRecordHasWhatChanged(t *testing.T) {
	r := newRig(t)
	r.hello("52:54:00:00:00:01", "b1")
	do := func(method, path, body string, code int) []doc.AuditEntry {
		t.Helper()
		_, before := r.recorded(0)
		if got, text, _ := r.call(method, path, r.id.Token, body); got != code {
			t.Fatalf("%s %s: %d %s", method, path, got, text)
		}
		got, _ := r.recorded(before)
		if len(got) != 2 {
			t.Fatalf("%s %s: %d entries", method, path, len(got))
		}
		return got
	}
	has := func(what string, text json.RawMessage, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(string(text), w) {
				t.Errorf("%s lacks %s: %s", what, w, text)
			}
		}
	}
	e := do("PATCH", "/v1/machines/m1", `{"v":1,"name":"lab-1","labels":{"room":"210"}}`, 200)
	has("before", e[0].Before, `"id":"m1"`)
	has("document", e[0].Document, `"name":"lab-1"`, `"room":"210"`)
	has("after", e[1].After, `"name":"lab-1"`, `"room":"210"`)
	e = do("PATCH", "/v1/machines/lab-1", `{"v":1,"name":"lab-2"}`, 200)
	has("before", e[0].Before, `"name":"lab-1"`)
	has("after another name", e[1].After, `"name":"lab-2"`)
	e = do("POST", "/v1/machines", `{"v":1,"on":"*","approved":true}`, 200)
	if len(e[1].Machines) != 1 || e[1].Machines[0] != "m1" {
		t.Errorf("the machines of a selector: %v", e[1].Machines)
	}
	e = do("POST", "/v1/sessions", `{"v":1,"image":"debian","on":"lab-2"}`, 201)
	has("a session", e[1].After, `"id":"s1"`, `"52-54-00-00-00-01"`)
	e = do("POST", "/v1/sessions/s1/cancel", "", 200)
	has("before", e[0].Before, `"state":"casting"`)
	has("after", e[1].After, `"state":"cancelled"`)
	e = do("DELETE", "/v1/machines/m1", "", 204)
	has("before", e[0].Before, `"name":"lab-2"`)
	if e[1].After != nil {
		t.Errorf("of what is gone: %s", e[1].After)
	}
	e = do("PATCH", "/v1/machines/m9", `{"v":1,"name":"x"}`, 404)
	if e[1].Status != 404 || !strings.Contains(e[1].Error, "not found") {
		t.Errorf("%+v", e[1])
	}
}

// TestRecordHasNoSecrets sends secrets in every place where one could be, and looks for them in all that is stored.
func TestRecordHasNoSecrets(t *testing.T) {
	r := newRig(t)
	r.hello("52:54:00:00:00:01", "b1")
	const word = "hunter2-is-the-word"
	for path, body := range map[string]string{
		"POST /v1/sessions": `{"v":1,"image":"debian","on":"*","personalize":{"root_password":"` + word + `"}}`,
		"POST /v1/repeats": `{"v":1,"every":"0 3 * * *","spec":{"v":1,"image":"debian","on":"*",
			"personalize":{"root_password":"` + word + `"}}}`,
		"POST /v1/lab": `{"v":1,"profiles":[{"name":"lab","spec":{"image":"debian",
			"personalize":{"files":[{"content":"` + word + `"}]}}}]}`,
		"POST /v1/sessions/plan":               `{"v":1,"image":"debian","on":"*","personalise":"` + word + `"}`,
		"PATCH /v1/sessions/s1":                `{"v":1,"pasword":"` + word + `"}`,
		"POST /v1/power":                       `{"v":1,"op":"on","PASSWORD":"` + word + `"}`,
		"PUT /v1/machines/m1/power":            `{"v":1,"driver":"redfish","password":"` + word + `"}`,
		"PUT /v1/notify/mail/secret":           `{"v":1,"secret":"` + word + `"}`,
		"PATCH /v1/machines/m1":                `{"v":1,"name":"x","secret":{"a":["` + word + `"]}}`,
		"POST /v1/tokens":                      `{"v":1,"name":"ada","role":"viewer","token":"` + word + `"}`,
		"POST /v1/jobs":                        word,
		"DELETE /v1/sessions/s9?token=" + word: "",
	} {
		method, path, _ := strings.Cut(path, " ")
		r.call(method, path, r.id.Token, body)
	}
	code, body, _ := r.call("POST", "/v1/tokens", r.id.Token, `{"v":1,"name":"ann","role":"viewer"}`)
	var made doc.TokenMade
	if err := json.Unmarshal([]byte(body), &made); err != nil || code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	entries, _ := r.recorded(0)
	if len(entries) < 20 {
		t.Errorf("%d entries", len(entries))
	}
	for i := range entries {
		b, err := json.Marshal(entries[i])
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []string{word, made.Secret, r.id.Token} {
			if strings.Contains(string(b), s) {
				t.Errorf("a secret is recorded: %s", b)
			}
		}
	}
}

// TestNothingChangesUnrecorded has the store of the record take nothing: changes are refused, and what ends something
// is done all the same.
func TestNothingChangesUnrecorded(t *testing.T) {
	r := newRig(t)
	r.hello("52:54:00:00:00:01", "b1")
	if code, body, _ := r.call("POST", "/v1/sessions", r.id.Token, `{"v":1,"image":"debian","on":"*"}`); code != 201 {
		t.Fatalf("%d %s", code, body)
	}
	if code, body, _ := r.call("GET", "/readyz", "", ""); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	r.db.SetFail(fmt.Errorf("write state.db: %w", unix.ENOSPC))
	code, body, _ := r.call("PATCH", "/v1/machines/m1", r.id.Token, `{"v":1,"name":"x"}`)
	if code != http.StatusServiceUnavailable || !strings.Contains(body, "nothing was done") ||
		!strings.Contains(body, `"code":"state_full"`) {
		t.Errorf("%d %s", code, body)
	}
	if code, body, _ := r.call("GET", "/readyz", "", ""); code != 503 ||
		!strings.Contains(body, "could not be written") {
		t.Errorf("ready, and it takes no change: %d %s", code, body)
	}
	if m, err := r.e.Machine("m1"); err != nil || m.Name != "" {
		t.Errorf("it was done: %+v, %v", m, err)
	}
	if code, body, _ := r.call("POST", "/v1/sessions/s1/cancel", r.id.Token, ""); code != 200 {
		t.Errorf("a session cannot be ended: %d %s", code, body)
	}
	r.db.SetFail(nil)
	if code, body, _ := r.call("PATCH", "/v1/machines/m1", r.id.Token, `{"v":1,"name":"x"}`); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	entries, _ := r.recorded(0)
	var asked, done int
	for _, e := range entries {
		if e.Request == "POST /v1/sessions/{id}/cancel" {
			if e.Kind == doc.AuditAsked {
				asked++
			} else if done++; e.Status != 200 || e.Of != e.N-1 {
				t.Errorf("%+v", e)
			}
		}
	}
	if asked != 1 || done != 1 {
		t.Errorf("what was owed is recorded %d and %d times", asked, done)
	}
	if code, body, _ := r.call("GET", "/v1/audit?after=2&limit=1", r.id.Token, ""); code != 200 ||
		!strings.Contains(body, `"lines":[{`) {
		t.Errorf("%d %s", code, body)
	}
	for _, q := range []string{"?after=x", "?limit=0", "?limit=x", "?after=-1"} {
		if code, _, _ := r.call("GET", "/v1/audit"+q, r.id.Token, ""); code != 400 {
			t.Errorf("%s: %d", q, code)
		}
	}
}

// FuzzRecordable: whatever an operator sends, it is recorded as JSON, bounded, and without what stands under a secret's
// name.
func FuzzRecordable(f *testing.F) {
	f.Add([]byte(`{"v":1,"personalize":{"a":1},"labels":{"x":"y"},"nodes":["a"]}`))
	f.Add([]byte(`[[[[{"a":"b"}]]]]`))
	f.Add([]byte(`1e999`))
	f.Fuzz(func(t *testing.T, text []byte) {
		out := recordable(text)
		if len(out) > 0 && !json.Valid(out) || len(out) > maxState+200 {
			t.Errorf("%d bytes: %.200s", len(out), out)
		}
		var v map[string]any
		if json.Unmarshal(out, &v) == nil {
			for name := range secret {
				if x, there := v[name]; there && x != leftOut {
					t.Errorf("%s is recorded: %s", name, out)
				}
			}
		}
	})
}
