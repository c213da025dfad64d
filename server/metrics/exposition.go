package metrics

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"strings"
)

// family is one figure with its help text, its type in Prometheus' words, and the names of its labels.
type family struct {
	name, help, kind string
	labels           []string
}

func gauge(name, help string, labels ...string) *family {
	return &family{"diskcast_" + name, help, "gauge", labels}
}

func counter(name, help string, labels ...string) *family {
	return &family{"diskcast_" + name, help, "counter", labels}
}

func histogramOf(name, help string, labels ...string) *family {
	return &family{"diskcast_" + name, help, "histogram", labels}
}

// exposition is one answer in Prometheus' text format, version 0.0.4. The lines of a family stand together, as the
// format demands, in whatever order they are set.
//
// Source: https://prometheus.io/docs/instrumenting/exposition_formats/
type exposition struct {
	order []*family
	lines map[*family][]string
}

func newExposition() *exposition { return &exposition{lines: map[*family][]string{}} }

// set tells a figure's value now, with one label value for each label of the family.
func (e *exposition) set(f *family, v float64, labels ...string) { e.line(f, "", f.labels, labels, v) }

// observed tells a histogram.
func (e *exposition) observed(f *family, h *histogram, labels ...string) {
	names := append(slices.Clone(f.labels), "le")
	for i, b := range h.bounds {
		e.line(f, "_bucket", names, append(slices.Clone(labels), number(b)), float64(h.below[i]))
	}
	e.line(f, "_bucket", names, append(slices.Clone(labels), "+Inf"), float64(h.count))
	e.line(f, "_sum", f.labels, labels, h.sum)
	e.line(f, "_count", f.labels, labels, float64(h.count))
}

func (e *exposition) line(f *family, suffix string, names, values []string, v float64) {
	var b strings.Builder
	b.WriteString(f.name + suffix)
	for i, name := range names {
		b.WriteString(string("{,"[min(i, 1)]) + name + `="` + escapeLabel.Replace(values[i]) + `"`)
	}
	if len(names) > 0 {
		b.WriteByte('}')
	}
	b.WriteString(" " + number(v) + "\n")
	if _, there := e.lines[f]; !there {
		e.order = append(e.order, f)
	}
	e.lines[f] = append(e.lines[f], b.String())
}

// WriteTo implements io.WriterTo.
func (e *exposition) WriteTo(w io.Writer) (int64, error) {
	var b bytes.Buffer
	for _, f := range e.order {
		b.WriteString("# HELP " + f.name + " " + escapeHelp.Replace(f.help) + "\n")
		b.WriteString("# TYPE " + f.name + " " + f.kind + "\n")
		for _, l := range e.lines[f] {
			b.WriteString(l)
		}
	}
	return b.WriteTo(w)
}

var (
	escapeLabel = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
