package sim

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var (
	seeds = flag.Int("seeds", 150, "random schedules that TestProperty runs")
	first = flag.Int("first", 0, "seed of the first of them")
)

// TestProperty runs random networks and fates: every receiver that lives ends with everything, memory is bounded, the
// sender stops, and what liars cost is bounded too.
func TestProperty(t *testing.T) {
	for seed := *first; seed < *first+*seeds; seed++ {
		if c, problem := schedule(uint64(seed)); problem != "" {
			t.Errorf("seed %d: %s\n%s", seed, problem, c)
		}
	}
}

// schedule draws a simulation from a seed, runs it and says what is wrong with the outcome.
func schedule(seed uint64) (what, problem string) { return scheduleWith(seed, None) }

// scheduleWith does it with an attack on the cast beside all that.
func scheduleWith(seed uint64, attack Attack) (what, problem string) {
	r := rand.New(rand.NewPCG(seed, 99))
	pick := func(v ...float64) float64 { return v[r.IntN(len(v))] }
	n := 1 + r.IntN(6)
	size := int64(1 + r.IntN(24<<20))
	cfg := Config{
		Seed: seed, Until: 400 * Second, K: []int{128, 128, 32, 7, 1}[r.IntN(5)],
		Uplink: Link{Rate: pick(1e8, 1e9, 1e9, 1e10), Queue: int(pick(64<<10, 256<<10, 1<<20)),
			Delay: int64(pick(0.02, 0.1, 2) * float64(Millisecond))},
	}
	if cfg.K < 16 {
		size = size/16 + 1
	}
	c := Cast{Size: size}
	if r.IntN(6) == 0 {
		c.Restart = int64(r.IntN(800)) * Millisecond
	}
	memory := int64(pick(1<<20, 8<<20, 64<<20))
	liars := 0
	for i := range n {
		x := Receiver{
			Arrive: int64(r.IntN(2000)) * Millisecond * int64(r.IntN(2)),
			Link:   Link{Delay: int64(pick(0.02, 0.2, 5) * float64(Millisecond))},
			Loss:   Loss{Share: pick(0, 0, 0.001, 0.01, 0.05, 0.2), Burst: pick(1, 1, 5, 30)},
			Back:   Loss{Share: pick(0, 0, 0.1, 0.5)},
			Memory: memory, Stream: r.IntN(4) > 0,
			Have: pick(0, 0, 0, 0.5, 0.95), Reread: (seed+uint64(i))%3 == 0,
		}
		switch r.IntN(8) {
		case 0:
			x.Die = x.Arrive + int64(r.IntN(1000))*Millisecond + 1
		case 1:
			x.Stall = x.Arrive + int64(r.IntN(500))*Millisecond + 1
			x.Resume = x.Stall + int64(r.IntN(3000))*Millisecond
		case 2:
			x.Sink = pick(20e6, 100e6)
		case 3:
			x.Link.Rate, x.Link.Queue = pick(20e6, 100e6), 128<<10
		case 4:
			x.Deaf, x.Stream = true, true
		case 5:
			if i > 0 {
				x.Liar = true
				liars++
			}
		case 6:
			x.Livelock, x.Stutter = pick(20e6, 200e6), pick(0, 0.2)
			x.Buffer, x.Ring = int(pick(1<<20, 16<<20)), 1250*1500
		}
		c.Receivers = append(c.Receivers, x)
	}
	if seed%7 == 0 {
		c.CPU = 1.2 * cfg.Uplink.Rate
	}
	if attack != None {
		c.Attack, c.AttackRate = attack, pick(10, 300, 3000)
		c.AttackFor = int64(pick(0, 1, 5)) * Second
		for i := range c.Receivers {
			c.Receivers[i].Stream = true
		}
	}
	cfg.Casts = []Cast{c}
	res := Run(cfg)[0]
	what = fmt.Sprintf("%d bytes, K=%d, %+v\n%+v", size, cfg.K, cfg.Uplink, c.Receivers)
	if cfg.K == 1 {
		what = "K=1 " + what
	}
	limit := max(memory, int64(2*(cfg.K+127))*1408) + int64(cfg.K+127)*1408
	switch {
	case res.Wrong > 0:
		return what, fmt.Sprintf("%d receivers never had everything: %v, events %v", res.Wrong, res.Done, res.Events)
	case res.MaxMemory > limit:
		return what, fmt.Sprintf("%d bytes of memory, the limit is %d", res.MaxMemory, memory)
	case !res.Idle && liars == 0:
		return what, "the sender still has something to send"
	}
	return what, ""
}
