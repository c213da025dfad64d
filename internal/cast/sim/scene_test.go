package sim

import (
	"strings"
	"testing"
)

// TestScenes holds what must be true in every network, whatever the seed, with bounds that are far from what is
// measured: the figures are `make sim-cast`'s. Who lives gets everything, no sender goes on for nothing, memory has its
// bound, the server is not flooded with words, and nobody waits for another who takes less.
func TestScenes(t *testing.T) {
	for _, s := range Scenes() {
		if strings.HasPrefix(s.Name, "beside TCP") || s.Name == "eight casts" {
			continue // TestShares
		}
		t.Run(s.Name, func(t *testing.T) {
			size := s.Size / 8
			ideal := Ideal(size, s.Rate)
			longest := ideal
			if s.Slowest > 0 {
				longest = Ideal(size, s.Slowest)
			}
			for seed := range draws() {
				cfg := s.Config(size, seed)
				cfg.Trace = trace(t)
				res := Run(cfg)[0]
				complete(t, seed, res)
				if res.Bytes > s.Most {
					t.Errorf("seed %d: %.3f of the object was sent, more than %.2f", seed, res.Bytes, s.Most)
				}
				// A second is for what a rate has to find out, another for the last reports.
				if first := seconds(res.First); s.Fast && first > 1.5*ideal+1 {
					t.Errorf("seed %d: the fast one has everything after %.2f s, its line takes %.2f", seed, first,
						ideal)
				}
				if last := seconds(res.Last); last > 2*longest+2 {
					t.Errorf("seed %d: all have everything after %.2f s, the slowest takes %.2f", seed, last, longest)
				}
				if t.Failed() {
					show(t, size, s.Rate, res)
					return
				}
			}
		})
	}
}

// TestReadBack has a receiver lose 5 % whose sink can be read back: the other, which loses nothing, is not sent what it
// has no use for before it is done. So it is never the last, and hardly slower than beside one that loses nothing
// either.
func TestReadBack(t *testing.T) {
	scenes := map[string]Scene{}
	for _, s := range Scenes() {
		scenes[s.Name] = s
	}
	const size = 64 << 20
	for seed := range draws() {
		alone := Run(scenes["clean"].Config(size, seed))[0]
		beside := Run(scenes["5% at one, sinks are read back"].Config(size, seed))[0]
		complete(t, seed, beside)
		got, want := seconds(beside.Done[1]), seconds(alone.Done[1])
		if beside.Done[1] > beside.Done[0] || got > 1.1*want {
			t.Errorf("seed %d: it took %.3f s, %.3f beside one that loses nothing; the other took %.3f",
				seed, got, want, seconds(beside.Done[0]))
		}
	}
}

// TestShares has casts share their line with each other and with TCP: nobody starves.
func TestShares(t *testing.T) {
	for _, s := range Scenes() {
		switch {
		case s.Name == "eight casts":
			eight(t, s)
		case strings.HasPrefix(s.Name, "beside TCP"):
			besideTCP(t, s)
		}
	}
}

func eight(t *testing.T, s Scene) {
	size := s.Size / 2
	for seed := range draws() / 2 {
		all := Run(s.Config(size, seed))
		var first, last int64
		for _, res := range all {
			complete(t, seed, res)
			if first == 0 || res.Last < first {
				first = res.Last
			}
			last = max(last, res.Last)
		}
		if line := 8 * Ideal(size, s.Rate); last > 2*first || seconds(last) > 1.25*line+1 {
			t.Errorf("%s, seed %d: the first took %.2f s, the last %.2f, the line takes %.2f",
				s.Name, seed, seconds(first), seconds(last), line)
		}
	}
}

func besideTCP(t *testing.T, s Scene) {
	size := s.Size / 4
	for seed := range draws() / 2 {
		cfg := s.Config(size, seed)
		res := Run(cfg)[0]
		start := seconds(cfg.Casts[0].Start)
		line := (seconds(cfg.Until) - start) * s.Rate
		// What TCP moved before the cast began is the line's at most.
		cast, tcp := res.ShareBits/line, (res.TCPBits-start*s.Rate)/line
		if cast < 0.15 || tcp < 0.15 || cast+tcp < 0.7 {
			t.Errorf("%s, seed %d: the cast has %.2f of the line, TCP %.2f", s.Name, seed, cast, tcp)
		}
	}
}

// complete holds what is true of each cast that ends.
func complete(t *testing.T, seed uint64, res Result) {
	t.Helper()
	if res.Wrong > 0 || !res.Idle {
		t.Errorf("seed %d: %d receivers never had everything, the sender is idle: %v", seed, res.Wrong, res.Idle)
	}
	if res.ControlPeak > 1000 {
		t.Errorf("seed %d: %d control messages in a second", seed, res.ControlPeak)
	}
	if limit := int64(64<<20 + 2*255*1408); res.MaxMemory > limit {
		t.Errorf("seed %d: a receiver had %d bytes in memory, the limit is %d", seed, res.MaxMemory, limit)
	}
}

// draws is how many seeds a scene has: some for each hundred of TestProperty's.
func draws() uint64 { return uint64(max(2, *seeds/18)) }

func seconds(t int64) float64 { return float64(t) / 1e9 }
