// Package traces tells an OpenTelemetry collector of each session that ended: one trace, in it a span for the session,
// one for each machine, and one for each step of a machine. It is OTLP over HTTP in its JSON form
// (opentelemetry.io/docs/specs/otlp, "OTLP/HTTP"), made here: the SDK with its exporter is five megabytes.
//
// A session is told when it is over, with one request for at most a thousand spans. Ids come from the server and the
// session, so that what is told twice, after a request that was lost, is the same spans.
package traces

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/diskcast/diskcast/server/engine"
)

// Config is what an exporter is made of.
type Config struct {
	Endpoint string // of the collector, such as http://127.0.0.1:4318; /v1/traces is added
	Server   string // name of this one
	Pin      string // of its key, which makes ids its own
	Version  string
	Figures  func(parts func(id string) bool) engine.Figures
	Log      *slog.Logger
	Every    time.Duration // that sessions are looked at; 0: Every
}

// Every is how often the exporter looks which sessions ended.
const Every = 10 * time.Second

// patience is how long a collector may take to answer.
const patience = 30 * time.Second

// Exporter tells a collector of sessions. It is a task.
type Exporter struct {
	cfg   Config
	http  *http.Client
	ready chan struct{}
	told  map[string]bool // sessions that were told, or are not to be
	sick  bool            // the collector does not take them, which was said
}

// New makes the exporter. Sessions that are over already were another server's to tell.
func New(cfg Config) *Exporter {
	if cfg.Every == 0 {
		cfg.Every = Every
	}
	x := &Exporter{cfg: cfg, http: &http.Client{Timeout: patience, CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}, ready: make(chan struct{}), told: map[string]bool{}}
	f := cfg.Figures(func(string) bool { return false })
	for i := range f.Sessions {
		if s := &f.Sessions[i]; !s.Ended.IsZero() {
			x.told[s.ID] = true
		}
	}
	return x
}

// Name implements task.Task.
func (x *Exporter) Name() string { return "traces" }

// Ready implements task.Task.
func (x *Exporter) Ready() <-chan struct{} { return x.ready }

// Run implements task.Task.
func (x *Exporter) Run(ctx context.Context) error {
	close(x.ready)
	tick := time.NewTicker(x.cfg.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			x.tellAll(ctx)
		}
	}
}

// tellAll tells of what has ended since. What the collector does not take now is told the next time, as long as the
// server knows the session.
func (x *Exporter) tellAll(ctx context.Context) {
	f := x.cfg.Figures(func(id string) bool { return !x.told[id] })
	there := map[string]bool{}
	for i := range f.Sessions {
		s := &f.Sessions[i]
		if there[s.ID] = true; s.Ended.IsZero() || s.Casting || x.told[s.ID] {
			continue
		}
		later, err := x.tell(ctx, s)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && later:
			if !x.sick {
				x.cfg.Log.Warn("the collector of traces does not take them; they are told again", "endpoint",
					x.cfg.Endpoint, "session", s.ID, "err", err)
			}
			x.sick = true
			return
		case err != nil:
			x.cfg.Log.Error("a trace is not told: the collector refuses it", "session", s.ID, "err", err)
		case x.sick:
			x.cfg.Log.Info("the collector of traces takes them again", "endpoint", x.cfg.Endpoint)
			x.sick = false
		}
		x.told[s.ID] = true
	}
	for id := range x.told {
		if !there[id] {
			delete(x.told, id)
		}
	}
}

// tell tells one session. later says that an error may be over the next time.
func (x *Exporter) tell(ctx context.Context, s *engine.SessionFigures) (later bool, err error) {
	spans := x.spans(s)
	for len(spans) > 0 {
		part := spans[:min(maxSpans, len(spans))]
		if later, err := x.post(ctx, part); err != nil {
			return later, err
		}
		spans = spans[len(part):]
	}
	return false, nil
}

func (x *Exporter) post(ctx context.Context, spans []span) (later bool, err error) {
	b, err := json.Marshal(request{[]resourceSpans{{
		Resource: resource{[]attribute{text("service.name", "diskcast"), text("service.version", x.cfg.Version),
			text("service.instance.id", x.cfg.Server)}},
		ScopeSpans: []scopeSpans{{Scope: scope{"github.com/diskcast/diskcast"}, Spans: spans}}}}})
	if err != nil {
		return false, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(x.cfg.Endpoint, "/")+"/v1/traces",
		bytes.NewReader(b))
	if err != nil {
		return false, err
	}
	r.Header.Set("Content-Type", "application/json")
	a, err := x.http.Do(r)
	if err != nil {
		return true, err
	}
	defer a.Body.Close()
	words, _ := io.ReadAll(io.LimitReader(a.Body, 4<<10))
	switch a.StatusCode {
	case http.StatusOK:
		return false, rejected(words)
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true, fmt.Errorf("it answers %s", a.Status) // those that the specification says to try again
	}
	return false, fmt.Errorf("it answers %s: %.200q", a.Status, words)
}

// rejected says how many spans of a request that was taken were not.
func rejected(answer []byte) error {
	var a struct {
		PartialSuccess struct {
			RejectedSpans json.Number
			ErrorMessage  string
		}
	}
	if json.Unmarshal(answer, &a) == nil {
		if n, err := a.PartialSuccess.RejectedSpans.Int64(); err == nil && n > 0 {
			return fmt.Errorf("it took all but %d spans: %.200q", n, a.PartialSuccess.ErrorMessage)
		}
	}
	return nil
}
