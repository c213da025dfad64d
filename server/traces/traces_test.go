package traces

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// over is a session of so many machines that has ended.
func over(id string, machines int) engine.SessionFigures {
	s := engine.SessionFigures{ID: id, Kind: "restore", State: doc.Done, Created: at(0), Started: at(10),
		Ended: at(100), Cast: doc.CastStats{Sent: 1 << 60, Repair: 7}}
	for i := range machines {
		s.Parts = append(s.Parts, engine.PartFigures{Node: fmt.Sprint("n", i), State: doc.Done,
			Progress: session.Progress{Multicast: 5}, Steps: map[string]doc.Mark{session.StepAgent: {Time: at(12)},
				session.StepFirstByte: {Time: at(14)}, session.StepWritten: {Time: at(90)},
				session.StepBoot: {Time: at(90)}}})
	}
	return s
}

// collector takes what is told, when it is well.
type collector struct {
	mu    sync.Mutex
	code  int // 0: 200
	spans []map[string]any
	posts int
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.posts++
	if r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "what?", http.StatusNotFound)
		return
	}
	if c.code != 0 {
		w.WriteHeader(c.code)
		return
	}
	b, _ := io.ReadAll(r.Body)
	var got struct {
		ResourceSpans []struct {
			Resource   struct{ Attributes []any }
			ScopeSpans []struct{ Spans []map[string]any }
		}
	}
	if json.Unmarshal(b, &got) != nil || len(got.ResourceSpans) != 1 ||
		len(got.ResourceSpans[0].Resource.Attributes) != 3 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.spans = append(c.spans, got.ResourceSpans[0].ScopeSpans[0].Spans...)
	fmt.Fprint(w, `{"partialSuccess":{}}`)
}

func newExporter(t *testing.T, c *collector, sessions *[]engine.SessionFigures) *Exporter {
	t.Helper()
	srv := httptest.NewServer(c)
	t.Cleanup(srv.Close)
	return New(Config{Endpoint: srv.URL + "/", Server: "server", Pin: "sha256:00", Version: "1",
		Log: slog.New(slog.DiscardHandler), Every: 5 * time.Millisecond,
		Figures: func(parts func(string) bool) engine.Figures {
			f := engine.Figures{}
			for _, s := range *sessions {
				if !parts(s.ID) {
					s.Parts = nil
				}
				f.Sessions = append(f.Sessions, s)
			}
			return f
		}})
}

// TestSpans holds what a collector is told against the specification's mapping and the session.
func TestSpans(t *testing.T) {
	c, sessions := &collector{}, []engine.SessionFigures{over("s1", 1)}
	x := newExporter(t, c, &sessions)
	x.tellAll(t.Context())
	if c.posts != 0 {
		t.Fatal("a session that was over before the server started is told")
	}
	failed := over("s2", 2)
	failed.State, failed.Parts[1].State = doc.Failed, doc.Failed
	running := over("s3", 1)
	running.Ended = time.Time{}
	sessions = append(sessions, failed, running)
	x.tellAll(t.Context())
	x.tellAll(t.Context()) // nothing twice
	if c.posts != 1 || len(c.spans) != 1+2+2*4 {
		t.Fatalf("%d requests, %d spans", c.posts, len(c.spans))
	}
	hex16, hex32 := regexp.MustCompile(`^[0-9a-f]{16}$`), regexp.MustCompile(`^[0-9a-f]{32}$`)
	seen := map[string]map[string]any{}
	for _, s := range c.spans {
		id, _ := s["spanId"].(string)
		trace, _ := s["traceId"].(string)
		if seen[id] != nil || !hex16.MatchString(id) || !hex32.MatchString(trace) || trace != c.spans[0]["traceId"] {
			t.Errorf("ids of %v", s)
		}
		if p, has := s["parentSpanId"].(string); has && seen[p] == nil {
			t.Errorf("the parent of %v is not there", s)
		}
		start, _ := s["startTimeUnixNano"].(string)
		end, _ := s["endTimeUnixNano"].(string)
		if len(start) != 19 || len(end) != 19 || end < start || s["kind"] != 1.0 {
			t.Errorf("%v", s)
		}
		seen[id] = s
	}
	code := func(i int) any { return c.spans[i]["status"].(map[string]any)["code"] }
	if c.spans[0]["name"] != "restore" || code(0) != 2.0 || code(1) != 1.0 || code(6) != 2.0 ||
		c.spans[2]["name"] != session.StepAgent || c.spans[5]["name"] != session.StepBoot ||
		c.spans[4]["startTimeUnixNano"] != fmt.Sprint(at(14).UnixNano()) {
		t.Errorf("%v", c.spans)
	}
	b, err := json.Marshal(c.spans[0])
	if err != nil || !strings.Contains(string(b), `"intValue":"1152921504606846976"`) {
		t.Errorf("a large number: %s, %v", b, err)
	}
}

// TestCollectorAway has the collector not take a session for a while, and another never.
func TestCollectorAway(t *testing.T) {
	c, sessions := &collector{code: http.StatusServiceUnavailable}, []engine.SessionFigures{}
	x := newExporter(t, c, &sessions)
	sessions = append(sessions, over("s1", 900)) // 4501 spans
	x.tellAll(t.Context())
	if c.posts != 1 || len(c.spans) != 0 || x.told["s1"] {
		t.Fatalf("%d requests", c.posts)
	}
	c.code = 0
	x.tellAll(t.Context())
	if len(c.spans) != 4501 || c.posts != 1+5 || !x.told["s1"] {
		t.Errorf("%d spans in %d requests", len(c.spans), c.posts-1)
	}
	c.code, sessions = http.StatusBadRequest, append(sessions, over("s2", 1))
	x.tellAll(t.Context())
	x.tellAll(t.Context())
	if c.posts != 7 || !x.told["s2"] {
		t.Errorf("a session that is refused for good is told %d times", c.posts-6)
	}
	sessions = nil
	if x.tellAll(t.Context()); len(x.told) != 0 {
		t.Errorf("%d sessions are remembered", len(x.told))
	}
	if err := rejected([]byte(`{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}`)); err == nil {
		t.Error("spans that were not taken are nowhere said")
	}
}

func TestRun(t *testing.T) {
	c, sessions := &collector{}, []engine.SessionFigures{}
	x := newExporter(t, c, &sessions)
	sessions = append(sessions, over("s1", 1))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }() // ends with cancel
	<-x.Ready()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		c.mu.Lock()
		n := len(c.spans)
		c.mu.Unlock()
		if n == 6 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d spans", n)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
