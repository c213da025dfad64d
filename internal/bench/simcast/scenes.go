package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/cast/sim"
)

// figures are those of one scene over all its seeds: the least, the median and the most.
type figures struct {
	Case  string     `json:"case"`
	Bytes [3]float64 `json:"bytes_per_object_byte"`
	First [3]float64 `json:"first_over_line"` // beside TCP: the cast's share of the line
	Last  [3]float64 `json:"last_seconds"`
	Jain  [3]float64 `json:"jain"` // of casts beside each other, or of a cast and TCP
	Wrong int        `json:"incomplete"`
}

// bar is what the median of a scene is held to: bytes sent over the object's, and the time until the fastest receiver
// is done over that of the line; what is 0 is held to nothing.
type bar struct {
	scene        string // or what its name begins with
	bytes, first float64
}

// The first that fits a scene is its bar.
var sceneBars = []bar{
	{"5% at one, sinks are read back", 1.08, 1.05},
	{"5%", 1.08, 1.20},
	{"1%", 1.03, 1.05},
	{"clean", 1.03, 1.05},
	{"one at 50 Mbit", 0, 1.10},
	{"one sink of 400 Mbit", 1.05, 2.4},
	{"one sink of 80 Mbit", 2, 2.2},
	{"one comes in the middle", 1.52, 1.05},
	{"the sender starts anew", 1.05, 1.10},
	{"sinks of 160 Mbit", 1.05, 6.1},
	{"a sink of 80 Mbit alone", 1.05, 12.2},
	{"10 Gbit", 1.05, 1.20},
	{"eight casts", 1.05, 8.4},
	{"all: ", 1.3, 0},
}

// play runs every scene with each of the seeds.
func play(stdout io.Writer, seeds int) []figures {
	var all []figures
	for _, s := range sim.Scenes() {
		f := figures{Case: s.Name}
		var bytes, first, last, jain []float64
		for seed := range seeds {
			cfg := s.Config(s.Size, uint64(seed))
			var sum, square float64
			add := func(x float64) { sum, square = sum+x, square+x*x }
			n := float64(len(cfg.Casts))
			for _, res := range sim.Run(cfg) {
				if cfg.TCP > 0 {
					start := float64(cfg.Casts[0].Start)
					line := (float64(cfg.Until) - start) * s.Rate / 1e9
					add(res.ShareBits / line)
					add((res.TCPBits - start/1e9*s.Rate) / line)
					n, first = 2, append(first, res.ShareBits/line)
					continue
				}
				f.Wrong += res.Wrong
				add(1 / float64(max(res.Last, 1)))
				bytes = append(bytes, res.Bytes)
				first = append(first, float64(res.First)/1e9/sim.Ideal(s.Size, s.Rate))
				last = append(last, float64(res.Last)/1e9)
			}
			jain = append(jain, sum*sum/(n*square))
		}
		f.Bytes, f.First, f.Last, f.Jain = spread(bytes), spread(first), spread(last), spread(jain)
		all = append(all, f)
		fmt.Fprintf(stdout, "# %s: %.3f sent\n", f.Case, f.Bytes[1])
	}
	return all
}

// spread is the least, the median and the most.
func spread(v []float64) [3]float64 {
	if len(v) == 0 {
		return [3]float64{}
	}
	slices.Sort(v)
	return [3]float64{v[0], v[len(v)/2], v[len(v)-1]}
}

func judgeScenes(all []figures) []bench.Bar {
	var out []bench.Bar
	wrong := 0
	atMost := func(name string, got, want float64) {
		if want > 0 {
			out = append(out, bench.Bar{
				Name: name, Want: fmt.Sprintf("<= %.2f", want), Got: fmt.Sprintf("%.3f", got), OK: got <= want,
			})
		}
	}
	for _, f := range all {
		wrong += f.Wrong
		if i := slices.IndexFunc(sceneBars, func(b bar) bool { return strings.HasPrefix(f.Case, b.scene) }); i >= 0 {
			atMost(f.Case+": bytes sent / object", f.Bytes[1], sceneBars[i].bytes)
			atMost(f.Case+": the fastest one's time / the line's", f.First[1], sceneBars[i].first)
		}
		if f.Case == "eight casts" {
			out = append(out, bench.Bar{
				Name: "eight casts: Jain's index", Want: ">= 0.98", Got: fmt.Sprintf("%.3f", f.Jain[1]),
				OK: f.Jain[1] >= 0.98,
			})
		}
		if strings.HasPrefix(f.Case, "beside TCP") {
			share, fair := f.First, f.First[0] >= 0.2 && f.First[1] >= 0.3 && f.First[2] <= 0.8
			got := fmt.Sprintf("%.2f, %.2f, %.2f", share[0], share[1], share[2])
			out = append(out, bench.Bar{
				Name: f.Case + ": the cast's share, least, median, most", Want: ">= 0.2, >= 0.3, <= 0.8", Got: got,
				OK: fair,
			})
		}
	}
	return append(out, bench.Bar{
		Name: "scenes: live receivers without the object", Want: "0", Got: fmt.Sprint(wrong), OK: wrong == 0,
	})
}

func showScenes(stdout io.Writer, all []figures) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nscene\tsent/object\tfirst/line\tlast s")
	three := func(v [3]float64) string { return fmt.Sprintf("%.3f (%.3f to %.3f)", v[1], v[0], v[2]) }
	for _, f := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", f.Case, three(f.Bytes), three(f.First), three(f.Last))
	}
	return w.Flush()
}
