package bench

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	r := New("MB sent")
	r.Rows = append(r.Rows, Row{Case: "quiet", Who: "ours", Seconds: SpreadOf(3, 1, 2), RSS: 64 << 20, BytesSent: 5e6},
		Row{Case: "quiet", Who: "theirs", Seconds: SpreadOf(5)})
	ours, theirs := r.Find("quiet", "ours"), r.Find("quiet", "theirs")
	if ours.Seconds != (Spread{2, 1, 3}) || r.Find("loud", "ours") != nil || SpreadOf() != (Spread{}) ||
		SpreadOf(4, 1) != (Spread{2.5, 1, 4}) {
		t.Errorf("%+v", ours)
	}
	r.Faster("speed", ours, theirs, 2.2)
	r.Faster("speed of nobody", nil, theirs, 2.2)
	r.Share("bytes", 4, 5, 0.75)
	r.Share("nothing", 4, 0, 0.75)
	r.Memory("memory", 64<<20)
	r.Fact("%d is a fact", 7)
	var ok []bool
	for _, b := range r.Bars {
		ok = append(ok, b.OK)
	}
	if len(ok) != 3 || !ok[0] || ok[1] || !ok[2] {
		t.Errorf("bars: %+v", r.Bars)
	}
	var b strings.Builder
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"MB sent", "2.00 (1.00-3.00)", "speed >= 2.20x 2.50x ok",
		"bytes <= 0.750 0.800 MISSED", "7 is a fact"} {
		if !strings.Contains(strings.Join(strings.Fields(b.String()), " "), want) {
			t.Errorf("the table lacks %q:\n%s", want, &b)
		}
	}
	path := filepath.Join(t.TempDir(), "bench", "x.json")
	if err := r.Save(path); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Machine map[string]any
		Rows    []map[string]any
		Bars    []Bar
	}
	if err := json.Unmarshal(raw, &back); err != nil || back.Machine["cpus"] == nil || len(back.Rows) != 2 ||
		back.Rows[0]["bytes_sent"] != 5e6 || len(back.Bars) != 3 {
		t.Errorf("%s %v", raw, err)
	}
}

func TestStill(t *testing.T) {
	for stood, want := range map[time.Duration]time.Duration{stillLimit: 0, 2 * stillLimit: 2 * stillLimit} {
		s := &Still{stop: make(chan struct{})}
		s.worst.Store(int64(stood))
		if got := s.Stood(); got != want {
			t.Errorf("a thread that waited for %v says that the machine stood still for %v", stood, got)
		}
	}
	if Watch().Stood() < 0 {
		t.Error("it stood still for less than no time")
	}
}
