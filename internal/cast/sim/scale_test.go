package sim

import (
	"math/rand/v2"
	"testing"
)

// TestCrowd has a hundred receivers, of which some die: the server is not flooded with their words. More of them are
// `make sim-cast`'s.
func TestCrowd(t *testing.T) {
	for seed := range draws() {
		rng := rand.New(rand.NewPCG(seed, 3))
		const size = 8 << 20
		rs := receivers(100, func(i int, r *Receiver) {
			r.Loss.Share = []float64{0.001, 0.01, 0.05}[seed%3]
			if rng.IntN(20) == 0 {
				r.Die = 1 + int64(rng.Float64()*float64(200*Millisecond))
			}
		})
		res := Run(Config{Seed: seed, Until: 100 * Second, Uplink: gbit(512 << 10),
			Casts: []Cast{{Size: size, Receivers: rs}}})[0]
		complete(t, seed, res)
		if t.Failed() {
			show(t, size, 1e9, res)
			return
		}
	}
}

// TestArrivals has receivers that come one after the other while a cast of limited pace goes round: the last has
// everything about one round after it came.
func TestArrivals(t *testing.T) {
	const size = 8 << 20
	const spread, round = 6 * Second, 2 * Second
	for seed := range draws() / 2 {
		rng := rand.New(rand.NewPCG(seed, 4))
		c := Cast{Size: size, Receivers: receivers(100, func(_ int, r *Receiver) {
			r.Loss.Share = 0.001
			r.Arrive = int64(rng.Float64() * float64(spread))
		})}
		c.Config.Cap = size * 8 * 1.075 / (float64(round) / 1e9)
		res := Run(Config{Seed: seed, Until: 100 * Second, Uplink: gbit(512 << 10), Casts: []Cast{c}})[0]
		complete(t, seed, res)
		if res.Last > spread+2*round+2*Second || res.Wasted > res.Objects/2 {
			t.Errorf("seed %d: the last was complete after %.1f s, %d of %d packets were sent in vain",
				seed, seconds(res.Last), res.Wasted, res.Objects)
		}
	}
}
