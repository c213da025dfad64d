package metrics

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/testenv/need"
	"github.com/diskcast/diskcast/internal/testenv/proc"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/engine"
)

// busy is a server on which something of everything happens whenever it is asked for its figures.
type busy struct {
	mu sync.Mutex
	n  int64
}

func (b *busy) Figures(func(string) bool) engine.Figures {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	f := engine.Figures{Machines: 4, Waiting: 1, Nodes: map[string]int{doc.Ready: 2, doc.Silent: 1}}
	f.Sessions = append(f.Sessions, going("live", 1000*b.n, 900*b.n, 90*b.n))
	for i := max(1, b.n-5); i <= b.n; i++ {
		name := fmt.Sprint("s", i)
		if i == b.n {
			f.Sessions = append(f.Sessions, going(name, 10, 10, 10))
		} else {
			f.Sessions = append(f.Sessions, ends(going(name, 20, 20, 20), 5+int(i)%100))
		}
	}
	return f
}

// TestPrometheus has promtool read what the server serves and the alerts, and a real Prometheus that scrapes it answer
// each query of the dashboard: with data.
func TestPrometheus(t *testing.T) {
	need.Tools(t, "prometheus", "promtool")
	b := &busy{}
	s := New(Sources{Version: "v1", Figures: b.Figures, DHCP: func() doc.DHCP { return doc.DHCP{Free: 7} },
		Room:   func() (uint64, uint64, error) { return 5, 9, nil },
		Words:  func() []doc.NotifyReceiver { return []doc.NotifyReceiver{{Name: "chat", Waiting: 1}} },
		Jobs:   func() []doc.Job { return []doc.Job{{State: doc.Running, Spec: doc.JobSpec{Kind: "gc"}}} },
		Record: func() (int, int) { return 1, 2 }, Power: func() (uint64, uint64) { return 7, 1 }})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Request("GET /v1/machines", 200, 20*time.Millisecond)
		s.Request("GET /v1/machines", 403, 10*time.Millisecond)
		s.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	alerts, err := filepath.Abs("../../docs/figures/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	check := func(in string, args ...string) {
		t.Helper()
		cmd := proc.Command(t.Context(), "promtool", args...)
		cmd.Stdin = strings.NewReader(in)
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte("error")) {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	check("", "check", "rules", alerts)
	check(answer(t, s), "check", "metrics")

	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 250ms, evaluation_interval: 1s}\nrule_files: [%q]\n"+
		"scrape_configs:\n  - job_name: diskcast\n    static_configs: [{targets: [%q]}]\n", alerts,
		strings.TrimPrefix(srv.URL, "http://"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	check("", "check", "config", config)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	var log bytes.Buffer
	prometheus := proc.Command(t.Context(), "prometheus", "--config.file="+config, "--web.listen-address="+addr,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--log.level=warn")
	prometheus.Stderr = &log
	if err := proc.Start(prometheus); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = prometheus.Cancel()
		_ = prometheus.Wait()
		if t.Failed() {
			t.Logf("Prometheus says:\n%s", &log)
		}
	})
	// value is a query's first value that is a number; none yet is no error.
	value := func(query string) (float64, error) {
		a, err := http.Get("http://" + addr + "/api/v1/query?query=" + url.QueryEscape(query))
		if err != nil {
			return math.NaN(), nil // it does not listen yet
		}
		defer a.Body.Close()
		if a.StatusCode == http.StatusServiceUnavailable {
			return math.NaN(), nil // nor is it ready
		}
		var got struct {
			Error string
			Data  struct{ Result []struct{ Value [2]any } }
		}
		if err := json.NewDecoder(a.Body).Decode(&got); err != nil || got.Error != "" {
			return 0, fmt.Errorf("%s %w", got.Error, err)
		}
		for _, r := range got.Data.Result {
			word, _ := r.Value[1].(string)
			if v, err := strconv.ParseFloat(word, 64); err == nil && !math.IsNaN(v) {
				return v, nil
			}
		}
		return math.NaN(), nil
	}
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	until := time.Now().Add(2 * time.Minute)
	for _, query := range dashboard(t) {
		for {
			v, err := value(query)
			if err != nil {
				t.Errorf("%s: %v", query, err)
				break
			}
			if !math.IsNaN(v) {
				break
			}
			if time.Now().After(until) {
				t.Errorf("%s: no data", query)
				break
			}
			<-look.C
		}
	}
	// The alerts are evaluated, and none fails.
	a, err := http.Get("http://" + addr + "/api/v1/rules")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.NewDecoder(a.Body).Decode(&rules); err != nil || len(rules.Data.Groups) == 0 {
		t.Fatalf("rules: %+v, %v", rules, err)
	}
	for _, r := range rules.Data.Groups[0].Rules {
		if r.Health == "err" || r.LastError != "" {
			t.Errorf("%s: %s %s", r.Name, r.Health, r.LastError)
		}
	}
}

// dashboard are the queries of the dashboard, as Grafana makes them for all servers.
func dashboard(t *testing.T) (queries []string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/figures/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("$instance", ".*", "$__rate_interval", "5s")
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("%s has no query", p.Title)
		}
		for _, x := range p.Targets {
			queries = append(queries, fill.Replace(x.Expr))
		}
	}
	if len(queries) < 20 {
		t.Fatalf("%d queries", len(queries))
	}
	return queries
}
