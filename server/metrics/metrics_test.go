package metrics

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// fake is an engine whose figures the test sets.
type fake struct {
	figures engine.Figures
	asked   map[string]bool // the sessions whose parts were wanted though they are over
}

func (f *fake) Figures(parts func(string) bool) engine.Figures {
	f.asked = map[string]bool{}
	out := f.figures
	out.Sessions = nil
	for _, s := range f.figures.Sessions {
		if doc.Over(s.State) {
			if f.asked[s.ID] = parts(s.ID); !f.asked[s.ID] {
				s.Parts = nil
			}
		}
		out.Sessions = append(out.Sessions, s)
	}
	return out
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func at(seconds int) doc.Mark { return doc.Mark{Time: noon.Add(time.Duration(seconds) * time.Second)} }

// going is a session that casts to one node, which has received so many bytes.
func going(id string, sent, multicast, unicast int64) engine.SessionFigures {
	return engine.SessionFigures{ID: id, Kind: "restore", State: doc.Casting, Created: noon, Started: noon,
		Casting: true,
		Cast:    doc.CastStats{Sent: sent, Repair: sent / 10, Wire: sent * 2, Rate: 9e8}, Stragglers: 1,
		Parts: []engine.PartFigures{{Node: "n1", State: doc.Running, Step: session.StepFirstByte,
			Progress: session.Progress{Multicast: multicast, Unicast: unicast, Written: multicast},
			Steps: map[string]doc.Mark{doc.StepKernel: at(0), session.StepAgent: at(3),
				session.StepFirstByte: at(4)}}}}
}

func ends(s engine.SessionFigures, after int) engine.SessionFigures {
	s.State, s.Ended, s.Casting, s.Stragglers = doc.Done, noon.Add(time.Duration(after)*time.Second), false, 0
	p := s.Parts[0]
	p.State, p.Steps = doc.Done, map[string]doc.Mark{doc.StepKernel: at(0), session.StepAgent: at(3),
		session.StepFirstByte: at(4), session.StepLastByte: at(after)}
	s.Parts = []engine.PartFigures{p}
	return s
}

func answer(t *testing.T, s *Server) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// families are the figures as Prometheus' own parser reads them.
func families(t *testing.T, s *Server) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	m, err := p.TextToMetricFamilies(strings.NewReader(answer(t, s)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// holds says which lines of the answer are missing.
func holds(t *testing.T, s *Server, lines ...string) {
	t.Helper()
	body := answer(t, s)
	for _, l := range lines {
		want := !strings.HasPrefix(l, "!")
		if strings.Contains("\n"+body, "\ndiskcast_"+strings.TrimPrefix(l, "!")) != want {
			t.Errorf("%q is not as it should be in\n%s", l, body)
		}
	}
}

func TestCounters(t *testing.T) {
	f := &fake{figures: engine.Figures{Nodes: map[string]int{doc.Ready: 2}, Machines: 3, Waiting: 1,
		Sessions: []engine.SessionFigures{ends(going("s1", 5000, 500, 50), 60)}}}
	s := New(Sources{Version: "v1", Figures: f.Figures})
	holds(t, s, "machines 3\n", "machines_unapproved 1\n", `nodes{where="agent"} 2`, `build_info{version="v1"} 1`,
		"!sessions_ended_total", "cast_sent_bytes_total 0\n", "casts 0\n") // what ended before is not counted
	if f.asked["s1"] {
		t.Error("a session that was counted was asked for again")
	}

	f.figures.Sessions = append(f.figures.Sessions, going("s2", 1000, 300, 20))
	holds(t, s, "casts 1\n", "cast_stragglers 1\n", "cast_rate_bytes 1.125e+08\n", "cast_sent_bytes_total 1000\n",
		"cast_repair_bytes_total 100\n", `received_bytes_total{way="multicast"} 300`,
		`received_bytes_total{way="unicast"} 20`, "written_bytes_total 300\n",
		`sessions{kind="restore",state="casting"} 1`, `parts{kind="restore",state="running",step="first-byte"} 1`,
		`step_seconds_sum{kind="restore",step="agent"} 3`, `step_seconds_count{kind="restore",step="first-byte"} 1`)
	holds(t, s, "cast_sent_bytes_total 1000\n", // nothing twice
		`step_seconds_count{kind="restore",step="first-byte"} 1`)

	f.figures.Sessions[1] = going("s2", 200, 100, 0) // a server that was started again counts anew
	holds(t, s, "cast_sent_bytes_total 1200\n", `received_bytes_total{way="multicast"} 400`)

	f.figures.Sessions[1] = ends(going("s2", 900, 1000, 0), 40)
	for range 2 {
		holds(t, s, "casts 0\n", "cast_sent_bytes_total 1900\n", `sessions_ended_total{kind="restore",state="done"} 1`,
			`parts_ended_total{kind="restore",state="done"} 1`, `session_seconds_sum{kind="restore"} 40`,
			`session_seconds_bucket{kind="restore",le="30"} 0`, `session_seconds_bucket{kind="restore",le="60"} 1`,
			`step_seconds_sum{kind="restore",step="last-byte"} 36`, "!sessions{")
	}

	f.figures.Sessions = nil // forgotten: counters never fall
	holds(t, s, "cast_sent_bytes_total 1900\n", `sessions_ended_total{kind="restore",state="done"} 1`)
	if len(s.account.known) != 0 {
		t.Errorf("%d sessions are remembered that are no more", len(s.account.known))
	}
}

// TestNames holds names, units and help texts against Prometheus' own rules.
func TestNames(t *testing.T) {
	f := &fake{figures: engine.Figures{Sessions: []engine.SessionFigures{going("s1", 10, 10, 10)}}}
	s := New(Sources{Version: "v1", Figures: f.Figures,
		DHCP:  func() doc.DHCP { return doc.DHCP{Free: 7, Leases: []doc.Lease{{State: doc.LeaseHeld}}} },
		Room:  func() (uint64, uint64, error) { return 5, 9, nil },
		Words: func() []doc.NotifyReceiver { return []doc.NotifyReceiver{{Name: "ops", Waiting: 4}} },
		Jobs:  func() []doc.Job { return []doc.Job{{State: doc.Running, Spec: doc.JobSpec{Kind: "import"}}} }})
	f.figures.Sessions[0] = ends(f.figures.Sessions[0], 9)
	s.Request("GET /v1/sessions", 401, time.Second)
	holds(t, s, `dhcp_addresses{state="free"} 7`, `dhcp_addresses{state="held"} 1`, "store_free_bytes 5\n",
		"store_size_bytes 9\n", `notify_waiting{receiver="ops"} 4`, `jobs{kind="import"} 1`,
		`http_refused_total{route="GET /v1/sessions",code="401"} 1`)
	if len(families(t, s)) < 30 {
		t.Errorf("only %d families of figures", len(families(t, s)))
	}
	problems, err := promlint.New(strings.NewReader(answer(t, s))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestEscaped gives labels what the format must quote, and figures that cannot be had.
func TestEscaped(t *testing.T) {
	f := &fake{}
	odd := "a\"b\\c\nd{}=é"
	s := New(Sources{Version: odd, Figures: f.Figures})
	s.Request(odd, 404, time.Second)
	got := families(t, s)
	for _, name := range []string{"diskcast_build_info", "diskcast_http_refused_total"} {
		if v := got[name].GetMetric()[0].GetLabel()[0].GetValue(); v != odd {
			t.Errorf("%s is labelled %q, not %q", name, v, odd)
		}
	}
	h := got["diskcast_http_request_seconds"].GetMetric()[0].GetHistogram()
	if h.GetSampleCount() != 1 || h.GetSampleSum() != 1 || len(h.GetBucket()) != len(answers)+1 {
		t.Errorf("the histogram of requests is read as %v", h)
	}

	s = New(Sources{Figures: f.Figures, Room: func() (uint64, uint64, error) { return 0, 0, errors.New("no disk") }})
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 500 || !strings.Contains(w.Body.String(), "no disk") {
		t.Errorf("figures that cannot be had are answered %d %s", w.Code, w.Body)
	}
}
