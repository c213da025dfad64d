package main

import (
	"fmt"
	"slices"
	"text/tabwriter"
)

// spread is a median with its extremes.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(v []float64) spread {
	if len(v) == 0 {
		return spread{}
	}
	v = slices.Sorted(slices.Values(v))
	return spread{v[len(v)/2], v[0], v[len(v)-1]}
}

// row is one program in one condition.
type row struct {
	Case    string  `json:"case"`
	Who     string  `json:"who"`
	Seconds spread  `json:"seconds"` // from the sender's start to the last receiver's end
	MBps    float64 `json:"mb_per_s"`
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

// bar is a promise.
type bar struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}

func (b *bench) bar(name, want, format string, got float64, ok bool) {
	b.bars = append(b.bars, bar{name, want, fmt.Sprintf(format, got), ok})
}

func (b *bench) find(name, who string) *row {
	for i := range b.rows {
		if b.rows[i].Case == name && b.rows[i].Who == who {
			return &b.rows[i]
		}
	}
	return nil
}

func (b *bench) print() {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ncase\twho\tseconds\tMB/s\tCPU send\tCPU recv\tsent/object\trecv MiB\tstolen\tnote")
	for _, r := range b.rows {
		sent := "-"
		if r.Share > 0 {
			sent = fmt.Sprintf("%.3f", r.Share)
		}
		fmt.Fprintf(w, "%s\t%s\t%.2f (%.2f-%.2f)\t%.0f\t%.2f\t%.2f\t%s\t%.0f\t%.0f %%\t%s\n", r.Case, r.Who, r.Seconds.Median, r.Seconds.Min, r.Seconds.Max,
			r.MBps, r.CPU.Send, r.CPU.Recv, sent, float64(r.RSS)/(1<<20), 100*r.Stolen, r.Note)
	}
	w.Flush()
	fmt.Fprintln(w, "\nbar\twant\tgot\t")
	for _, x := range b.bars {
		mark := "ok"
		if !x.OK {
			mark = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.Name, x.Want, x.Got, mark)
	}
	w.Flush()
}
