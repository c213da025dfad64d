package cmd

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/internal/units"
	"github.com/diskcast/diskcast/server/cmd/ui"
	"github.com/diskcast/diskcast/server/doc"
)

// stepWords are a timeline's steps for people.
var stepWords = map[string]string{
	doc.StepDHCP:          "DHCP",
	doc.StepBootfile:      "first stage",
	doc.StepScript:        "boot script",
	doc.StepKernel:        "kernel",
	doc.StepInitramfs:     "initramfs",
	doc.StepLocal:         "local disk",
	session.StepPlan:      "plan checked",
	session.StepTable:     "partition table",
	session.StepFirstByte: "first byte",
	session.StepLastByte:  "last byte",
	session.StepUploaded:  "stored",
}

// latest is when the step was reached for the last of the disks.
func latest(steps map[string]doc.Mark, step string) doc.Mark {
	m := steps[step]
	for name, x := range steps {
		if strings.HasSuffix(name, "/"+step) && x.Time.After(m.Time) {
			m = x
		}
	}
	return m
}

// printTimeline prints when each step was reached, since the first one, and how fast the bytes came. The steps are of
// the last boot; the reboots before them stand among them.
func printTimeline(w io.Writer, steps map[string]doc.Mark, reboots []doc.Mark, p *session.Progress) error {
	steps = maps.Collect(maps.All(steps)) // also when it is nil
	var names []string
	for s := range steps {
		names = append(names, s)
	}
	for i, m := range reboots {
		name := fmt.Sprintf("reboot %d", i+1)
		steps[name] = m
		names = append(names, name)
	}
	order := append(slices.Clone(doc.TimelineSteps), doc.StepLocal, session.StepFailed)
	slices.SortFunc(names, func(a, b string) int {
		if c := steps[a].Time.Compare(steps[b].Time); c != 0 {
			return c
		}
		return slices.Index(order, a) - slices.Index(order, b)
	})
	var rows [][]string
	var before time.Time
	for i, s := range names {
		m := steps[s]
		if i == 0 {
			before = m.Time
		}
		of, step, more := strings.Cut(s, "/")
		if !more {
			step = s
		}
		word := cmp.Or(stepWords[step], step)
		if more {
			word = "disk " + of + ": " + word
		}
		rows = append(rows, []string{"  " + word, m.Time.Local().Format("15:04:05.000"),
			fmt.Sprintf("+%.1f s", m.Time.Sub(steps[names[0]].Time).Seconds()),
			fmt.Sprintf("(%.1f s)", m.Time.Sub(before).Seconds()), m.Message})
		before = m.Time
	}
	if err := ui.Table(w, rows); err != nil {
		return err
	}
	if p == nil {
		return nil
	}
	if p.ToRead > 0 {
		line := "  " + progressWords(p)
		if from, to := steps[session.StepPlan], steps[session.StepUploaded]; !from.Time.IsZero() && !to.Time.IsZero() {
			line += ", " + units.Speed(p.Read, to.Time.Sub(from.Time))
		}
		_, err := fmt.Fprintln(w, line)
		return err
	}
	first, last, written := steps[session.StepFirstByte], latest(steps, session.StepLastByte),
		latest(steps, session.StepWritten)
	line := fmt.Sprintf("  received %s of %s (multicast %s, unicast %s)", units.Bytes(p.Received),
		units.Bytes(p.Needed), units.Bytes(p.Multicast), units.Bytes(p.Unicast))
	if !first.Time.IsZero() && !last.Time.IsZero() {
		line += ", " + units.Speed(p.Received, last.Time.Sub(first.Time))
	}
	line += fmt.Sprintf("; written %s of %s", units.Bytes(p.Written), units.Bytes(p.ToWrite))
	if !first.Time.IsZero() && !written.Time.IsZero() {
		line += ", " + units.Speed(p.Written, written.Time.Sub(first.Time))
	}
	if p.Loss > 0 {
		line += fmt.Sprintf("; loss %.2f %%", 100*p.Loss)
	}
	if p.Rejected > 0 {
		line += fmt.Sprintf("; %d packets rejected", p.Rejected)
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
