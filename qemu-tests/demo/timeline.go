package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/qemu-tests/site"
	"github.com/diskcast/diskcast/server/doc"
)

// shown are the steps that are told when they happen, and their names for a person.
var shown = []struct{ step, name string }{
	{doc.StepDHCP, "DHCP"},
	{doc.StepKernel, "kernel"},
	{session.StepAgent, "agent"},
	{session.StepFirstByte, "first byte"},
	{session.StepLastByte, "last byte"},
	{session.StepWritten, "written"},
	{session.StepBoot, "kexec"},
}

// tellSteps prints the steps that were not yet told.
func (d *demo) tellSteps(v site.View, told map[string]bool) {
	for _, n := range d.nodes {
		steps := v.Parts[n.ID].Steps
		for _, s := range shown {
			mark, ok := steps[s.step]
			if !ok || told[n.ID+s.step] {
				continue
			}
			told[n.ID+s.step] = true
			text := fmt.Sprintf("%s: %s", n.Name(), s.name)
			if mark.Message != "" {
				text += " (" + mark.Message + ")"
			}
			d.say("%s", text)
		}
	}
}

// progress is the live part of the screen: one line a node, and one for the server.
func (d *demo) progress(v site.View) []string {
	var lines []string
	for _, n := range d.nodes {
		p, ok := v.Parts[n.ID]
		if !ok || p.Progress == nil || p.Progress.Needed == 0 {
			continue
		}
		q := p.Progress
		lines = append(lines, fmt.Sprintf("  %-8s %s received %s of %s, on disk %s, loss %.1f %%%s", n.Name(),
			bar(q.Received, q.Needed),
			size(q.Received), size(q.Needed), size(q.Written), 100*q.Loss, byHTTP(q)))
	}
	if c := v.Session.Cast; c != nil && len(lines) > 0 {
		lines = append(lines, fmt.Sprintf("  server   %s to %s at %.0f Mbit/s, %s of it repair", size(c.Stats.Sent),
			c.Group, c.Stats.Rate/1e6, size(c.Stats.Repair)))
	}
	return lines
}

func byHTTP(q *session.Progress) string {
	if q.Unicast == 0 {
		return ""
	}
	return ", by HTTP " + size(q.Unicast)
}

func bar(done, total int64) string {
	const width = 24
	n := int(min(max(done*width/max(total, 1), 0), width))
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}

// timeline prints when each node reached each step, in seconds since its power came on, with bytes and rates.
func (d *demo) timeline(v site.View, logins map[string]time.Time) {
	d.out.line("")
	head := fmt.Sprintf("  %-22s", "seconds since power on")
	for _, n := range d.nodes {
		head += fmt.Sprintf("%12s", n.Name())
	}
	d.out.line(head)
	row := func(name string, cell func(*site.Node) string) {
		line := fmt.Sprintf("  %-22s", name)
		for _, n := range d.nodes {
			line += fmt.Sprintf("%12s", cell(n))
		}
		d.out.line(line)
	}
	row("power on", func(*site.Node) string { return "0.0" })
	for _, s := range shown {
		row(s.name, func(n *site.Node) string {
			mark, ok := v.Parts[n.ID].Steps[s.step]
			if !ok {
				return "-"
			}
			return fmt.Sprintf("%.1f", mark.Time.Sub(n.SwitchedOn()).Seconds())
		})
	}
	row("login", func(n *site.Node) string { return fmt.Sprintf("%.1f", logins[n.ID].Sub(n.SwitchedOn()).Seconds()) })
	d.out.line("")
	progress := func(f func(*session.Progress) string) func(*site.Node) string {
		return func(n *site.Node) string {
			if q := v.Parts[n.ID].Progress; q != nil {
				return f(q)
			}
			return "-"
		}
	}
	row("received by multicast", progress(func(q *session.Progress) string { return size(q.Multicast) }))
	row("received by HTTP", progress(func(q *session.Progress) string { return size(q.Unicast) }))
	row("written to disk", progress(func(q *session.Progress) string { return size(q.Written) }))
	row("packets lost", progress(func(q *session.Progress) string { return fmt.Sprintf("%.1f %%", 100*q.Loss) }))
	row("disk rate", func(n *site.Node) string {
		p := v.Parts[n.ID]
		took := p.Steps[session.StepWritten].Time.Sub(p.Steps[session.StepFirstByte].Time).Seconds()
		if p.Progress == nil || took <= 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f MB/s", float64(p.Progress.Written)/1e6/took)
	})
	if c := v.Session.Cast; c != nil {
		object := v.Session.Image.ObjectSize
		d.out.line(fmt.Sprintf("\n  the server sent %s for an image of %s to %d nodes: %.2f times the image",
			size(c.Stats.Sent), size(object), len(d.nodes),
			float64(c.Stats.Sent)/float64(max(object, 1))))
	}
	d.out.line("")
}

// size is a number of bytes for a person.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	default:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	}
}
