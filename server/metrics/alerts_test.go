package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// world is what a server says of itself, minute by minute.
type world struct {
	fake
	away         bool
	free         uint64
	dhcp         doc.DHCP
	words, waits int
	lost         int
}

// failed is the session with its part not done.
func failed(s engine.SessionFigures) engine.SessionFigures {
	s = ends(s, 9)
	s.State = doc.Failed
	s.Parts[0].State = doc.Failed
	return s
}

// TestAlertsFire has promtool play what a server says each minute, from its start, to the alerts: each fires on its
// condition, the first time that this comes, and none on a server that is well.
func TestAlertsFire(t *testing.T) {
	need.Tools(t, "promtool")
	const minutes, trouble = 60, 20
	one := func(s engine.SessionFigures, kind string) []engine.SessionFigures {
		s.Kind = kind
		return []engine.SessionFigures{s}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "rule_files: [%q]\nevaluation_interval: 1m\ntests:\n", rules(t))
	for alert, c := range map[string]struct {
		until  int // the minute in which it fires at the latest
		happen func(w *world, minute int)
	}{
		"": {minutes, func(w *world, _ int) {
			w.figures.Sessions = one(ends(going("s1", 9, 9, 0), 9), "restore")
		}},
		"DiskcastAway": {24, func(w *world, _ int) { w.away = true }},
		"DiskcastStateNotWritten": {22, func(w *world, minute int) {
			w.figures.Unsaved = time.Duration(minute) * time.Minute
		}},
		"DiskcastChangesNotRecorded": {22, func(w *world, _ int) { w.waits = 1 }},
		"DiskcastStoreNearlyFull":    {32, func(w *world, _ int) { w.free = 4 }},
		"DiskcastSessionsFail": {21, func(w *world, _ int) {
			w.figures.Sessions = one(failed(going("s1", 9, 9, 0)), "erase")
		}},
		"DiskcastMachinesFail": {21, func(w *world, _ int) {
			w.figures.Sessions = one(failed(going("s1", 9, 9, 0)), "restore")
		}},
		"DiskcastMulticastDoesNotArrive": {32, func(w *world, minute int) {
			w.figures.Sessions = one(going("s1", 9, 9, int64(minute)*1000), "restore")
		}},
		"DiskcastNoAddresses": {26, func(w *world, _ int) {
			w.dhcp = doc.DHCP{Leases: []doc.Lease{{State: doc.LeaseHeld}}}
		}},
		"DiskcastWordsWait": {52, func(w *world, _ int) { w.words = 51 }},
	} {
		func() {
			w := &world{free: 50, dhcp: doc.DHCP{Free: 7}}
			w.figures = engine.Figures{Nodes: map[string]int{doc.Ready: 1}, Kinds: []string{"restore", "erase"}}
			s := New(Sources{Version: "v", Figures: w.Figures, DHCP: func() doc.DHCP { return w.dhcp },
				Room:   func() (uint64, uint64, error) { return w.free, 100, nil },
				Words:  func() []doc.NotifyReceiver { return []doc.NotifyReceiver{{Name: "chat", Waiting: w.words}} },
				Record: func() (int, int) { return w.waits, w.lost }, Power: func() (uint64, uint64) { return 0, 0 }})
			series := map[string][]string{}
			for minute := range minutes {
				if minute >= trouble {
					c.happen(w, minute)
				}
				scrape(t, s, series, minute, w.away)
			}
			fires := alert
			if alert == "" {
				fires = ".+" // none at all
			}
			text.WriteString("  - interval: 1m\n    input_series:\n")
			for name, values := range series {
				fmt.Fprintf(&text, "      - series: '%s'\n        values: '%s'\n", name, strings.Join(values, " "))
			}
			text.WriteString("    promql_expr_test:\n")
			expect := func(minute, n int) {
				fmt.Fprintf(&text, "      - {expr: 'count(ALERTS{alertname=~\"%s\",alertstate=\"firing\"}) or "+
					"vector(0)', eval_time: %dm, exp_samples: [{labels: '{}', value: %d}]}\n", fires, minute, n)
			}
			expect(trouble-1, 0)
			if alert == "" {
				expect(minutes-1, 0)
			} else {
				expect(c.until, 1)
			}
		}()
	}
	file := filepath.Join(t.TempDir(), "test.yml")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := proc.Command(t.Context(), "promtool", "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func rules(t *testing.T) string {
	t.Helper()
	file, err := filepath.Abs("../../docs/figures/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// scrape adds what Prometheus would have of the server in that minute; of one that is away, only that.
func scrape(t *testing.T, s *Server, series map[string][]string, minute int, away bool) {
	t.Helper()
	now := map[string]string{`up{job="diskcast",instance="s"}`: "1"}
	if away {
		now = map[string]string{`up{job="diskcast",instance="s"}`: "0"}
	} else {
		for name, f := range families(t, s) {
			for _, m := range f.GetMetric() {
				labels := `job="diskcast",instance="s"`
				for _, l := range m.GetLabel() {
					labels += fmt.Sprintf(`,%s=%q`, l.GetName(), l.GetValue())
				}
				switch f.GetType() {
				case dto.MetricType_COUNTER:
					now[name+"{"+labels+"}"] = number(m.GetCounter().GetValue())
				case dto.MetricType_GAUGE:
					now[name+"{"+labels+"}"] = number(m.GetGauge().GetValue())
				}
			}
		}
	}
	for name := range now {
		if series[name] == nil {
			series[name] = strings.Fields(strings.Repeat("_ ", minute))
		}
	}
	for name, values := range series {
		v, there := now[name]
		if !there {
			v = "_"
		}
		series[name] = append(values, v)
	}
}

// TestCountersNeverFall also gives counters what nodes make up, and figures what they do not know.
func TestCountersNeverFall(t *testing.T) {
	f := &fake{}
	f.figures.Kinds = []string{"restore"}
	s := New(Sources{Figures: f.Figures})
	holds(t, s, `sessions_ended_total{kind="restore",state="failed"} 0`,
		`parts_ended_total{kind="restore",state="absent"} 0`, `session_seconds_count{kind="restore"} 0`)
	f.figures.Sessions = []engine.SessionFigures{going("s1", 9, 9, 9)}
	holds(t, s, `step_seconds_count{kind="restore",step="last-byte"} 0`, `received_bytes_total{way="unicast"} 9`)
	for _, n := range []int64{-5, -1 << 62, 9} { // a node says what it likes
		f.figures.Sessions[0].Parts[0].Progress.Unicast = n
		answer(t, s)
	}
	holds(t, s, `received_bytes_total{way="unicast"} 18`)

	// Nor do figures grow by the words that nodes make up.
	for i := range 100 {
		f.figures.Sessions[0].Parts[0].Step = fmt.Sprint("step", i)
		holds(t, s, `parts{kind="restore",state="running",step="other"} 1`)
	}
	f.figures.Sessions[0].Parts[0].Step = "2/written"
	holds(t, s, `parts{kind="restore",state="running",step="written"} 1`)

	erased := going("s2", 0, 0, 0)
	erased.Kind = "erase"
	erased.Parts[0].Steps = map[string]doc.Mark{"plan": at(0), "erased": at(100_000)}
	f.figures.Sessions = append(f.figures.Sessions, erased)
	holds(t, s, `step_seconds_sum{kind="erase",step="erased"} 100000`,
		`step_seconds_bucket{kind="erase",step="erased",le="43200"} 0`,
		`step_seconds_bucket{kind="erase",step="erased",le="172800"} 1`)
}
