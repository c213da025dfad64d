package machines

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/kmod"
	"github.com/diskcast/diskcast/internal/plain"
	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/mkimage/modules"
)

// Choice is which modules and firmware machines need.
type Choice struct {
	Machines []Machine `json:"machines"`
	Taken    []Taken   `json:"taken"`
	LeftOut  []LeftOut `json:"left_out"`
	// Undriven are devices that have no driver then.
	Undriven []Undriven `json:"undriven,omitempty"`
	// Firmware are the files that machines asked for and that no module of this kernel names.
	Firmware []string `json:"-"`
	// Asked are those that machines asked for and the modules, or none of them, name: they are missed when they are not
	// there. Values are the machines.
	Asked map[string][]string `json:"-"`

	Modules []*kmod.Module `json:"-"`
}

// Taken is a module that is taken, and why.
type Taken struct {
	Module   string   `json:"module"`
	Machines []string `json:"machines,omitempty"` // whose hardware asks for it
	Why      string   `json:"why,omitempty"`      // else: each node needs it, --modules names it, a module needs it
}

// LeftOut is a module, or a file of firmware, that is not taken.
type LeftOut struct {
	Module   string   `json:"module,omitempty"`
	Firmware string   `json:"firmware,omitempty"`
	Why      string   `json:"why"`
	Machines []string `json:"machines,omitempty"` // that would have used it
}

// Undriven is a device of a machine that has no driver among the modules.
type Undriven struct {
	Machine string         `json:"machine"`
	Device  session.Device `json:"device"`
	Why     string         `json:"why"`
}

// Why a module is taken or not.
const (
	everyNode   = "every node needs it"
	byName      = "--modules names it"
	dependency  = "another module needs it"
	nobodyAsks  = "no machine asks for it"
	notAFile    = "it is no name of a firmware file"
	notSelected = "it is not among --modules: putting an operating system on a machine needs none of its kind"
)

// Choose picks from the modules that a selection stands for those that the machines ask for, with what every node
// needs. A module that the selection names itself is taken.
func Choose(tree *modules.Tree, selection []string, list []Machine) (*Choice, error) {
	c := &Choice{Machines: list, Asked: map[string][]string{}}
	candidates, why := map[*kmod.Module]bool{}, map[*kmod.Module]string{}
	for _, word := range selection {
		found, err := tree.Expand(word)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			candidates[m] = true
			switch {
			case !modules.IsGroup(word):
				why[m] = byName
			case modules.EveryNode(m):
				why[m] = everyNode
			}
		}
	}
	asks := whoAsks(tree.Index, list)
	roots := []string{}
	for m := range candidates {
		if why[m] != "" || len(asks[m]) > 0 {
			roots = append(roots, m.Name)
		}
	}
	slices.Sort(roots)
	var err error
	if c.Modules, err = tree.Choose(roots); err != nil {
		return nil, err
	}
	chosen := map[*kmod.Module]bool{}
	for _, m := range c.Modules {
		chosen[m] = true
		t := Taken{Module: m.Name, Machines: names(list, asks[m]), Why: why[m]}
		if t.Why == "" && len(t.Machines) == 0 {
			t.Why = dependency
		}
		c.Taken = append(c.Taken, t)
	}
	for _, m := range tree.Index.Modules() {
		switch {
		case chosen[m]:
		case len(asks[m]) > 0:
			c.LeftOut = append(c.LeftOut, LeftOut{Module: m.Name, Why: notSelected, Machines: names(list, asks[m])})
		case candidates[m]:
			c.LeftOut = append(c.LeftOut, LeftOut{Module: m.Name, Why: nobodyAsks})
		}
	}
	c.undriven(tree.Index, chosen)
	c.firmware(tree.Index, chosen)
	return c, nil
}

// whoAsks finds for each module the machines, by number, that ask for it: by a device's alias, or since its driver had
// the device before.
func whoAsks(x *kmod.Index, list []Machine) map[*kmod.Module][]int {
	asks, known := map[*kmod.Module][]int{}, map[string][]*kmod.Module{}
	for i := range list {
		for _, d := range list[i].Hardware.Devices {
			for _, m := range drivers(x, &d, known) {
				if a := asks[m]; len(a) == 0 || a[len(a)-1] != i {
					asks[m] = append(a, i)
				}
			}
		}
	}
	return asks
}

// drivers are the modules for a device; known are answers that were found before.
func drivers(x *kmod.Index, d *session.Device, known map[string][]*kmod.Module) []*kmod.Module {
	found, ok := known[d.Alias]
	if !ok && d.Alias != "" {
		found = x.Resolve(d.Alias)
		known[d.Alias] = found
	}
	if m, ok := x.Module(d.Module); ok && d.Module != "" && !slices.Contains(found, m) {
		found = append(slices.Clip(found), m)
	}
	return found
}

func names(list []Machine, numbers []int) []string {
	var out []string
	for _, i := range numbers {
		out = append(out, list[i].Name)
	}
	return out
}

// undriven finds what a node needs and nothing that is taken drives: controllers of disks, network cards, and whatever
// had a driver of a module before.
func (c *Choice) undriven(x *kmod.Index, chosen map[*kmod.Module]bool) {
	known := map[string][]*kmod.Module{}
	for i := range c.Machines {
		for _, d := range c.Machines[i].Hardware.Devices {
			found := drivers(x, &d, known)
			if slices.ContainsFunc(found, func(m *kmod.Module) bool { return chosen[m] }) {
				continue
			}
			why := ""
			switch wanted := d.Controls(); {
			case d.Module != "" && x.Builtin(d.Module), d.Driver != "" && x.Builtin(d.Driver):
			case wanted && len(found) > 0:
				why = found[0].Name + " drives it, which is not among --modules"
			case len(found) > 0:
			case wanted && d.Driver != "" && d.Module == "":
				why = "the kernel that it ran had " + d.Driver + " built in, and this one names no driver for it"
			case wanted || d.Module != "":
				why = "no module of this kernel drives it"
			}
			if why != "" {
				c.Undriven = append(c.Undriven, Undriven{c.Machines[i].Name, d, why})
			}
		}
	}
}

// firmware sorts the files that machines asked for by who names them: what is taken, what is not, nobody.
func (c *Choice) firmware(x *kmod.Index, chosen map[*kmod.Module]bool) {
	asked := map[string][]string{}
	for i := range c.Machines {
		for _, f := range c.Machines[i].Hardware.Firmware {
			asked[f] = append(asked[f], c.Machines[i].Name)
		}
	}
	all := x.Modules()
	files := []string{}
	for f := range asked {
		files = append(files, f)
	}
	slices.Sort(files)
	for _, f := range files {
		// A pattern would stand for more than the file that was asked for.
		if !fs.ValidPath(f) || strings.ContainsAny(f, `*?[\`) {
			c.LeftOut = append(c.LeftOut, LeftOut{Firmware: f, Machines: asked[f], Why: notAFile})
			continue
		}
		var other *kmod.Module
		taken := false
		for _, m := range all {
			if !slices.ContainsFunc(m.Firmware, func(pattern string) bool { return matches(pattern, f) }) {
				continue
			}
			if taken = chosen[m]; taken {
				break
			}
			other = m
		}
		if !taken && other != nil {
			c.LeftOut = append(c.LeftOut, LeftOut{Firmware: f, Machines: asked[f],
				Why: fmt.Sprintf("it is for %s, which is not taken", other.Name)})
			continue
		}
		c.Asked[f] = asked[f]
		if !taken {
			c.Firmware = append(c.Firmware, f)
		}
	}
}

func matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return pattern == name || err == nil && ok
}

// Words is the choice in lines, for people.
func (c *Choice) Words() []string {
	by := map[string][]string{}
	for _, t := range c.Taken {
		if len(t.Machines) > 0 {
			by[""] = append(by[""], t.Module)
		} else {
			by[t.Why] = append(by[t.Why], t.Module)
		}
	}
	lines := []string{fmt.Sprintf("for %s: %d modules for their hardware (%s); %d that every node needs; %d that "+
		"others need", c.who(), len(by[""]), Few(by[""]), len(by[everyNode])+len(by[byName]), len(by[dependency]))}
	nobody, other, noFiles := 0, []string{}, []string{}
	for _, l := range c.LeftOut {
		switch {
		case l.Why == nobodyAsks:
			nobody++
		case l.Why == notAFile:
			noFiles = append(noFiles, plain.Line(l.Firmware, maxName))
		case l.Firmware != "":
			other = append(other, l.Firmware)
		default:
			other = append(other, l.Module)
		}
	}
	lines = append(lines, fmt.Sprintf("left out of --modules: %d modules that no machine asks for; --json names them",
		nobody))
	if len(other) > 0 {
		lines = append(lines, fmt.Sprintf("left out, though the machines have hardware for it: %s: not among "+
			"--modules, and of no use for putting an operating system on a machine", Few(other)))
	}
	if len(noFiles) > 0 {
		lines = append(lines, fmt.Sprintf("left out, since it is no name of a firmware file, though the inventory "+
			"says that machines asked for it: %s", Few(noFiles)))
	}
	return lines
}

func (c *Choice) who() string {
	if len(c.Machines) == 1 {
		return strings.TrimSpace(c.Machines[0].Name + " " + c.Machines[0].Product)
	}
	return fmt.Sprintf("%d machines", len(c.Machines))
}

// Notes are what the operator should know before machines start from it.
func (c *Choice) Notes() []string {
	var notes []string
	for _, u := range c.Undriven[:min(len(c.Undriven), shown)] {
		notes = append(notes, fmt.Sprintf("%s: %s: %s", u.Machine, deviceWords(&u.Device), u.Why))
	}
	if more := len(c.Undriven) - shown; more > 0 {
		notes = append(notes, fmt.Sprintf("%d devices more have no driver; --json names them", more))
	}
	for _, m := range c.Machines {
		if m.Hardware.More > 0 {
			notes = append(notes, fmt.Sprintf("%s has %d devices more than it could tell; controllers of disks and "+
				"network cards come first in what it tells", m.Name, m.Hardware.More))
		}
	}
	return notes
}

func deviceWords(d *session.Device) string {
	what := "device"
	if d.Controls() {
		what = "disk controller or network card"
	}
	id := d.Alias
	if rest, ok := strings.CutPrefix(d.Alias, "pci:v0000"); ok && len(rest) > 13 {
		id = "PCI " + strings.ToLower(rest[:4]+":"+rest[9:13])
	}
	if d.Driver != "" {
		id = strings.TrimSpace(id + ", driven by " + d.Driver + " when it was seen")
	}
	return what + " " + id
}
