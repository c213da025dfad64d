// Command simcast runs casts to 1, 10, 100, 1,000 and 10,000 simulated receivers, and each of sim's scenes with several
// seeds: the very protocol code, a virtual clock. It is what `make sim-cast` runs. It prints tables and the bars,
// writes build/bench/sim.json, and draws docs/cast-scale.svg.
//
//	simcast [-max 10000] [-seeds 3] [-out build/bench/sim.json] [-svg docs/cast-scale.svg]
//
// The figures depend on nothing but the code: the same code gives the same figures on any machine.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	"github.com/diskcast/diskcast/internal/bench"
	"github.com/diskcast/diskcast/internal/cast/sim"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "simcast:", err)
		os.Exit(1)
	}
}

// row is one simulated cast.
type row struct {
	Case      string  `json:"case"`
	Who       string  `json:"who"`
	Receivers int     `json:"receivers"`
	Loss      float64 `json:"loss"`
	Spread    float64 `json:"arrivals_over_seconds"`
	Object    int64   `json:"object_bytes"`
	Bytes     float64 `json:"bytes_per_object_byte"`
	Vain      float64 `json:"useless_to_all_per_object_byte"`
	Control   float64 `json:"control_per_s"`
	Peak      int64   `json:"control_peak_per_s"`
	First     float64 `json:"first_seconds"`
	Last      float64 `json:"last_seconds"`
	Ratio     float64 `json:"last_over_first"`
	Wrong     int     `json:"incomplete"`
	Took      float64 `json:"simulated_in_seconds"`
}

func run(args []string, stdout io.Writer) error {
	fs := flag.NewFlagSet("simcast", flag.ContinueOnError)
	most := fs.Int("max", 10000, "receivers at most")
	seeds := fs.Int("seeds", 3, "how often each scene is run")
	out := fs.String("out", "build/bench/sim.json", "where to write the result")
	svg := fs.String("svg", "docs/cast-scale.svg", "where to draw; empty: nowhere")
	if err := fs.Parse(args); err != nil {
		return err
	}
	var rows []row
	for _, spread := range []int64{0, 30 * sim.Second} {
		for _, loss := range []float64{0.001, 0.01} {
			for n := 1; n <= *most; n *= 10 {
				r := simulate(n, loss, spread)
				rows = append(rows, r)
				fmt.Fprintf(stdout, "# %s: %.3f sent, %.1f s\n", r.Case, r.Bytes, r.Took)
			}
		}
	}
	scenes := play(stdout, *seeds)
	bars := append(judge(rows), judgeScenes(scenes)...)
	if err := errors.Join(show(stdout, rows), showScenes(stdout, scenes),
		bench.PrintBars(stdout, bars)); err != nil {
		return err
	}
	doc := map[string]any{
		"machine": map[string]any{"go": runtime.Version(), "virtual": true}, "rows": rows, "scenes": scenes,
		"bars": bars,
	}
	if err := bench.Save(*out, doc); err != nil {
		return err
	}
	if *svg == "" {
		return nil
	}
	return os.WriteFile(*svg, []byte(draw(rows)), 0o644)
}

// simulate casts an object to n receivers over 1 Gbit, 1 % of whom die while they receive. The more receivers, the
// smaller the object, so that it ends; with arrivals over 30 s the pace is bounded so that one pass takes about 8 s
// whatever the size.
func simulate(n int, loss float64, spread int64) row {
	size := int64(128 << 20)
	switch {
	case n > 1000:
		size = 16 << 20
	case n > 100:
		size = 64 << 20
	}
	cfg := sim.Config{Seed: uint64(n), Until: 300 * sim.Second,
		Uplink: sim.Link{Rate: 1e9, Queue: 512 << 10, Delay: 50 * sim.Microsecond}}
	c := sim.Cast{Size: size}
	if spread > 0 {
		c.Config.Cap = float64(size) * 8 * 1.075 / 8
	}
	rng := rand.New(rand.NewPCG(uint64(n), 5))
	for i := range n {
		r := sim.Receiver{Loss: sim.Loss{Share: loss}, Link: sim.Link{Delay: 50 * sim.Microsecond}}
		if spread > 0 && n > 1 {
			r.Arrive = int64(rng.Float64() * float64(spread))
		}
		if rng.Float64() < 0.01 && i > 0 {
			r.Die = r.Arrive + int64(rng.Float64()*float64(300*sim.Millisecond)) + sim.Millisecond
		}
		c.Receivers = append(c.Receivers, r)
	}
	cfg.Casts = []sim.Cast{c}
	start := time.Now()
	res := sim.Run(cfg)[0]
	when := "together"
	if spread > 0 {
		when = "over 30 s"
	}
	r := row{
		Case: fmt.Sprintf("%d receivers, %.1f %% loss, %s", n, 100*loss, when), Who: "diskcast", Receivers: n,
		Loss: loss, Spread: float64(spread) / 1e9,
		Object: size, Bytes: res.Bytes, Vain: float64(res.Wasted) / float64(res.Objects), Peak: res.ControlPeak,
		First: float64(res.First) / 1e9, Last: float64(res.Last) / 1e9, Wrong: res.Wrong,
		Took: time.Since(start).Seconds(),
	}
	if r.Last > 0 {
		r.Control = float64(res.Control) / max(r.Last, 1)
		r.Ratio = r.Last / r.First
	}
	return r
}

func judge(rows []row) []bench.Bar {
	var bars []bench.Bar
	worst, wrong, vain := int64(0), 0, 0.0
	for _, r := range rows {
		worst = max(worst, r.Peak)
		wrong += r.Wrong
		if r.Spread > 0 {
			vain = max(vain, r.Vain)
			continue
		}
		if r.Receivers == 10000 {
			want := map[float64]float64{0.001: 1.05, 0.01: 1.20}[r.Loss]
			bars = append(bars, bench.Bar{Name: r.Case + ": bytes sent / object", Want: fmt.Sprintf("<= %.2f", want),
				Got: fmt.Sprintf("%.3f", r.Bytes), OK: r.Bytes <= want})
		}
	}
	return append(bars,
		bench.Bar{Name: "arrivals over 30 s: sent but of use to nobody / object", Want: "<= 0.10",
			Got: fmt.Sprintf("%.3f", vain), OK: vain <= 0.10},
		bench.Bar{Name: "control messages in any second", Want: "<= 1000", Got: fmt.Sprint(worst),
			OK: worst <= 1000},
		bench.Bar{Name: "live receivers without the object", Want: "0", Got: fmt.Sprint(wrong), OK: wrong == 0})
}

func show(stdout io.Writer, rows []row) error {
	w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nreceivers\tloss\tarrive\tobject MiB\tsent/object\tof use to none\tcontrol/s\tpeak/s\tfirst "+
		"s\tlast s\tlast/first")
	for _, r := range rows {
		when := "together"
		if r.Spread > 0 {
			when = "over 30 s"
		}
		fmt.Fprintf(w, "%d\t%.1f %%\t%s\t%d\t%.3f\t%.4f\t%.0f\t%d\t%.2f\t%.2f\t%.2f\n", r.Receivers, 100*r.Loss, when,
			r.Object>>20, r.Bytes, r.Vain, r.Control, r.Peak,
			r.First, r.Last, r.Ratio)
	}
	return w.Flush()
}
