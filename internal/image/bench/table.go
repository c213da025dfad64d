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
	v = slices.Sorted(slices.Values(v))
	return spread{v[len(v)/2], v[0], v[len(v)-1]}
}

// row is one program in one case.
type row struct {
	Case    string  `json:"case"`
	Who     string  `json:"who"`
	Seconds spread  `json:"seconds"`
	MBps    float64 `json:"mb_per_s"` // of used bytes of the disk
	CPU     struct {
		Send float64 `json:"send"` // of captures
		Recv float64 `json:"recv"` // of restores
	} `json:"cpu_seconds"`
	Bytes int64  `json:"bytes"`         // that a capture stored, that a restore wrote; of a rival's restore not known
	RSS   int64  `json:"rss,omitempty"` // bytes, of our own process
	Note  string `json:"note,omitempty"`
}

// bar is a promise.
type bar struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}

func (b *bench) find(kind, who string) *row {
	for i := range b.rows {
		if b.rows[i].Case == kind && b.rows[i].Who == who {
			return &b.rows[i]
		}
	}
	return nil
}

// faster promises that ours takes at most the rival's time divided by want.
func (b *bench) faster(name string, ours, rival *row, want float64) {
	if ours == nil || rival == nil {
		return
	}
	got := rival.Seconds.Median / ours.Seconds.Median
	b.bars = append(b.bars, bar{name, fmt.Sprintf(">= %.2fx", want), fmt.Sprintf("%.2fx", got), got >= want})
}

// share promises that part is at most want of whole.
func (b *bench) share(name string, part, whole, want float64) {
	if whole == 0 {
		return
	}
	got := part / whole
	b.bars = append(b.bars, bar{name, fmt.Sprintf("<= %.3f", want), fmt.Sprintf("%.3f", got), got <= want})
}

func (b *bench) judge() {
	zstd, zstd0 := b.find("capture", checked), b.find("capture", unchecked)
	def, fast, small := b.find("capture", "diskcast default"), b.find("capture", "diskcast fast"), b.find("capture", "diskcast small")
	b.faster("capture default, speed beside "+checked, def, zstd, 1.2)
	b.faster("capture default, speed beside "+unchecked, def, zstd0, 1.2)
	b.faster("capture fast, speed beside "+checked, fast, zstd, 2)
	for _, x := range []struct {
		r    *row
		want float64
	}{{def, 1.03}, {fast, 1.12}, {small, 0.92}} {
		if x.r != nil && zstd != nil {
			b.share("size, "+x.r.Who+" beside "+checked, float64(x.r.Bytes), float64(zstd.Bytes), x.want)
		}
	}
	full := b.find("restore", "diskcast")
	b.faster("verified restore beside the checked partclone", full, b.find("restore", checked), 3)
	b.faster("verified restore beside the unchecked partclone", full, b.find("restore", unchecked), 1.2)
	if d := b.find("restore delta", "diskcast"); d != nil && full != nil {
		b.share("delta restore, time beside a full one", d.Seconds.Median, full.Seconds.Median, 0.35)
		b.share("delta restore, bytes written beside a full one", float64(d.Bytes), float64(full.Bytes), 0.06)
	}
	if again := b.find("capture again", "diskcast default"); again != nil && def != nil {
		b.share("second capture, new bytes", float64(again.Bytes), float64(def.Bytes), 0.07)
	}
	var rss int64
	for _, r := range b.rows {
		rss = max(rss, r.RSS)
	}
	if rss > 0 {
		b.bars = append(b.bars, bar{"memory of each of our processes", "<= 256 MiB", fmt.Sprintf("%d MiB", rss>>20), rss <= 256<<20})
	}
}

func (b *bench) print() {
	w := tabwriter.NewWriter(b.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "case\twho\tseconds\tMB/s\tCPU\tMB stored or written\tMiB memory\tnote")
	for _, r := range b.rows {
		size, rss := "-", "-"
		if r.Bytes > 0 {
			size = fmt.Sprintf("%.1f", float64(r.Bytes)/1e6)
		}
		if r.RSS > 0 {
			rss = fmt.Sprint(r.RSS >> 20)
		}
		fmt.Fprintf(w, "%s\t%s\t%.2f (%.2f-%.2f)\t%.0f\t%.2f\t%s\t%s\t%s\n", r.Case, r.Who, r.Seconds.Median, r.Seconds.Min, r.Seconds.Max,
			r.MBps, r.CPU.Send+r.CPU.Recv, size, rss, r.Note)
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
