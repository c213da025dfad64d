// Package bench is what the benches have in common: programs that are started, measured and ended, the disk that
// those of images work on, rows with medians, promises ("bars") that are kept or missed, a table for people, and a file
// for programs. The benches of the cast have rows of their own and share the rest. A bar that is missed is printed as
// missed and stays in the file; it is not an error.
package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// Spread is a median with its extremes.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// SpreadOf is the Spread of the values; zero of none.
func SpreadOf(v ...float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	v = slices.Sorted(slices.Values(v))
	return Spread{(v[(len(v)-1)/2] + v[len(v)/2]) / 2, v[0], v[len(v)-1]}
}

// Row is one program in one case.
type Row struct {
	Case    string  `json:"case"`
	Who     string  `json:"who"`
	Seconds Spread  `json:"seconds"`
	MBps    float64 `json:"mb_per_s"`
	CPU     struct {
		Send float64 `json:"send"`
		Recv float64 `json:"recv"`
	} `json:"cpu_seconds"`
	Bytes     int64  `json:"bytes,omitempty"`      // that were stored or written
	BytesSent int64  `json:"bytes_sent,omitempty"` // that went over a network
	RSS       int64  `json:"rss,omitempty"`        // bytes of memory of one process, at most
	Note      string `json:"note,omitempty"`
}

// Bar is a promise.
type Bar struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
}

// Report is what a bench found.
type Report struct {
	Machine map[string]any `json:"machine"`
	Rows    []Row          `json:"rows"`
	Bars    []Bar          `json:"bars"`
	// Facts are figures beside the rows, in words, such as what the hardware alone would take.
	Facts []string `json:"facts,omitempty"`
	// Title is what Row.Bytes and BytesSent are, for the table.
	Title string `json:"-"`
}

// New returns a report about this machine.
func New(title string) *Report {
	return &Report{Title: title, Rows: []Row{}, Bars: []Bar{}, Machine: Machine()}
}

// Machine describes the machine that a bench runs on.
func Machine() map[string]any {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return map[string]any{
		"cpu": cpuModel(), "cpus": runtime.NumCPU(), "kernel": strings.TrimSpace(string(kernel)),
		"go": runtime.Version(),
	}
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// Find returns the row, nil when that case was not run.
func (r *Report) Find(kind, who string) *Row {
	for i := range r.Rows {
		if r.Rows[i].Case == kind && r.Rows[i].Who == who {
			return &r.Rows[i]
		}
	}
	return nil
}

// Fact adds a figure in words.
func (r *Report) Fact(format string, args ...any) {
	r.Facts = append(r.Facts, fmt.Sprintf(format, args...))
}

// Faster promises that ours takes at most the rival's time divided by want. Without both rows it promises nothing.
func (r *Report) Faster(name string, ours, rival *Row, want float64) {
	if ours == nil || rival == nil {
		return
	}
	got := rival.Seconds.Median / ours.Seconds.Median
	r.Bars = append(r.Bars, Bar{name, fmt.Sprintf(">= %.2fx", want), fmt.Sprintf("%.2fx", got), got >= want})
}

// Share promises that part is at most want of whole.
func (r *Report) Share(name string, part, whole, want float64) {
	if whole == 0 {
		return
	}
	got := part / whole
	r.Bars = append(r.Bars, Bar{name, fmt.Sprintf("<= %.3f", want), fmt.Sprintf("%.3f", got), got <= want})
}

// Memory promises that no row took more than want bytes.
func (r *Report) Memory(name string, want int64) {
	var rss int64
	for _, x := range r.Rows {
		rss = max(rss, x.RSS)
	}
	if rss > 0 {
		r.Bars = append(r.Bars, Bar{name, fmt.Sprintf("<= %d MiB", want>>20), fmt.Sprintf("%d MiB", rss>>20),
			rss <= want})
	}
}

// Print writes the tables.
func (r *Report) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "case\twho\tseconds\tMB/s\tCPU send\tCPU recv\t%s\tMiB memory\tnote\n", r.Title)
	or := func(n int64, format string, v any) string {
		if n == 0 {
			return "-"
		}
		return fmt.Sprintf(format, v)
	}
	for _, x := range r.Rows {
		n := max(x.Bytes, x.BytesSent)
		fmt.Fprintf(w, "%s\t%s\t%.2f (%.2f-%.2f)\t%.0f\t%.2f\t%.2f\t%s\t%s\t%s\n", x.Case, x.Who, x.Seconds.Median,
			x.Seconds.Min, x.Seconds.Max,
			x.MBps, x.CPU.Send, x.CPU.Recv, or(n, "%.1f", float64(n)/1e6), or(x.RSS, "%d", x.RSS>>20), x.Note)
	}
	for i, f := range r.Facts {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, f)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return PrintBars(out, r.Bars)
}

// PrintBars writes the table of promises.
func PrintBars(out io.Writer, bars []Bar) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nbar\twant\tgot\t")
	for _, x := range bars {
		mark := "ok"
		if !x.OK {
			mark = "MISSED"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", x.Name, x.Want, x.Got, mark)
	}
	return w.Flush()
}

// Save writes the report as JSON.
func (r *Report) Save(path string) error { return Save(path, r) }

// Save writes a bench's document as JSON, making the folder that it goes to.
func Save(path string, doc any) error {
	raw, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
