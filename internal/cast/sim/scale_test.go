package sim

import (
	"os"
	"testing"
	"time"
)

func TestScale(t *testing.T) {
	big := os.Getenv("SIM_SCALE") != ""
	for _, c := range []struct {
		name   string
		n      int
		loss   float64
		spread int64
		size   int64
	}{
		{"100 at 0.1%", 100, 0.001, 0, 64 << 20}, {"100 at 1%", 100, 0.01, 0, 64 << 20},
		{"1000 at 0.1%", 1000, 0.001, 0, 32 << 20}, {"1000 at 1%", 1000, 0.01, 0, 32 << 20},
		{"10000 at 0.1%", 10000, 0.001, 0, 32 << 20}, {"10000 at 1%", 10000, 0.01, 0, 32 << 20},
		{"1000 at 1% over 30 s", 1000, 0.01, 30 * Second, 256 << 20},
	} {
		if c.n > 100 && !big {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			res := Run(Config{Seed: 1, Until: 200 * Second, Uplink: Link{Rate: 1e9, Queue: 512 << 10, Delay: 50 * Microsecond},
				Casts: []Cast{{Size: c.size, Receivers: receivers(c.n, func(i int, r *Receiver) {
					r.Loss.Share = c.loss
					r.Arrive = c.spread * int64(i) / int64(c.n)
				})}}, Trace: trace(t)})[0]
			show(t, c.size, 1e9, res)
			t.Log(time.Since(start))
			if res.ControlPeak > 1000 || res.Wrong > 0 {
				t.Errorf("%d control messages a second, %d receivers without the object", res.ControlPeak, res.Wrong)
			}
		})
	}
}

// TestArrivals has receivers that come one after the other while a cast of limited pace goes round: the last has everything about one round after it came.
func TestArrivals(t *testing.T) {
	const size = 32 << 20
	const spread, round = 12 * Second, 4 * Second
	c := Cast{Size: size, Receivers: receivers(600, func(i int, r *Receiver) {
		r.Loss = Loss{Share: 0.001}
		r.Arrive = spread * int64(i) / 600
	})}
	c.Config.Cap = size * 8 * 1.075 / (float64(round) / 1e9)
	res := Run(Config{Seed: 1, Until: 100 * Second, Uplink: gbit(512 << 10), Casts: []Cast{c}})[0]
	show(t, size, 1e9, res)
	if res.Wrong > 0 || res.Last > spread+round+2*Second || res.ControlPeak > 1000 || float64(res.Wasted) > 0.1*float64(res.Objects) {
		t.Errorf("the last was complete after %.1f s, %d are not; %d control messages in a second, %d of %d packets sent in vain", float64(res.Last)/1e9, res.Wrong,
			res.ControlPeak, res.Wasted, res.Objects)
	}
}
