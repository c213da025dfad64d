package sim

import (
	"os"
	"testing"
	"time"

	"github.com/diskcast/diskcast/internal/cast/core"
)

func gbit(queue int) Link { return Link{Rate: 1e9, Queue: queue, Delay: 50 * Microsecond} }

func receivers(n int, f func(i int, r *Receiver)) []Receiver {
	out := make([]Receiver, n)
	for i := range out {
		out[i].Link.Delay = 50 * Microsecond
		if f != nil {
			f(i, &out[i])
		}
	}
	return out
}

// ideal is how long the line takes for the object.
func ideal(size int64, rate float64) float64 {
	return float64(size) / 1408 * (1408 + 40 + 66) * 8 / rate
}

func show(t *testing.T, size int64, rate float64, res Result) {
	t.Helper()
	t.Logf("sent %.4f of object, %.4f in vain, first %.3f s, last %.3f s (ideal %.3f), control %d peak %d/s, useless %d, max mem %d MiB, wrong %d, events %v",
		res.Bytes, float64(res.Wasted)/float64(res.Objects), float64(res.First)/1e9, float64(res.Last)/1e9, ideal(size, rate), res.Control, res.ControlPeak, res.Useless, res.MaxMemory>>20, res.Wrong, res.Events)
}

func TestGbit(t *testing.T) {
	const size = 512 << 20
	var alone float64 // seconds of the second receiver beside one that loses nothing either
	for _, c := range []struct {
		name   string
		loss   []float64
		q      int
		reread bool
	}{
		{"clean", []float64{0, 0}, 512 << 10, false},
		{"clean, small queue", []float64{0, 0}, 128 << 10, false},
		{"1% at one", []float64{0.01, 0}, 512 << 10, false},
		{"1% at both", []float64{0.01, 0.01}, 512 << 10, false},
		{"5% at one", []float64{0.05, 0}, 512 << 10, false},
		{"5% at both", []float64{0.05, 0.05}, 512 << 10, false},
		{"1% at one, sinks are read back", []float64{0.01, 0}, 512 << 10, true},
		{"5% at one, sinks are read back", []float64{0.05, 0}, 512 << 10, true},
		{"5% at both, sinks are read back", []float64{0.05, 0.05}, 512 << 10, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := Run(Config{
				Seed: 1, Until: 60 * Second, Uplink: gbit(c.q),
				Casts: []Cast{{Size: size, Receivers: receivers(2, func(i int, r *Receiver) { r.Loss.Share, r.Reread = c.loss[i], c.reread })}},
				Trace: trace(t),
			})[0]
			show(t, size, 1e9, res)
			share, slower := 1.03, 1.04
			if c.loss[0] > 0.02 {
				share, slower = 1.08, 1.20
			}
			if took := float64(res.Last) / 1e9; res.Wrong > 0 || res.Bytes > share || took > slower*ideal(size, 1e9) {
				t.Errorf("sent %.3f of the object in %.3f s", res.Bytes, took)
			}
			second := float64(res.Done[1]) / 1e9
			if alone == 0 {
				alone = second
			}
			t.Logf("the second one took %.4f of its time beside one that loses nothing", second/alone)
			if c.reread && c.loss[1] == 0 && second > 1.03*alone {
				t.Errorf("the second one, which loses nothing, took %.3f s; beside one that loses nothing either %.3f", second, alone)
			}
		})
	}
}

// trace logs the state of rate control when SIM_TRACE gives an interval.
func trace(t *testing.T) func(int64, *core.Sender) {
	every, err := time.ParseDuration(os.Getenv("SIM_TRACE"))
	if err != nil {
		return nil
	}
	return func(now int64, s *core.Sender) {
		if now%int64(every) == 0 {
			t.Logf("%.3f rate %.0f pending %d %s", float64(now)/1e9, s.Rate()/1e6, s.Pending(), s.Debug())
		}
	}
}
