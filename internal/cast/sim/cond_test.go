package sim

import (
	"slices"
	"testing"

	"github.com/diskcast/diskcast/internal/cast/core"
)

func TestSlowReceiver(t *testing.T) {
	const size = 512 << 20
	for _, c := range []struct {
		name  string
		cpu   float64 // of the sender, bits a second
		stall int64   // of the fast one's sink, from the 25th millisecond on
		over  int64   // that it may take beside the line's time
	}{
		{"at 50 Mbit", 0, 0, 0},
		// The pace that it tries is not what it sends: a cut of the pace from there changes nothing at first.
		{"at 50 Mbit, and the sender makes but 1.2 Gbit", 1.2e9, 0, 100 * Millisecond},
		// Its memory fills, and it is still the one whose pace counts.
		{"at 50 Mbit, and the fast one's sink stands still for a moment", 0, 30 * Millisecond, 60 * Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := Run(Config{
				Seed: 1, Until: 130 * Second, Uplink: gbit(512 << 10),
				Casts: []Cast{{Size: size, CPU: c.cpu, Receivers: receivers(2, func(i int, r *Receiver) {
					r.Stream = true
					switch {
					case i == 1:
						r.Link = Link{Rate: 50e6, Queue: 256 << 10, Delay: 50 * Microsecond}
					case c.stall > 0:
						r.Memory, r.Stall, r.Resume = 6<<20, 25*Millisecond, 25*Millisecond+c.stall
					}
				})}},
				Trace: trace(t),
			})[0]
			show(t, size, 1e9, res)
			if fast := float64(res.Done[0]) / 1e9; res.Wrong > 0 || fast > 1.05*ideal(size, 1e9)+float64(c.over)/1e9 {
				t.Errorf("the fast receiver took %.2f s, %d receivers are not complete", fast, res.Wrong)
			}
		})
	}
}

// TestSlowStart has a sender that makes little in its first moments, on a fast line: what was tried then says nothing of the line.
func TestSlowStart(t *testing.T) {
	const size = 2 << 30
	for _, warm := range []int64{10, 30, 40, 100} {
		res := Run(Config{
			Seed: 1, Until: 60 * Second, Uplink: Link{Rate: 1e10, Queue: 4 << 20, Delay: 50 * Microsecond}, Tick: 100 * Microsecond, Trace: trace(t),
			Casts: []Cast{{
				Size: size, Config: core.SenderConfig{Expect: 2}, CPU: 1.2e9, Warm: warm * Millisecond, Receivers: receivers(2, nil),
			}},
		})[0]
		show(t, size, 1e10, res)
		if over := float64(res.First)/1e9 - ideal(size, 1e10) - float64(warm)/1e3; res.Wrong > 0 || over > 0.3 {
			t.Errorf("made 1.2 Gbit/s for %d ms: %.2f s over what the line takes", warm, over)
		}
	}
}

func TestSlowSink(t *testing.T) {
	const size = 256 << 20
	for _, c := range []struct {
		name  string
		sinks []float64
		bytes float64 // of the object, sent at most
		first float64 // seconds until the fastest has it, at most
	}{
		{"both 160 Mbit", []float64{160e6, 160e6}, 1.05, 14},
		{"one 400 Mbit", []float64{400e6, 0}, 1.05, 5.5},
		// Below the floor: after two seconds it is given a stream of its own, and that sends again what it had no room for.
		{"one 80 Mbit", []float64{80e6, 0}, 2, 5},
		{"one alone", []float64{80e6}, 1.05, 28},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := Run(Config{
				Seed: 1, Until: 100 * Second, Uplink: gbit(512 << 10),
				Trace: trace(t), Casts: []Cast{{Size: size, Receivers: receivers(len(c.sinks), func(i int, r *Receiver) { r.Sink = c.sinks[i]; r.Stream = true })}},
			})[0]
			show(t, size, 1e9, res)
			if first := float64(res.First) / 1e9; res.Wrong > 0 || res.Bytes > c.bytes || first > c.first {
				t.Errorf("sent %.3f of the object, the first was complete after %.2f s, %d receivers are not complete", res.Bytes, first, res.Wrong)
			}
		})
	}
}

func TestLateJoin(t *testing.T) {
	const size = 512 << 20
	res := Run(Config{
		Seed: 1, Until: 100 * Second, Uplink: gbit(512 << 10),
		Trace: trace(t),
		Casts: []Cast{{Size: size, Receivers: receivers(2, func(i int, r *Receiver) { r.Arrive = int64(i) * 2309 * Millisecond })}},
	})[0]
	show(t, size, 1e9, res)
	if res.Wrong > 0 || res.Bytes > 1.52 {
		t.Errorf("sent %.3f of the object", res.Bytes)
	}
}

func TestEightCasts(t *testing.T) {
	const size = 128 << 20
	cfg := Config{Seed: 1, Until: 30 * Second, Tick: 25 * Microsecond, Uplink: gbit(512 << 10)}
	for i := range 8 {
		cfg.Casts = append(cfg.Casts, Cast{Size: size, Start: int64(i) * 50 * Millisecond, Receivers: receivers(2, nil)})
	}
	cfg.Trace = trace(t)
	all := Run(cfg)
	var sum, sq float64
	var last int64
	for _, res := range all {
		show(t, size, 1e9, res)
		d := 1 / float64(res.Last)
		sum += d
		sq += d * d
		last = max(last, res.Last)
	}
	if jain := sum * sum / (8 * sq); jain < 0.98 || float64(last)/1e9 > 8*ideal(size, 1e9)/0.95 {
		t.Errorf("Jain's index is %.4f, all took %.2f s", jain, float64(last)/1e9)
	}
	t.Logf("Jain %.4f, all in %.3f s, ideal %.3f", sum*sum/(8*sq), float64(last)/1e9, 8*ideal(size, 1e9))
}

func TestBesideTCP(t *testing.T) {
	const size = 1 << 30
	for _, q := range []int{128 << 10, 512 << 10, 2 << 20} {
		// What TCP is just doing when the cast starts should not matter much.
		var casts, tcps []float64
		for _, start := range []int64{0, 237 * Millisecond, 711 * Millisecond, 1185 * Millisecond} {
			res := Run(Config{Seed: 1, Until: start + 8*Second, Tick: 25 * Microsecond, Uplink: gbit(q), TCP: 1, Trace: trace(t),
				Casts: []Cast{{Size: size, Start: start, Receivers: receivers(2, func(_ int, r *Receiver) { r.Arrive = start })}}})[0]
			// What TCP moved before the cast began is the line's at most.
			before := float64(start) // bits at 1 Gbit/s
			casts, tcps = append(casts, res.ShareBits/8/1e6), append(tcps, (res.TCPBits-before)/8/1e6)
		}
		t.Logf("queue %d KiB: cast has %.0f Mbit/s, TCP %.0f", q>>10, casts, tcps)
		for _, all := range [][]float64{casts, tcps} {
			slices.Sort(all)
			if all[0] < 200 || all[1] < 300 {
				t.Errorf("queue %d KiB: one of them has less than 200 Mbit/s of the line, or less than 300 in half of the cases", q>>10)
			}
		}
	}
}

func TestRestart(t *testing.T) {
	const size = 256 << 20
	res := Run(Config{
		Seed: 1, Until: 60 * Second, Uplink: gbit(512 << 10),
		Trace: trace(t),
		Casts: []Cast{{Size: size, Restart: 1100 * Millisecond, Receivers: receivers(2, nil)}},
	})[0]
	show(t, size, 1e9, res)
	if res.Wrong > 0 || res.Bytes > 1.05 {
		t.Errorf("both senders sent %.3f of the object", res.Bytes)
	}
}

// TestAllSlow has receivers that all take far less than the line brings: none of them is a straggler, and the pace must come down to theirs.
func TestAllSlow(t *testing.T) {
	const size = 96 << 20
	for _, c := range []struct {
		name string
		r    Receiver
	}{
		{"ports of 80 Mbit", Receiver{Link: Link{Rate: 80e6, Queue: 128 << 10, Delay: 50 * Microsecond}}},
		{"sinks of 64 Mbit, 8 MiB of memory", Receiver{Sink: 64e6, Memory: 8 << 20, Link: Link{Delay: 50 * Microsecond}}},
		{"receive livelock above 100 Mbit", Receiver{Livelock: 100e6, Link: Link{Delay: 50 * Microsecond}}},
		{"drowning at 20 Mbit, large buffer", Receiver{Livelock: 20e6, Buffer: 16 << 20, Ring: 1250 * 1500, Link: Link{Delay: 50 * Microsecond}}},
		{"drowning at 20 Mbit with stops", Receiver{Livelock: 25e6, Stutter: 0.2, Buffer: 16 << 20, Ring: 1250 * 1500, Link: Link{Delay: 50 * Microsecond}}},
		{"drowning at 20 Mbit with stops and a slow disk", Receiver{Livelock: 25e6, Stutter: 0.3, Sink: 30e6, Buffer: 16 << 20, Ring: 1250 * 1500, Link: Link{Delay: 50 * Microsecond}}},
		{"receive livelock above 100 Mbit, large buffer", Receiver{Livelock: 100e6, Buffer: 8 << 20, Link: Link{Delay: 50 * Microsecond}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := Run(Config{
				Seed: 1, Until: 100 * Second, Uplink: Link{Rate: 4e9, Queue: 1 << 20, Delay: 50 * Microsecond},
				Casts: []Cast{{Size: size, Receivers: receivers(2, func(i int, r *Receiver) { *r = c.r })}},
				Trace: trace(t),
			})[0]
			show(t, size, 4e9, res)
			if res.Wrong > 0 || res.Bytes > 1.3 {
				t.Errorf("sent %.3f of the object, %d receivers are not complete", res.Bytes, res.Wrong)
			}
		})
	}
}
