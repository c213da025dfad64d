package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// TestLists walks lists by their Link headers while something is added and taken away: what was there all the time
// comes once, and a cursor whose element is gone says so.
func TestLists(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.hello(fmt.Sprintf("52:54:00:00:00:%02x", i+1), "b1")
	}
	machines := func(query string) (got []doc.Machine, next string) {
		t.Helper()
		code, body, h := r.call("GET", query, r.id.Token, "")
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 {
			t.Fatalf("%s: %d %s %v", query, code, body, err)
		}
		if link := h.Get("Link"); link != "" {
			next = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
		}
		return got, next
	}
	all, next := machines("/v1/machines")
	if len(all) != 7 || next != "" {
		t.Fatalf("%d machines, and then %q", len(all), next)
	}
	seen := map[string]int{}
	pages := 0
	for next = "/v1/machines?limit=3"; next != ""; pages++ {
		var part []doc.Machine
		if part, next = machines(next); len(part) > 3 {
			t.Fatalf("%d machines on a page of 3", len(part))
		}
		for i := range part {
			seen[part[i].ID]++
		}
		if pages == 0 { // one that was shown goes, and one comes
			if code, body, _ := r.call("DELETE", "/v1/machines/"+part[0].ID, r.id.Token, ""); code != 204 {
				t.Fatalf("%d %s", code, body)
			}
			r.hello("52:54:00:00:00:99", "b1")
		}
	}
	for i := range all {
		if seen[all[i].ID] != 1 {
			t.Errorf("%s came %d times", all[i].ID, seen[all[i].ID])
		}
	}
	if pages != 3 {
		t.Errorf("7 machines and one more are %d pages of 3", pages)
	}
	part, next := machines("/v1/machines?limit=2")
	if code, body, _ := r.call("DELETE", "/v1/machines/"+part[1].ID, r.id.Token, ""); code != 204 {
		t.Fatalf("%d %s", code, body)
	}
	if code, body, _ := r.call("GET", next, r.id.Token, ""); code != http.StatusGone ||
		!strings.Contains(body, `"code":"cursor_lost"`) {
		t.Errorf("after what is gone: %d %s", code, body)
	}
	if got, _ := machines("/v1/machines?limit=3&select=*"); len(got) != 3 {
		t.Errorf("of a selector there are %d", len(got))
	}
	for _, query := range []string{"/v1/machines?limit=0", "/v1/machines?limit=x", "/v1/machines?limit=1001",
		"/v1/machines?selct=lab", "/v1/sessions?state=runing", "/v1/images?name=[", "/v1/receipts?sesion=s1",
		"/v1/repeats?x=1", "/v1/jobs?limit=0", "/v1/tokens?name=x"} {
		if code, body, _ := r.call("GET", query, r.id.Token, ""); code != http.StatusBadRequest {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
}

// TestMoreLists walks the lists whose elements are made by requests.
func TestMoreLists(t *testing.T) {
	r := newRig(t)
	made := map[string][2]string{
		"/v1/tokens": {"/v1/tokens", `{"v":1,"name":"t%d","role":"viewer"}`},
		"/v1/jobs":   {"/v1/jobs", `{"v":1,"kind":"gc","dry_run":true,"key":"k%d"}`},
		"/v1/repeats": {"/v1/repeats",
			`{"v":1,"every":"0 3 * * %d","spec":{"v":1,"image":"debian","all":true,"target":{}}}`},
	}
	for list, how := range made {
		for i := range 5 {
			if code, body, _ := r.call("POST", how[0], r.id.Token, fmt.Sprintf(how[1], i)); code != http.StatusCreated {
				t.Fatalf("%s: %d %s", list, code, body)
			}
		}
		seen, pages := map[string]bool{}, 0
		for next := list + "?limit=2"; next != ""; pages++ {
			code, body, h := r.call("GET", next, r.id.Token, "")
			var part []json.RawMessage
			if err := json.Unmarshal([]byte(body), &part); err != nil || code != 200 || len(part) > 2 {
				t.Fatalf("%s: %d %s", next, code, body)
			}
			for _, x := range part {
				seen[string(x)] = true
			}
			next = strings.TrimSuffix(strings.TrimPrefix(h.Get("Link"), "<"), `>; rel="next"`)
		}
		if len(seen) != 5 || pages != 3 {
			t.Errorf("%s: %d elements on %d pages", list, len(seen), pages)
		}
	}
}

func TestSessionsByState(t *testing.T) {
	r := newRig(t)
	for range 2 {
		if code, body, _ := r.call("POST", "/v1/sessions", r.id.Token,
			`{"v":1,"image":"debian","nodes":["52:54:00:00:00:09"],"target":{}}`); code != http.StatusCreated {
			t.Fatalf("%d %s", code, body)
		}
	}
	if code, body, _ := r.call("POST", "/v1/sessions/s1/cancel", r.id.Token, ""); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	for state, want := range map[string]string{"waiting": "s2", "cancelled": "s1", "over": "s1", "done": "",
		"going": ""} {
		code, body, _ := r.call("GET", "/v1/sessions?state="+state, r.id.Token, "")
		var got []doc.Session
		if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 {
			t.Fatalf("%s: %d %s", state, code, body)
		}
		if len(got) != len(strings.Fields(want)) || want != "" && got[0].ID != want {
			t.Errorf("%s: %d sessions, want %q", state, len(got), want)
		}
	}
}
