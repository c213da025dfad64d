package sim

import (
	"os"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/cast/core"
)

func show(t *testing.T, size int64, rate float64, res Result) {
	t.Helper()
	t.Logf("sent %.4f of object, %.4f in vain, first %.3f s, last %.3f s (ideal %.3f)",
		res.Bytes, float64(res.Wasted)/float64(res.Objects), seconds(res.First), seconds(res.Last), Ideal(size, rate))
	t.Logf("control %d peak %d/s, useless %d, max mem %d MiB, wrong %d, events %v",
		res.Control, res.ControlPeak, res.Useless, res.MaxMemory>>20, res.Wrong, res.Events)
}

// trace logs the state of rate control when SIM_TRACE gives an interval.
func trace(t *testing.T) func(int64, *core.Sender) {
	every, err := time.ParseDuration(os.Getenv("SIM_TRACE"))
	if err != nil {
		return nil
	}
	return func(now int64, s *core.Sender) {
		if now%int64(every) == 0 {
			t.Logf("%.3f rate %.0f pending %d %s", seconds(now), s.Rate()/1e6, s.Pending(), s.Debug())
		}
	}
}
