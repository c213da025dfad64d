package engine

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/diskrule"
	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
	"github.com/diskcast/diskcast/server/jobs"
)

// planMachine says what the session would do to one machine.
func (e *Engine) planMachine(p *plan, id string) doc.PlanMachine {
	m := doc.PlanMachine{Node: id}
	if f := e.machineFor(id); f != nil {
		m.Machine, m.Name = f.ID, f.Name
	}
	part := p.s.Parts[id]
	if part == nil {
		part = &doc.Part{Node: id, State: doc.Waiting, Unbootable: e.foreseen(p.s, e.nodes[id])}
	}
	if part.Identity != "" {
		m.Warnings = append(m.Warnings, part.Identity)
	}
	n := e.nodes[id]
	strange := ""
	if n != nil {
		strange = e.impostor(n)
	}
	if strange != "" { // what is known of the node is of another
		m.Warnings, n = append(m.Warnings, strange), nil
	}
	if n == nil || n.Boot == "" {
		m.Boot.Words = "nothing is known of its firmware"
		m.Waits = e.partWaits(p.s, part)
		if !e.seenEver(id) {
			m.Verdict, m.Waits = doc.PlanUnknown, ""
			m.Refused = append(m.Refused, e.unknownWords(p, id))
		}
		p.switched(&m)
		return m
	}
	m.Where, m.Seen, m.Surveyed = e.whereabouts(n), n.LastSeen, n.Surveyed
	m.Old = m.Where != doc.Ready
	if words := e.waitWords(n); words != "" {
		m.Refused = append(m.Refused, words)
	} else {
		m.Waits = e.partWaits(p.s, part)
		if m.Where == doc.Ready && e.current(n) == nil {
			m.Waits = ""
		}
	}
	p.switched(&m)
	facts := e.facts(n)
	if why := p.s.Kind.Refuse(&facts); why != "" {
		m.Refused = append(m.Refused, why)
	}
	e.planOwn(p, n, &m)
	if n.Inventory.Problem != "" {
		m.Warnings = append(m.Warnings, n.Inventory.Problem)
	}
	m.Boot = bootPlan(p, n)
	m.Boot.Unbootable = part.Unbootable
	e.planDisks(p, n, &m)
	return m
}

// switched says of a machine that is waited for that the session would switch it.
func (p *plan) switched(m *doc.PlanMachine) {
	if p.s.Spec.Power != "" && m.Waits != "" {
		m.Waits += fmt.Sprintf("; the session would switch it (power %s), unless it works for another one",
			p.s.Spec.Power)
	}
}

func (e *Engine) unknownWords(p *plan, id string) string {
	words := "this server never saw a machine of this address, and none was written down: is it right?"
	if near := nearest.Within(id, e.knownBut(p.s), macSlip, 3); len(near) > 0 {
		words += " Nearly the same is: " + e.firstNames(near) + "."
	}
	return words + " A session would wait for it"
}

// planOwn tries the machine's personalization.
func (e *Engine) planOwn(p *plan, n *node, m *doc.PlanMachine) {
	if p.own == nil {
		return
	}
	if n.Odd[oddDMI] != "" {
		m.Refused = append(m.Refused, "nothing secret is handed to a node that may be another machine than is meant: "+
			n.Odd[oddDMI])
	}
	d, err := resolve(p.own, e.values("s0", n.ID))
	if err == nil && p.taken != nil {
		err = p.taken.take(n.ID, &d.Things, true)
	}
	if err != nil {
		m.Refused = append(m.Refused, "its personalization: "+err.Error())
	}
}

// planDisks finds the disks, and what is known of each.
func (e *Engine) planDisks(p *plan, n *node, m *doc.PlanMachine) {
	e.planDisk(p, n, m)
	chosen := []*session.Disk{m.Disk}
	for i, one := range p.more {
		x := doc.PlanMachine{Old: m.Old}
		e.planDisk(one, n, &x)
		of := fmt.Sprintf("disk %d: ", i+2)
		for _, words := range x.Refused {
			m.Refused = append(m.Refused, of+words)
		}
		for _, words := range x.Warnings {
			m.Warnings = append(m.Warnings, of+words)
		}
		for j, d := range chosen {
			if d != nil && x.Disk != nil && d.Path == x.Disk.Path {
				m.Refused = append(m.Refused, fmt.Sprintf("the rules for disk %d and disk %d both mean %s, which "+
					"gets one image "+
					"only: say more in the rules", j+1, i+2, diskrule.Describe(*d)))
			}
		}
		chosen = append(chosen, x.Disk)
		m.MoreDisks = append(m.MoreDisks, x.PlanDisk)
	}
}

// planDisk finds a disk, and what is known of it.
func (e *Engine) planDisk(p *plan, n *node, m *doc.PlanMachine) {
	disks := slices.Clone(n.Inventory.Disks)
	if p.s.Kind.Upload("u", &p.s.Spec) != nil {
		for i := range disks {
			disks[i].ReadOnly = false // enough for reading
		}
	}
	chosen, err := chooseNow(disks, p.s.Spec.Target)
	if err != nil {
		m.Refused = append(m.Refused, oneLine(err.Error()))
		return
	}
	m.Disk = &chosen
	e.planHistory(&chosen, n, m)
	if c := n.Inventory.Survey.Of(&chosen); c != nil {
		seen := *c
		m.Content = &seen
		if c.Used != "" && !m.Old {
			m.Refused = append(m.Refused, fmt.Sprintf("%s is in use on the node (%s): unmount it there, or choose "+
				"another disk", chosen.Path, c.Used))
		}
	}
	if p.job != nil {
		planTarget(p.job.PartitionBy, m)
	}
	planBytes(p, m)
}

// oneLine makes one line of words with a list.
func oneLine(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, ":\n  ", ": "), "\n  ", "; ")
}

// chooseNow is diskrule.Choose, for disks of another machine than this one: a path is compared as it is written.
func chooseNow(disks []session.Disk, rule session.Target) (session.Disk, error) {
	if rule.Path == "" {
		return diskrule.Choose(disks, rule)
	}
	var names []string
	for i := range disks {
		d := &disks[i]
		names = append(names, d.Path)
		if d.Path != filepath.Clean(rule.Path) {
			continue
		}
		if !diskrule.Fits(*d, rule) {
			return *d, fmt.Errorf("%s does not fit the rest of the rule (%s)", diskrule.Describe(*d),
				diskrule.Rule(rule))
		}
		return *d, nil
	}
	return session.Disk{}, fmt.Errorf("no disk of this node is called %s now; it has: %s", rule.Path,
		strings.Join(names, ", "))
}

// planHistory says what sessions did to the disk: the last one that had a plan for it counts.
func (e *Engine) planHistory(d *session.Disk, n *node, m *doc.PlanMachine) {
	for s, part := range e.writers(n.ID) {
		if part.Planned.IsZero() {
			continue
		}
		of := -1
		for i := range s.Disks() {
			if id := jobs.DiskOf(part, i); id != nil && id.Is(d) {
				of = i
			}
		}
		if of < 0 {
			continue
		}
		whole := s.Kind.Traits().Action == session.Restore || s.Kind.Traits().Several
		switch written, ok := part.Steps[jobs.StepOf(of, session.StepWritten)]; {
		case ok && part.State == doc.Done && whole:
			im := s.ImageOf(of)
			m.Last = &doc.PlanLast{Session: s.ID, Image: im.Name, Manifest: im.Manifest, Time: written.Time}
		case part.State != doc.Done:
			m.Warnings = append(m.Warnings, fmt.Sprintf("session %s (%s) had a plan for this disk, and its part is "+
				"%s: what is on it may be half of something", s.ID, s.State, part.State))
		}
		if part.Planned.After(n.Surveyed) && !n.Surveyed.IsZero() {
			m.Since = "session " + s.ID + " wrote to it after that"
		}
		break
	}
	if m.Since == "" && n.Where == doc.Left && !n.Surveyed.IsZero() {
		m.Since = "the machine has started its own disk after that"
	}
}

// planTarget finds the partition that is meant, as far as the node told of its disk.
func planTarget(by session.PartitionBy, m *doc.PlanMachine) {
	c := m.Content
	switch {
	case c == nil || c.Problem != "" || c.More > 0 && c.Partition(by) == nil:
		m.Warnings = append(m.Warnings, "the node has not told of all partitions of the disk: whether it has "+
			"partition "+by.String()+" is seen when it begins")
	case c.Doubt != "" || c.Table == "none":
		m.Refused = append(m.Refused,
			strings.TrimSpace("the disk has no partition table that can be believed. "+c.Doubt))
	case c.Partition(by) == nil:
		var has []string
		for _, x := range c.Partitions {
			has = append(has, strings.TrimSpace(fmt.Sprintf("%d %s", x.Number, x.Name)))
		}
		m.Refused = append(m.Refused, fmt.Sprintf("the disk does not have one partition %s; it has: %s", by,
			strings.Join(has, ", ")))
	default:
		t := *c.Partition(by)
		m.Target = &t
	}
}
