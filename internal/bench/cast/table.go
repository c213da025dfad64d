package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/diskcast/diskcast/internal/bench"
)

// row is one program in one condition.
type row struct {
	Case    string       `json:"case"`
	Who     string       `json:"who"`
	Seconds bench.Spread `json:"seconds"` // from the sender's start to the last receiver's end
	MBps    float64      `json:"mb_per_s"`
	CPU     struct {
		Send float64 `json:"send"`
		Recv float64 `json:"recv"` // of one receiver
	} `json:"cpu_seconds"`
	BytesSent int64   `json:"bytes_sent,omitempty"` // payload, repair included
	Share     float64 `json:"bytes_per_object_byte,omitempty"`
	RSS       int64   `json:"receiver_rss,omitempty"`
	Stolen    float64 `json:"stolen_share"` // of the CPUs' time, by the hypervisor, during the whole case
	Note      string  `json:"note,omitempty"`
}

// bar adds a promise.
func (b *suite) bar(name, want, format string, got float64, ok bool) {
	b.bars = append(b.bars, bench.Bar{Name: name, Want: want, Got: fmt.Sprintf(format, got), OK: ok})
}

func (b *suite) find(name, who string) *row {
	for i := range b.rows {
		if b.rows[i].Case == name && b.rows[i].Who == who {
			return &b.rows[i]
		}
	}
	return nil
}

func (b *suite) print() error {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ncase\twho\tseconds\tMB/s\tCPU send\tCPU recv\tsent/object\trecv MiB\tstolen\tnote")
	for _, r := range b.rows {
		sent := "-"
		if r.Share > 0 {
			sent = fmt.Sprintf("%.3f", r.Share)
		}
		fmt.Fprintf(w, "%s\t%s\t%.2f (%.2f-%.2f)\t%.0f\t%.2f\t%.2f\t%s\t%.0f\t%.0f %%\t%s\n", r.Case, r.Who,
			r.Seconds.Median, r.Seconds.Min, r.Seconds.Max,
			r.MBps, r.CPU.Send, r.CPU.Recv, sent, float64(r.RSS)/(1<<20), 100*r.Stolen, r.Note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return bench.PrintBars(b.out, b.bars)
}
