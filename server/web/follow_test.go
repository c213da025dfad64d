package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/diskcast/diskcast/server/client"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/library"
)

var errEnough = errors.New("enough was read")

// until follows and tells lines in short, to the first that has the last words.
func until(ctx context.Context, c *client.Client, f client.Filter, last string) (told []string, cursor string,
	err error) {
	err = c.Follow(ctx, f, func(l doc.Line) error {
		told = append(told, short(l))
		if l.Cursor != "" {
			cursor = l.Cursor
		}
		if strings.HasPrefix(told[len(told)-1], last) {
			return errEnough
		}
		return nil
	}, nil)
	return told, cursor, err
}

func short(l doc.Line) string {
	switch {
	case l.Event != nil:
		return "event " + l.Event.Node + " " + l.Event.Event.Step
	case l.Session != nil:
		return "session " + l.Session.ID + " " + l.Session.State
	case l.Node != nil:
		return "part " + l.Node.Session + "/" + l.Node.Node + " " + l.Node.State
	case l.Sighting != nil:
		return "sighting " + l.Sighting.ID
	case l.Machine != nil:
		return "machine " + l.Machine.ID
	case l.Job != nil:
		return "job " + l.Job.Spec.Kind + " " + l.Job.State
	}
	return l.Type + " " + l.Gone
}

func (r *rig) operator() *client.Client {
	c, err := client.New(r.srv.URL, client.Credentials{Token: r.id.Token, Pin: r.id.Pin})
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) say(node, token, boot string, seq int, events string) {
	r.t.Helper()
	if code, body, _ := r.call("POST", "/v1/node/"+node+"/events", token,
		fmt.Sprintf(`{"v":1,"boot":%q,"events":[{"seq":%d,%s}]}`, boot, seq, events)); code != 204 {
		r.t.Fatalf("events: %d %s", code, body)
	}
}

func TestFollow(t *testing.T) {
	r := newRig(t)
	c := r.operator()
	a, b := r.hello("52:54:00:00:00:01", "b1"), r.hello("52:54:00:00:00:02", "b2")
	// From the state that is.
	told, cursor, err := until(t.Context(), c, client.Filter{}, "live")
	if !errors.Is(err, errEnough) || len(told) != 5 || cursor == "" {
		t.Fatalf("%q, %q, %v", told, cursor, err)
	}
	if _, err := c.Create(t.Context(), doc.Spec{V: 1, Image: "debian", Nodes: []string{a.Node}}); err != nil {
		t.Fatal(err)
	}
	r.say(b.Node, b.Token, "b2", 1, `"step":"log","level":"info","message":"of the other"`)
	r.choose(a.Node, a.Token, "s1")
	r.say(a.Node, a.Token, "b1", 3, `"session":"s1","step":"plan","level":"info"`)
	r.say(a.Node, a.Token, "b1", 1, `"session":"s1","step":"written","level":"info"`)
	r.say(a.Node, a.Token, "b1", 2, `"session":"s1","step":"boot","level":"info"`)
	if err := c.Forget(t.Context(), b.Node, false); err != nil {
		t.Fatal(err)
	}
	// One machine, from the cursor that was read with another filter: what the other one said is not there.
	told, _, err = until(t.Context(), c, client.Filter{Node: "52:54:00:00:00:01", After: cursor}, "event "+a.Node+
		" boot")
	if !errors.Is(err, errEnough) {
		t.Fatalf("%q, %v", told, err)
	}
	for _, line := range told {
		if strings.Contains(line, b.Node) || strings.HasPrefix(line, "session") {
			t.Errorf("of one machine: %q", told)
		}
	}
	// A session, which ends by itself; again from its last line, which is told again.
	told, end, err := until(t.Context(), c, client.Filter{Session: "s1", After: cursor}, "never")
	if err != nil || told[len(told)-1] != "session s1 done" || !strings.Contains(strings.Join(told, "\n"),
		"event "+a.Node+" written\n") {
		t.Errorf("%q, %v", told, err)
	}
	if told, _, err = until(t.Context(), c, client.Filter{Session: "s1", After: end}, "never"); err != nil ||
		strings.Join(told, "") != "session s1 done" {
		t.Errorf("after its end: %q, %v", told, err)
	}
	// Everything: in order, and the machine that was forgotten.
	told, _, err = until(t.Context(), c, client.Filter{After: cursor}, "sighting "+b.Node)
	if all := strings.Join(told, "\n"); !errors.Is(err, errEnough) ||
		strings.Index(all, "event "+b.Node) > strings.Index(all, "event "+a.Node+" written") {
		t.Errorf("%q, %v", told, err)
	}
	var status *client.StatusError
	for _, c2 := range []struct {
		query string
		code  int
	}{{"session=s9", 404}, {"node=x", 422}, {"after=x", 400}, {"sesion=s1", 400}, {"after=other-5", 410}} {
		if _, err := c.Do(t.Context(), "GET", "/v1/events?"+c2.query, nil); !errors.As(err, &status) ||
			status.Code != c2.code {
			t.Errorf("%s: %v, want %d", c2.query, err, c2.code)
		}
	}
}

// Long work is followed by those who follow everything, and only by them.
func TestFollowJobs(t *testing.T) {
	r := newRig(t)
	r.store("debian", disk(2))
	r.hello("52:54:00:00:00:01", "b1")
	c := r.operator()
	_, cursor, _ := until(t.Context(), c, client.Filter{}, "live")
	if _, err := c.Library().Do(t.Context(), doc.JobSpec{Kind: doc.JobVerify, Image: "debian"},
		library.Watch{}); err != nil {
		t.Fatal(err)
	}
	if told, _, err := until(t.Context(), c, client.Filter{After: cursor}, "job verify done"); !errors.Is(err,
		errEnough) {
		t.Errorf("%q, %v", told, err)
	}
	r.hello("52:54:00:00:00:01", "b2")
	told, _, err := until(t.Context(), c, client.Filter{After: cursor, Node: "52:54:00:00:00:01"}, "sighting")
	if !errors.Is(err, errEnough) || strings.Contains(strings.Join(told, ""), "job") {
		t.Errorf("of a machine: %q, %v", told, err)
	}
}

// A connection that is cut again and again loses no event and tells none twice; a cursor of a server that is gone is
// told of.
func TestFollowThroughBreaks(t *testing.T) {
	r := newRig(t)
	a := r.hello("52:54:00:00:00:01", "b1")
	handler := r.srv.Config.Handler
	var conns atomic.Int64
	cutting := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, "/v1/events") && conns.Add(1) < 20 {
			handler.ServeHTTP(&cut{ResponseWriter: w, left: 400 * int(conns.Load())}, q)
			return
		}
		handler.ServeHTTP(w, q)
	}))
	cutting.TLS = r.srv.TLS
	cutting.StartTLS()
	defer cutting.Close()
	c, err := client.New(cutting.URL, client.Credentials{Token: r.id.Token, Pin: r.id.Pin})
	if err != nil {
		t.Fatal(err)
	}
	_, cursor, _ := until(t.Context(), r.operator(), client.Filter{}, "live")
	const events = 40
	for i := range events {
		r.say(a.Node, a.Token, "b1", i+1, fmt.Sprintf(`"step":"log","level":"info","message":"%d"`, i))
	}
	n, breaks := 0, 0
	c.Pause = time.Millisecond
	err = c.Follow(t.Context(), client.Filter{After: cursor}, func(l doc.Line) error {
		if l.Event == nil {
			return nil
		}
		if want := fmt.Sprint(n); l.Event.Event.Message != want {
			t.Errorf("event %s where %s was to come", l.Event.Event.Message, want)
		}
		if n++; n == events {
			return errEnough
		}
		return nil
	}, func(error) { breaks++ })
	if !errors.Is(err, errEnough) || breaks < 3 {
		t.Errorf("%d events over %d breaks: %v", n, breaks, err)
	}
	told, _, err := until(t.Context(), r.operator(), client.Filter{After: "gone-12"}, "live")
	if !errors.Is(err, errEnough) || told[0] != "lost " {
		t.Errorf("after a restart: %q, %v", told, err)
	}
}

// cut is a writer whose connection breaks, in the middle of a line.
type cut struct {
	http.ResponseWriter
	left int
}

func (c *cut) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *cut) Write(p []byte) (int, error) {
	if len(p) > c.left {
		if _, err := c.ResponseWriter.Write(p[:c.left]); err != nil {
			return 0, err
		}
		if err := http.NewResponseController(c.ResponseWriter).Flush(); err != nil {
			return 0, err
		}
		conn, _, err := http.NewResponseController(c.ResponseWriter).Hijack()
		if err == nil {
			err = conn.Close()
		}
		if err == nil {
			err = net.ErrClosed
		}
		return 0, err
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}
