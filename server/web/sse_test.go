package web

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/server/doc"
)

// TestEventStream follows a session as a browser does, loses the connection, and goes on by Last-Event-ID.
func TestEventStream(t *testing.T) {
	r := newRig(t)
	r.hello("52:54:00:00:00:01", "b1")
	code, body, _ := r.call("POST", "/v1/sessions", r.id.Token, `{"v":1,"image":"debian","all":true,"target":{}}`)
	if code != http.StatusCreated {
		t.Fatalf("%d %s", code, body)
	}
	type event struct {
		id, kind string
		line     doc.Line
	}
	// read reads events until one for which enough is true.
	read := func(last string, enough func(event) bool) (got []event) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", r.srv.URL+"/v1/events?session=s1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.id.Token)
		req.Header.Set("Accept", "text/html, text/event-stream;q=0.9")
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := r.client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != eventStream {
			t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
		}
		var e event
		sc := bufio.NewScanner(resp.Body)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() {
			name, value, _ := strings.Cut(sc.Text(), ": ")
			switch name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				if err := json.Unmarshal([]byte(value), &e.line); err != nil {
					t.Fatalf("%q: %v", value, err)
				}
			case "":
				if got = append(got, e); enough(e) {
					return got
				}
				e = event{}
			default:
				t.Fatalf("a browser does not know %q", sc.Text())
			}
		}
		t.Fatalf("it ended with %v after %+v", sc.Err(), got)
		return nil
	}
	first := read("", func(e event) bool { return e.kind == doc.LineLive })
	if !slices.ContainsFunc(first, func(e event) bool {
		return e.kind == doc.LineSession && e.line.Session != nil && e.line.Session.ID == "s1"
	}) {
		t.Errorf("it begins with %+v, and not with the session", first)
	}
	cursor := first[len(first)-1].id
	if cursor == "" {
		t.Fatal("what ends the beginning has no id")
	}
	// A browser whose cursor is of before the server's last start cannot ask without it: it is told, and begins anew.
	anew := read("gone-1", func(e event) bool { return e.kind == doc.LineLive })
	if anew[0].kind != doc.LineLost || anew[0].line.Type != doc.LineLost || len(anew) != len(first)+1 ||
		anew[len(anew)-1].id == "" {
		t.Errorf("after a cursor that is too old: %+v", anew)
	}
	if code, body, _ := r.call("GET", "/v1/events?after=gone-1", r.id.Token, "", "Accept", eventStream); code != 410 {
		t.Errorf("who chose the cursor is not refused: %d %s", code, body)
	}
	if code, body, _ := r.call("POST", "/v1/sessions/s1/cancel", r.id.Token, ""); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	then := read(cursor, func(e event) bool { return e.kind == "over" })
	for _, e := range then[:len(then)-1] {
		if e.kind != e.line.Type {
			t.Errorf("an event %q has a line of type %q", e.kind, e.line.Type)
		}
	}
	over := then[len(then)-2]
	if over.line.Session == nil || over.line.Session.State != doc.Cancelled {
		t.Errorf("before the end there is %+v", over)
	}
	if code, _, _ := r.call("GET", "/v1/events", r.id.Token, "", "Last-Event-ID", "nonsense"); code != 400 {
		t.Errorf("an id that is no cursor: %d", code)
	}
}
