package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/power/desk"
	"github.com/diskcast/diskcast/server/store"
)

// room is a rig with two machines, sessions, repeats and power work of each, and tokens that are held to the first.
type room struct {
	*rig
	secret map[string]string // of a held token, by its role
	// mine and other fill in a path with what is of the one machine, or of the other.
	mine, other *strings.Replacer
	// ids gives what the {id} of a route is, of the machine with the number.
	ids func(n int) func(rt *Route) string
}

// marks are words by which what is of the other machine is known; those of sessions and the like are not among them,
// as "s2" is in many a word.
var marks = []string{"52:54:00:00:00:02", "52-54-00-00-00-02", "out-1", `"m2"`, `"s2"`, `"s3"`, `"r2"`}

func newRoom(t *testing.T) *room {
	r := &room{rig: newRig(t), secret: map[string]string{}}
	d := desk.New(desk.Config{Store: store.NewMemory()})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }() // ends with the test
	<-d.Ready()
	t.Cleanup(func() { stop(); <-done })
	r.srv.Config.Handler.(*API).WithPower(d)
	r.rig.hello("52:54:00:00:00:01", "b1")
	r.rig.hello("52:54:00:00:00:02", "b2")
	r.make("PATCH", "/v1/machines/m1", `{"v":1,"name":"in-1","labels":{"room":"210"}}`)
	r.make("PATCH", "/v1/machines/m2", `{"v":1,"name":"out-1","labels":{"room":"211"}}`)
	r.make("POST", "/v1/lab", `{"v":1,"groups":[{"name":"front","select":"out-1"}],
		"profiles":[{"name":"lab","spec":{"image":"debian"}}]}`)
	var power [2]doc.PowerRun
	for i, name := range []string{"in-1", "out-1"} {
		r.make("POST", "/v1/sessions", fmt.Sprintf(`{"v":1,"image":"debian","on":%q,"min_nodes":1,"at":%q}`, name,
			time.Now().Add(time.Hour).Format(time.RFC3339)))
		r.make("POST", "/v1/repeats", fmt.Sprintf(`{"v":1,"every":"0 3 * * *","spec":{"v":1,"image":"debian",
			"nodes":[%q]}}`, name))
		body := r.make("POST", "/v1/power", fmt.Sprintf(`{"v":1,"op":"state","machines":[%q]}`, name))
		if err := json.Unmarshal([]byte(body), &power[i]); err != nil {
			t.Fatal(err)
		}
	}
	r.make("POST", "/v1/sessions", `{"v":1,"image":"debian","nodes":["in-1","out-1"],"at":"2999-01-01T00:00:00Z"}`)
	r.mine = strings.NewReplacer("{machine}", "in-1", "{node}", "52:54:00:00:00:01", "{id}", "ID")
	r.other = strings.NewReplacer("{machine}", "out-1", "{node}", "52:54:00:00:00:02", "{id}", "ID")
	for _, role := range []string{"viewer", "operator"} {
		made, err := r.book.Create(t.Context(),
			doc.TokenSpec{V: session.Version, Name: role, Role: role, On: "room=210"})
		if err != nil {
			t.Fatal(err)
		}
		r.secret[role] = made.Secret
	}
	r.ids = func(n int) func(rt *Route) string {
		return func(rt *Route) string {
			switch rt.Scope {
			case ItsSession:
				return fmt.Sprintf("s%d", n)
			case ItsRepeat:
				return fmt.Sprintf("r%d", n)
			case ItsPower:
				return power[n-1].ID
			}
			return "none"
		}
	}
	return r
}

// make asks as the administrator, and wants it done.
func (r *room) make(method, path, body string) string {
	r.t.Helper()
	code, got, _ := r.call(method, path, r.id.Token, body)
	if code/100 != 2 {
		r.t.Fatalf("%s %s: %d %s", method, path, code, got)
	}
	return got
}

func leaks(body string) string {
	for _, m := range marks {
		if strings.Contains(body, m) {
			return m
		}
	}
	return ""
}

// bodies are, of each route that takes a document and narrows it, documents that are refused to who is held to the
// first machine, and those that are taken.
var bodies = map[string]struct{ refused, taken []string }{
	"POST /v1/sessions": {
		[]string{`{"v":1,"image":"debian","all":true}`, `{"v":1,"image":"debian","count":1}`,
			`{"v":1,"image":"debian","nodes":["out-1"]}`, `{"v":1,"image":"debian","nodes":["52:54:00:00:00:02"]}`,
			`{"v":1,"image":"debian","nodes":["in-1","m2"]}`, `{"v":1,"image":"debian","on":"out-1"}`,
			`{"v":1,"image":"debian","nodes":["52:54:00:00:00:77"]}`,
			`{"v":1,"image":"debian","on":"@front"}`, `{"v":1,"image":"debian","on":"room=211"}`,
			`{"v":1,"image":"debian","on":"in-1 out-1"}`, `{"v":1,"image":"debian","on":"*","within":"*","count":1}`,
			`{"v":1,"capture":"debian","nodes":["in-1"],"target":{"path":"/dev/sda"}}`},
		[]string{`{"v":1,"image":"debian","on":"*"}`, `{"v":1,"image":"debian","on":"*","within":"room=211"}`,
			`{"v":1,"image":"debian","nodes":["52:54:00:00:00:01"]}`, `{"v":1,"image":"debian","nodes":["IN-1"]}`,
			`{"v":1,"profile":"lab","on":"!nothing*"}`},
	},
	"POST /v1/sessions/plan": {
		[]string{`{"v":1,"image":"debian","all":true}`, `{"v":1,"image":"debian","on":"out-1"}`,
			`{"v":1,"image":"debian","nodes":["52-54-00-00-00-02"]}`},
		[]string{`{"v":1,"image":"debian","on":"*"}`},
	},
	"POST /v1/repeats": {
		[]string{`{"v":1,"every":"0 3 * * *","spec":{"v":1,"image":"debian","all":true}}`,
			`{"v":1,"every":"0 3 * * *","spec":{"v":1,"image":"debian","on":"out-1","within":""}}`},
		[]string{`{"v":1,"every":"0 3 * * *","spec":{"v":1,"image":"debian","on":"*"}}`},
	},
	"POST /v1/machines": {
		[]string{`{"v":1,"on":"out-1","approved":true}`, `{"v":1,"on":"in-1 out-1","labels":{"x":"y"}}`,
			`{"v":1,"on":"room=211","labels":{"room":"210"}}`},
		[]string{`{"v":1,"on":"*","labels":{"x":"y"}}`, `{"v":1,"on":"in-1","approved":true}`},
	},
	"POST /v1/power": {
		[]string{`{"v":1,"op":"state","machines":["out-1"]}`, `{"v":1,"op":"state","on":"out-1"}`,
			`{"v":1,"op":"state","machines":["in-1","52:54:00:00:00:02"]}`},
		[]string{`{"v":1,"op":"state","on":"*"}`, `{"v":1,"op":"state","machines":["m1"]}`},
	},
}

// TestRoutesAndScopes asks each route of the table with tokens that are held to a machine: its rule is what decides,
// and nothing of another machine comes out.
func TestRoutesAndScopes(t *testing.T) {
	for _, rt := range Routes() {
		if rt.Role == Anyone || rt.Role == Node {
			continue
		}
		t.Run(rt.Pattern(), func(t *testing.T) {
			r := newRoom(t)
			may := rt.Role == Viewer || rt.Role == Operator || rt.Role == Reader
			ask := func(fill *strings.Replacer, id, role, body string) (int, string) {
				p := filled(&Route{Path: strings.ReplaceAll(fill.Replace(rt.Path), "ID", id)}, "none")
				if strings.Contains(rt.Path, "/diff") {
					p += "?from=debian"
				}
				code, got := r.once(rt.Method, p, r.secret[role], body)
				if m := leaks(got); m != "" && !strings.Contains(p, strings.Trim(m, `"`)) &&
					!strings.Contains(body, strings.Trim(m, `"`)) {
					t.Errorf("%s as %s, %s: %s is told: %d %s", p, role, body, m, code, got)
				}
				return code, got
			}
			body := ""
			if rt.Body > 0 {
				body = `{"v":1}`
			}
			if rt.Role != Viewer {
				if code, got := ask(r.mine, r.ids(1)(&rt), "viewer", body); code != http.StatusForbidden {
					t.Fatalf("a viewer: %d %s", code, got)
				}
			}
			switch rt.Scope {
			case Whole:
				if code, got := ask(r.mine, "none", "operator", body); code != http.StatusForbidden {
					t.Errorf("what is about all machines: %d %s", code, got)
				}
				return
			case Free:
				if code, got := ask(r.mine, "none", "viewer", body); code == http.StatusForbidden {
					t.Errorf("what is about no machine: %d %s", code, got)
				}
				return
			case Narrowed:
				if rt.Method == "GET" {
					if code, got := ask(r.mine, "none", "viewer", ""); code != http.StatusOK &&
						!strings.Contains(got, "a part has one when") {
						t.Errorf("%d %s", code, got)
					}
					return
				}
				b, known := bodies[rt.Pattern()]
				if !known || len(b.refused) == 0 || len(b.taken) == 0 {
					t.Fatal("no document says what is refused, and what is taken")
				}
				before := r.state()
				for _, body := range b.refused {
					if code, got := ask(r.mine, "none", "operator", body); code/100 != 4 {
						t.Errorf("%s: %d %s", body, code, got)
					}
				}
				if now := r.state(); now != before {
					t.Errorf("what is refused has changed something:\n%s\nwas\n%s", now, before)
				}
				for _, body := range b.taken {
					if code, got := ask(r.mine, "none", "operator", body); code/100 != 2 {
						t.Errorf("%s: %d %s", body, code, got)
					}
				}
				return
			case ItsMachine, ItsNode, ItsSession, ItsRepeat, ItsPower:
				if !may {
					t.Fatalf("a %s is never held to machines", rt.Role)
				}
				before := r.state()
				code, got := ask(r.other, r.ids(2)(&rt), "operator", body)
				if code != http.StatusNotFound || !strings.Contains(got, "the machines that the token is held to") {
					t.Errorf("another machine's: %d %s", code, got)
				}
				if rt.Scope == ItsSession {
					if code, got := ask(r.other, "s3", "operator", body); code != http.StatusNotFound {
						t.Errorf("a session with another machine: %d %s", code, got)
					}
				}
				// What is not there is answered with the same words.
				none := strings.NewReplacer("{machine}", "gone-1", "{node}", "52:54:00:00:00:99", "{id}", "ID")
				_, nothing := ask(none, "p0", "operator", body)
				for _, x := range [][2]string{{"out-1", "gone-1"}, {"52:54:00:00:00:02", "52:54:00:00:00:99"},
					{r.ids(2)(&rt), "p0"}} {
					got = strings.ReplaceAll(got, x[0], x[1])
				}
				if got != nothing {
					t.Errorf("another machine's: %s\nnobody's: %s", got, nothing)
				}
				if now := r.state(); now != before {
					t.Errorf("another machine's was changed:\n%s\nwas\n%s", now, before)
				}
				if code, got := ask(r.mine, r.ids(1)(&rt), "operator", body); code == http.StatusForbidden ||
					strings.Contains(got, "held to") {
					t.Errorf("its own: %d %s", code, got)
				}
				return
			}
			t.Errorf("the rule %q is nobody's", rt.Scope)
		})
	}
}

// state is what the administrator sees of machines, sessions and repeats.
func (r *room) state() string {
	var out []string
	for _, p := range []string{"/v1/machines", "/v1/sessions", "/v1/repeats", "/v1/lab", "/v1/tokens"} {
		out = append(out, r.make("GET", p, ""))
	}
	return strings.Join(out, "\n")
}

// once asks, and reads of an answer without an end what comes of the state that is.
func (r *room) once(method, path, token, body string) (int, string) {
	r.t.Helper()
	patience := time.Minute
	if strings.HasSuffix(path, "/look") {
		patience = 200 * time.Millisecond // no agent answers, and who was let in waits for one
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.srv.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := r.client().Do(req)
	if errors.Is(err, context.DeadlineExceeded) {
		return http.StatusGatewayTimeout, ""
	}
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.Header.Get("Content-Type") != "application/x-ndjson" {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			r.t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	var lines []string
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		lines = append(lines, in.Text())
		if strings.Contains(in.Text(), `"type":"live"`) ||
			strings.Contains(path, "/watch") && strings.Contains(in.Text(), `"type":"session"`) {
			break
		}
	}
	return resp.StatusCode, strings.Join(lines, "\n")
}

// TestScopedFollowing follows as machines come within what a token is held to, and leave it.
func TestScopedFollowing(t *testing.T) {
	r := newRoom(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.srv.URL+"/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.secret["viewer"])
	resp, err := r.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewScanner(resp.Body)
	in.Buffer(nil, 1<<20)
	var told []string
	// until reads lines up to one that has all of the words.
	until := func(words ...string) {
		t.Helper()
		for in.Scan() {
			told = append(told, in.Text())
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(in.Text(), w) }) {
				return
			}
		}
		t.Fatalf("nothing says %v: %v\n%s", words, in.Err(), strings.Join(told, "\n"))
	}
	until(`"type":"live"`)
	if got := strings.Join(told, "\n"); leaks(got) != "" || !strings.Contains(got, `"s1"`) ||
		!strings.Contains(got, `"m1"`) || !strings.Contains(got, `"sighting"`) || !strings.Contains(got, `"r1"`) {
		t.Errorf("the state that is:\n%s", got)
	}
	r.make("PATCH", "/v1/machines/out-1", `{"v":1,"notes":"nobody's business"}`)
	r.make("POST", "/v1/sessions/s2/cancel", "")
	r.make("PATCH", "/v1/machines/in-1", `{"v":1,"notes":"ours"}`)
	until("ours")
	if got := strings.Join(told, "\n"); leaks(got) != "" || strings.Contains(got, "business") {
		t.Errorf("of another machine is told:\n%s", got)
	}
	told = nil
	r.make("PATCH", "/v1/machines/out-1", `{"v":1,"labels":{"room":"210"}}`)
	until(`"type":"machine"`, `"m2"`)
	for !strings.Contains(strings.Join(told, "\n"), `"id":"s3"`) {
		until(`"type":"session"`) // which has both machines, and now both are within
	}
	r.make("PATCH", "/v1/machines/out-1", `{"v":1,"labels":{"room":"211"}}`)
	told = nil
	for until(`"type":"live"`); !strings.Contains(strings.Join(told, "\n"), "gone"); {
		until(`"type":"live"`)
	}
	got := strings.Join(told, "\n")
	for _, gone := range []string{"m2", "52-54-00-00-00-02", "s3", "s3/52-54-00-00-00-02"} {
		if !strings.Contains(got, `"gone":"`+gone+`"`) {
			t.Errorf("%s is not told:\n%s", gone, got)
		}
	}
	if strings.Contains(got, `"211"`) {
		t.Errorf("what left is told of:\n%s", got)
	}
	if code, body := r.once("GET", "/v1/events?after=x-1", r.secret["viewer"], ""); code != http.StatusGone {
		t.Errorf("a cursor: %d %s", code, body)
	}
	if code, body := r.once("GET", "/v1/events?node=out-1", r.secret["viewer"], ""); code != http.StatusNotFound {
		t.Errorf("another machine: %d %s", code, body)
	}
}

// TestScopedRepeatsStayWithin makes a repeating session with a token that is held to machines.
func TestScopedRepeatsStayWithin(t *testing.T) {
	r := newRoom(t)
	code, body := r.once("POST", "/v1/repeats", r.secret["operator"],
		`{"v":1,"every":"0 3 * * *","spec":{"v":1,"image":"debian","on":"*","within":"room=211"}}`)
	if code != http.StatusCreated || !strings.Contains(body, `"within":"room=210"`) {
		t.Errorf("%d %s", code, body)
	}
	code, body = r.once("POST", "/v1/repeats", r.id.Token,
		`{"v":1,"every":"0 3 * * *","spec":{"v":1,"image":"debian","on":"*","within":"room=211"}}`)
	if code != http.StatusCreated || strings.Contains(body, "within") {
		t.Errorf("of one who is held to nothing: %d %s", code, body)
	}
}

// TestViewersSeeNoBootID looks for the id of a boot, with which a node could be spoken for, in all that a viewer reads.
func TestViewersSeeNoBootID(t *testing.T) {
	r := newRig(t)
	const boot = "6e9f2c1ad5b84c0f"
	n := r.hello("52:54:00:00:00:01", boot)
	code, body, _ := r.call("POST", "/v1/sessions", r.id.Token,
		`{"v":1,"image":"debian","nodes":["52:54:00:00:00:01"]}`)
	if code != http.StatusCreated {
		t.Fatalf("%d %s", code, body)
	}
	code, body, _ = r.call("POST", "/v1/node/"+n.Node+"/events", n.Token, fmt.Sprintf(
		`{"v":1,"boot":%q,"events":[{"seq":1,"step":"log","level":"warn","message":"hello","session":"s1"}]}`, boot))
	if code != http.StatusNoContent {
		t.Fatalf("%d %s", code, body)
	}
	made, err := r.book.Create(t.Context(), doc.TokenSpec{V: session.Version, Name: "viewer", Role: "viewer"})
	if err != nil {
		t.Fatal(err)
	}
	room, marked := &room{rig: r}, 0
	for _, rt := range Routes() {
		if rt.Role != Viewer || rt.Method != "GET" {
			continue
		}
		p := filled(&rt, n.Node)
		if strings.HasSuffix(p, "/log") {
			p += "?all=true"
		}
		_, body := room.once("GET", p, made.Secret, "")
		if strings.Contains(body, boot) {
			t.Errorf("%s has the boot id: %s", p, body)
		}
		if strings.Contains(body, `"boot":"`) && strings.Contains(body, "hello") {
			marked++ // a mark tells one boot from another
		}
	}
	if marked == 0 {
		t.Error("nothing tells of which boot an event is")
	}
}
