package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// TestOnce: what is asked for twice with one key is made once, of each sort.
func TestOnce(t *testing.T) {
	r := newRoom(t)
	for path, bodies := range map[string][2]string{
		"/v1/sessions": {`{"v":1,"image":"debian","on":"in-1","at":"2999-01-01T00:00:00Z"}`,
			`{"v":1,"image":"debian","on":"out-1","at":"2999-01-01T00:00:00Z"}`},
		"/v1/repeats": {`{"v":1,"every":"0 3 * * *","spec":{"v":1,"image":"debian","on":"in-1"}}`,
			`{"v":1,"every":"0 4 * * *","spec":{"v":1,"image":"debian","on":"in-1"}}`},
		"/v1/jobs":  {`{"v":1,"kind":"gc"}`, `{"v":1,"kind":"gc","unnamed":true}`},
		"/v1/power": {`{"v":1,"op":"state","machines":["in-1"]}`, `{"v":1,"op":"state","machines":["out-1"]}`},
	} {
		t.Run(path, func(t *testing.T) {
			post := func(key, token, body string) (int, string, string) {
				code, got, h := r.call("POST", path, token, body, idempotencyKey, key)
				return code, h.Get("Location"), got
			}
			if code, _, got := post("key", r.id.Token, `{"v":1}`); code/100 != 4 { // it leaves the key free
				t.Fatalf("%d %s", code, got)
			}
			code, made, got := post("key", r.id.Token, bodies[0])
			if code/100 != 2 || !strings.HasPrefix(made, path+"/") {
				t.Fatalf("%d, %q: %s", code, made, got)
			}
			again := func(when string) {
				t.Helper()
				if c, m, got := post("key", r.id.Token, bodies[0]); c != code || m != made ||
					!strings.Contains(got, `"id":"`+strings.TrimPrefix(made, path+"/")+`"`) {
					t.Errorf("%s: %d, %q: %s, and was %d, %q", when, c, m, got, code, made)
				}
				if c, _, got := post("key", r.id.Token, bodies[1]); c != 422 ||
					!strings.Contains(got, doc.ProblemKeyReused) {
					t.Errorf("%s, another body: %d %s", when, c, got)
				}
			}
			again("again")
			if path == "/v1/sessions" || path == "/v1/repeats" {
				r.srv.Config.Handler.(*API).asked = asked{} // as after a start
				again("after a start")
			}
			if _, other, got := post("another", r.id.Token, bodies[0]); other == made || other == "" {
				t.Errorf("another key: %q: %s", other, got)
			}
			if r.secret["operator"] != "" && path != "/v1/jobs" {
				if c, other, got := post("key", r.secret["operator"], bodies[0]); c != code || other == made {
					t.Errorf("another's key: %d %q: %s", c, other, got)
				}
			}
			for _, key := range []string{"", "é", strings.Repeat("k", maxKey+1)} {
				if c, _, got := post(key, r.id.Token, bodies[0]); c != http.StatusBadRequest {
					t.Errorf("the key %.20q: %d %s", key, c, got)
				}
			}
		})
	}
}

func TestOnceByTheClient(t *testing.T) {
	r := newRig(t)
	ctx, c := client.WithKey(t.Context(), "key"), r.operator()
	var ids []string
	for range 3 {
		s, err := c.Create(ctx, doc.Spec{V: session.Version, Image: "debian", All: true})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID)
	}
	if n := len(r.e.Sessions()); n != 1 || ids[0] != ids[2] {
		t.Errorf("%d sessions were made: %q", n, ids)
	}
}

// TestOnceAtATime: who asks while the first is being answered is told to wait, and a key whose request panics is free.
func TestOnceAtATime(t *testing.T) {
	r := newRig(t)
	a := r.srv.Config.Handler.(*API)
	entered, goOn := make(chan struct{}), make(chan struct{})
	ask := func(h handler) *httptest.ResponseRecorder {
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/sessions", strings.NewReader("{}"))
		req.Header.Set(idempotencyKey, "key")
		w := httptest.NewRecorder()
		once(h)(a, w, req, "")
		return w
	}
	first := make(chan struct{})
	go func() {
		defer close(first)
		defer func() { _ = recover() }()
		ask(func(*API, http.ResponseWriter, *http.Request, string) {
			close(entered)
			<-goOn
			panic("in a handler")
		})
	}()
	<-entered
	never := func(*API, http.ResponseWriter, *http.Request, string) { t.Error("it was done twice") }
	if w := ask(never); w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), doc.ProblemKeyInUse) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(goOn)
	<-first
	if w := ask(plainly((*API).listSessions)); w.Code != http.StatusOK {
		t.Errorf("after a panic: %d %s", w.Code, w.Body)
	}
	var kept asked
	for i := range maxKept + 10 {
		key := fmt.Sprint(i)
		if kept.begin(r.e, engine.Asked{Key: key, Body: "b"}) != nil {
			t.Fatal(key)
		}
		kept.end(key, "/v1/x", http.StatusCreated)
	}
	if len(kept.kept) != maxKept || len(kept.order) != maxKept || kept.kept["9"] != nil || kept.kept["10"] == nil {
		t.Errorf("%d keys are kept, %d in order", len(kept.kept), len(kept.order))
	}
}
