package sim

import (
	"fmt"
	"math/rand/v2"

	"github.com/diskcast/diskcast/internal/cast/core"
)

// Scene is a network in which one thing is wrong. A seed changes what must not matter: delays, and when receivers come.
type Scene struct {
	Name string
	Size int64   // of the object by which it is measured
	Rate float64 // of the line
	// What the slowest receiver takes, bits a second: no cast can end sooner. 0: what the line brings.
	Slowest float64
	// Some receiver takes what the line brings, and is not to wait for the others.
	Fast bool
	// The most that may be sent, of the object: more than that is not the protocol at work but a fault of it.
	Most float64
	// Something happens in the cast's first moments, which do not wait for receivers that come later.
	timed bool
	draw  func(size int64, rng *rand.Rand) Config
}

// Config is the scene as a seed makes it, with an object of that size.
func (s Scene) Config(size int64, seed uint64) Config {
	rng := rand.New(rand.NewPCG(seed, 7))
	cfg := s.draw(size, rng)
	cfg.Seed = seed
	for i := range cfg.Casts {
		for j := range cfg.Casts[i].Receivers {
			r := &cfg.Casts[i].Receivers[j]
			r.Link.Delay = int64((0.5 + 1.5*rng.Float64()) * float64(r.Link.Delay))
			if later := int64(rng.Float64() * 20 * float64(Millisecond)); !s.timed {
				r.Arrive += later
			}
		}
	}
	return cfg
}

// Ideal is how many seconds a line of that rate takes for an object: headers and the gaps of Ethernet are in it.
func Ideal(size int64, rate float64) float64 {
	return float64(size) / core.DefaultPayload * (core.DefaultPayload + 40 + 66) * 8 / rate
}

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

// one is a scene of one cast to two receivers at 1 Gbit/s.
func one(size int64, f func(i int, r *Receiver)) Config {
	return Config{Until: 130 * Second, Uplink: gbit(512 << 10), Casts: []Cast{{Size: size, Receivers: receivers(2, f)}}}
}

// Scenes are all of them.
func Scenes() []Scene {
	all := append(lossy(), slow()...)
	all = append(all, fast()...)
	all = append(all, together()...)
	return append(all, drowning()...)
}

// lossy are two receivers, of which one or both lose packets.
func lossy() []Scene {
	var all []Scene
	for _, c := range []struct {
		name   string
		loss   [2]float64
		queue  int
		reread bool
	}{
		{"clean", [2]float64{}, 512 << 10, false},
		{"clean, small queue", [2]float64{}, 128 << 10, false},
		{"1% at one", [2]float64{0.01, 0}, 512 << 10, false},
		{"1% at both", [2]float64{0.01, 0.01}, 512 << 10, false},
		{"5% at one", [2]float64{0.05, 0}, 512 << 10, false},
		{"5% at both", [2]float64{0.05, 0.05}, 512 << 10, false},
		{"1% at one, sinks are read back", [2]float64{0.01, 0}, 512 << 10, true},
		{"5% at one, sinks are read back", [2]float64{0.05, 0}, 512 << 10, true},
		{"5% at both, sinks are read back", [2]float64{0.05, 0.05}, 512 << 10, true},
	} {
		draw := func(size int64, _ *rand.Rand) Config {
			cfg := one(size, func(i int, r *Receiver) { r.Loss.Share, r.Reread = c.loss[i], c.reread })
			cfg.Uplink = gbit(c.queue)
			return cfg
		}
		all = append(all, Scene{Name: c.name, Size: 512 << 20, Rate: 1e9, Fast: true, Most: 1.25, draw: draw})
	}
	return all
}

// slow are receivers whose link or disk takes less than the line brings.
func slow() []Scene {
	var all []Scene
	for _, c := range []struct {
		name  string
		cpu   float64 // of the sender
		stall int64   // of the fast one's sink, from the 25th millisecond on
	}{
		{"one at 50 Mbit", 0, 0},
		// The pace that it tries is not what it sends: a cut of the pace from there changes nothing at first.
		{"one at 50 Mbit, and the sender makes but 1.2 Gbit", 1.2e9, 0},
		// Its memory fills, and it is still the one whose pace counts.
		{"one at 50 Mbit, and the other's sink stands still for a moment", 0, 30 * Millisecond},
	} {
		draw := func(size int64, _ *rand.Rand) Config {
			cfg := one(size, func(i int, r *Receiver) {
				r.Stream = true
				switch {
				case i == 1:
					r.Link = Link{Rate: 50e6, Queue: 256 << 10, Delay: 50 * Microsecond}
				case c.stall > 0:
					r.Memory, r.Stall, r.Resume = 6<<20, 25*Millisecond, 25*Millisecond+c.stall
				}
			})
			cfg.Casts[0].CPU = c.cpu
			return cfg
		}
		s := Scene{Name: c.name, Size: 512 << 20, Rate: 1e9, Slowest: 50e6, Fast: true, Most: 5, draw: draw}
		s.timed = c.stall > 0
		all = append(all, s)
	}
	for _, c := range []struct {
		name    string
		sinks   []float64
		slowest float64
		fast    bool
	}{
		{"sinks of 160 Mbit", []float64{160e6, 160e6}, 160e6, false},
		{"one sink of 400 Mbit", []float64{400e6, 0}, 400e6, false},
		// Below the floor: after two seconds it has a stream of its own, which sends again what it had no room for.
		{"one sink of 80 Mbit", []float64{80e6, 0}, 80e6, false},
		{"a sink of 80 Mbit alone", []float64{80e6}, 80e6, false},
	} {
		draw := func(size int64, _ *rand.Rand) Config {
			cfg := one(size, nil)
			cfg.Casts[0].Receivers = receivers(len(c.sinks), func(i int, r *Receiver) {
				r.Sink, r.Stream = c.sinks[i], true
			})
			return cfg
		}
		all = append(all, Scene{Name: c.name, Size: 256 << 20, Rate: 1e9, Slowest: c.slowest, Most: 2.5, draw: draw})
	}
	return all
}

// fast is a line of 10 Gbit, and a sender that makes little in its first moments: what was tried then says nothing of
// the line.
func fast() []Scene {
	var all []Scene
	for _, warm := range []int64{10, 30, 40, 100} {
		draw := func(size int64, _ *rand.Rand) Config {
			cfg := one(size, nil)
			cfg.Uplink, cfg.Tick = Link{Rate: 1e10, Queue: 4 << 20, Delay: 50 * Microsecond}, 100*Microsecond
			c := &cfg.Casts[0]
			c.Config, c.CPU, c.Warm = core.SenderConfig{Expect: 2}, 1.2e9, warm*Millisecond
			return cfg
		}
		name := fmt.Sprintf("10 Gbit, of which 1.2 for %d ms", warm)
		all = append(all, Scene{Name: name, Size: 2 << 30, Rate: 1e10, Fast: true, Most: 1.25, timed: true, draw: draw})
	}
	return all
}

// together are casts that share a line with others, or receivers and senders that come at other times.
func together() []Scene {
	middle := func(size int64, _ *rand.Rand) Config {
		half := int64(Ideal(size, 1e9) / 2 * 1e9)
		return one(size, func(i int, r *Receiver) { r.Arrive = int64(i) * half })
	}
	anew := func(size int64, _ *rand.Rand) Config {
		cfg := one(size, nil)
		cfg.Casts[0].Restart = int64(Ideal(size, 1e9) / 2 * 1e9)
		return cfg
	}
	eight := func(size int64, _ *rand.Rand) Config {
		cfg := Config{Until: 60 * Second, Tick: 25 * Microsecond, Uplink: gbit(512 << 10)}
		for i := range 8 {
			start := int64(i) * 50 * Millisecond
			rs := receivers(2, func(_ int, r *Receiver) { r.Arrive = start })
			cfg.Casts = append(cfg.Casts, Cast{Size: size, Start: start, Receivers: rs})
		}
		return cfg
	}
	all := []Scene{
		{Name: "one comes in the middle", Size: 512 << 20, Rate: 1e9, Fast: true, Most: 1.75, draw: middle},
		{Name: "the sender starts anew", Size: 256 << 20, Rate: 1e9, Fast: true, Most: 1.5, draw: anew},
		{Name: "eight casts", Size: 128 << 20, Rate: 1e9, Most: 1.5, draw: eight},
	}
	for _, queue := range []int{128 << 10, 512 << 10, 2 << 20} {
		draw := func(size int64, rng *rand.Rand) Config {
			// What TCP is just doing when the cast starts should not matter much.
			start := int64(rng.Float64() * 1.2 * float64(Second))
			cfg := one(size, func(_ int, r *Receiver) { r.Arrive = start })
			cfg.Uplink, cfg.Tick, cfg.TCP, cfg.Casts[0].Start = gbit(queue), 25*Microsecond, 1, start
			cfg.Until = start + int64(Ideal(size, 1e9)*0.87*1e9) // while the cast cannot be over
			return cfg
		}
		name := fmt.Sprintf("beside TCP, queue of %d KiB", queue>>10)
		all = append(all, Scene{Name: name, Size: 1 << 30, Rate: 1e9, Most: 1, draw: draw})
	}
	return all
}

// drowning are receivers that all take far less than the line brings: none of them is a straggler, and the pace must
// come down to theirs.
func drowning() []Scene {
	var all []Scene
	near := Link{Delay: 50 * Microsecond}
	deep := Receiver{Livelock: 20e6, Buffer: 16 << 20, Ring: 1250 * 1500, Link: near}
	stops := Receiver{Livelock: 25e6, Stutter: 0.2, Buffer: 16 << 20, Ring: 1250 * 1500, Link: near}
	disk := stops
	disk.Stutter, disk.Sink = 0.3, 30e6
	for _, c := range []struct {
		name string
		pace float64
		r    Receiver
	}{
		{"ports of 80 Mbit", 80e6, Receiver{Link: Link{Rate: 80e6, Queue: 128 << 10, Delay: 50 * Microsecond}}},
		{"sinks of 64 Mbit, 8 MiB of memory", 64e6, Receiver{Sink: 64e6, Memory: 8 << 20, Link: near}},
		{"livelock above 100 Mbit", 100e6, Receiver{Livelock: 100e6, Link: near}},
		{"livelock above 100 Mbit, large buffer", 100e6, Receiver{Livelock: 100e6, Buffer: 8 << 20, Link: near}},
		{"drowning at 20 Mbit, large buffer", 20e6, deep},
		{"drowning at 20 Mbit with stops", 20e6, stops},
		{"drowning at 20 Mbit with stops and a slow disk", 17e6, disk},
	} {
		draw := func(size int64, _ *rand.Rand) Config {
			cfg := one(size, func(_ int, r *Receiver) { *r = c.r })
			cfg.Uplink = Link{Rate: 4e9, Queue: 1 << 20, Delay: 50 * Microsecond}
			return cfg
		}
		s := Scene{Name: "all: " + c.name, Size: 96 << 20, Rate: 4e9, Slowest: c.pace, Most: 2.5, draw: draw}
		all = append(all, s)
	}
	return all
}
