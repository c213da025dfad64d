package selector

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/diskcast/diskcast/internal/nearest"
	"github.com/diskcast/diskcast/server/fleet"
)

// Scope is among what a selector picks.
type Scope struct {
	Machines []*fleet.Machine
	Groups   map[string]string // selectors by name
	// Seen is what was seen of a machine, to be asked for as labels are: a label of that name comes first. May be nil.
	Seen func(*fleet.Machine) map[string]string
}

// picker is a scope, looked through once.
type picker struct {
	Scope
	names  map[string]*fleet.Machine // by id and by name in small letters
	labels map[string]bool
	groups map[string]Selector          // that were read
	seen   map[string]map[string]string // by machine
}

// Pick returns the machines that the selector fits, in the order of the scope. It is an error when one of its terms
// fits none, and when one names what is not there.
func (s Selector) Pick(sc Scope) ([]*fleet.Machine, error) {
	p := &picker{Scope: sc, names: map[string]*fleet.Machine{}, labels: map[string]bool{},
		groups: map[string]Selector{}, seen: map[string]map[string]string{}}
	for _, m := range sc.Machines {
		if sc.Seen != nil {
			p.seen[m.ID] = sc.Seen(m)
			for k := range p.seen[m.ID] {
				p.labels[k] = true
			}
		}
		p.names[m.ID] = m
		if m.Name != "" {
			p.names[strings.ToLower(m.Name)] = m
		}
		for k := range m.Labels {
			p.labels[k] = true
		}
	}
	picked := map[string]bool{}
	for _, t := range s {
		if err := p.check(t, nil); err != nil {
			return nil, err
		}
		n := 0
		for _, m := range sc.Machines {
			if p.fits(t, m) {
				picked[m.ID] = true
				n++
			}
		}
		if n == 0 {
			return nil, p.none(t)
		}
	}
	var out []*fleet.Machine
	for _, m := range sc.Machines {
		if picked[m.ID] {
			out = append(out, m)
		}
	}
	return out, nil
}

// Fits is the selector as somebody is held to it, rather than as somebody types it: what it names need not be there,
// and it may fit nothing. A term with a group that cannot be read fits nothing, also where the group is kept out.
func (s Selector) Fits(groups map[string]string,
	seen func(*fleet.Machine) map[string]string) func(*fleet.Machine) bool {
	p := &picker{Scope: Scope{Groups: groups}, groups: map[string]Selector{}, seen: map[string]map[string]string{}}
	var whole Selector
	for _, t := range s {
		if p.readable(t) {
			whole = append(whole, t)
		}
	}
	return func(m *fleet.Machine) bool {
		if m == nil {
			return false
		}
		if seen != nil {
			p.seen[m.ID] = seen(m)
		}
		return slices.ContainsFunc(whole, func(t term) bool { return p.fits(t, m) })
	}
}

// readable reports whether all groups that the term names, and those within them, are there.
func (p *picker) readable(t term) bool {
	for _, c := range t {
		if c.kind == group && p.read(c.key, nil) != nil {
			return false
		}
	}
	return true
}

// Check says what of the selector does not exist: a group, or a group within one. Machines may come later.
func (s Selector) Check(groups map[string]string) error {
	p := &picker{Scope: Scope{Groups: groups}, groups: map[string]Selector{}}
	for _, name := range s.Groups() {
		if err := p.read(name, nil); err != nil {
			return err
		}
	}
	return nil
}

// read reads a group and all groups within it.
func (p *picker) read(name string, within []string) error {
	if slices.Contains(within, name) {
		return fmt.Errorf("group @%s is made of itself: @%s", name, strings.Join(append(within, name), ", then @"))
	}
	if _, done := p.groups[name]; done {
		return nil
	}
	if len(within) >= maxDepth {
		return fmt.Errorf("groups are nested deeper than %d: @%s", maxDepth, strings.Join(within, ", then @"))
	}
	text, ok := p.Groups[name]
	if !ok {
		return fmt.Errorf("there is no group @%s%s (`diskcast group list`)", name,
			nearest.Hint("@"+name, p.groupNames()))
	}
	s, err := Parse(text)
	if err != nil {
		return fmt.Errorf("group @%s: %w", name, err)
	}
	within = append(slices.Clone(within), name)
	for _, g := range s.Groups() {
		if err := p.read(g, within); err != nil {
			return err
		}
	}
	p.groups[name] = s
	return nil
}

// check says what a term names that is not there. What is only kept out need not be there, unless it is nearly the name
// of something that is.
func (p *picker) check(t term, within []string) error {
	for _, c := range t {
		switch c.kind {
		case group:
			if err := p.read(c.key, within); err != nil {
				return err
			}
		case label:
			near := nearest.Of(c.key, p.labelNames(), 1)
			if !p.labels[c.key] && (!c.not || len(near) > 0) {
				return p.noLabel(c.key)
			}
		case nic:
			if err := p.checkNIC(c); err != nil {
				return err
			}
		case word:
			if err := p.checkWord(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *picker) checkWord(c cond) error {
	m, isLabel := p.names[strings.ToLower(c.key)], p.labels[c.key]
	known := append(p.machineNames(), p.labelNames()...)
	switch {
	case m != nil && isLabel:
		return fmt.Errorf("%q is the name of a machine and a label: write %s for the machine, or %s=* for the label",
			c.key,
			m.ID, c.key)
	case m == nil && !isLabel && (!c.not || len(nearest.Of(c.key, known, 1)) > 0):
		return fmt.Errorf("no machine is called %q, and none has such a label%s (`diskcast machine list`)", c.key,
			nearest.Hint(c.key, known))
	}
	return nil
}

func (p *picker) checkNIC(c cond) error {
	var has []string
	var all []string
	for _, m := range p.Machines {
		if slices.Contains(m.Boots, c.key) {
			has = append(has, m.Title())
		}
		all = append(all, m.Boots...)
	}
	switch {
	case len(has) > 1:
		return fmt.Errorf("the NIC %s is shared by the machines %s: name one of them", c.key, strings.Join(has, ", "))
	case len(has) == 0 && !c.not:
		return fmt.Errorf("no machine boots from the NIC %s%s (`diskcast machine list`; `diskcast machine import` "+
			"enters machines that have not come yet)", c.key, nearest.Hint(c.key, all))
	}
	return nil
}

func (p *picker) noLabel(key string) error {
	return fmt.Errorf("no machine has the label %q%s (`diskcast machine list` shows labels)", key,
		nearest.Hint(key, p.labelNames()))
}

func (p *picker) labelNames() []string { return slices.Sorted(maps.Keys(p.labels)) }

func (p *picker) machineNames() []string {
	var out []string
	for _, m := range p.Machines {
		if m.Name != "" {
			out = append(out, m.Name)
		}
	}
	return out
}

// label is the value of a machine's label, or of what was seen of it.
func (p *picker) label(m *fleet.Machine, key string) (string, bool) {
	if v, ok := m.Labels[key]; ok {
		return v, true
	}
	v, ok := p.seen[m.ID][key]
	return v, ok
}

func (p *picker) fits(t term, m *fleet.Machine) bool {
	for _, c := range t {
		if p.holds(c, m) == c.not {
			return false
		}
	}
	return true
}

// holds reports whether the condition, but for its not, holds of the machine.
func (p *picker) holds(c cond, m *fleet.Machine) bool {
	switch c.kind {
	case word:
		_, has := p.label(m, c.key)
		return has || strings.EqualFold(m.Name, c.key) || m.ID == strings.ToLower(c.key)
	case glob:
		return matches(c.key, strings.ToLower(m.Name)) || m.Name == "" && matches(c.key, m.ID)
	case nic:
		return slices.Contains(m.Boots, c.key)
	case label:
		v, has := p.label(m, c.key)
		return has && (v == c.value || matches(c.value, v))
	case group:
		return slices.ContainsFunc(p.groups[c.key], func(t term) bool { return p.fits(t, m) })
	}
	return false
}

// matches is path.Match, but that no character is a separator.
func matches(pattern, s string) bool {
	const other = "\x00"
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", other), strings.ReplaceAll(s, "/", other))
	return err == nil && ok
}

// none says why no machine fits the term: the first condition that nothing fits, with the nearest that would.
func (p *picker) none(t term) error {
	for _, c := range t {
		if slices.ContainsFunc(p.Machines, func(m *fleet.Machine) bool { return p.holds(c, m) != c.not }) {
			continue
		}
		switch {
		case len(p.Machines) == 0:
			return fmt.Errorf("there is no machine yet that %q could fit: machines come by network boot, or with "+
				"`diskcast machine import`", t)
		case c.kind == glob:
			return fmt.Errorf("no machine's name fits %q%s (`diskcast machine list`)", c,
				nearest.Hint(strings.NewReplacer("*", "", "?", "").Replace(c.key), p.machineNames()))
		case c.kind == label && !c.not:
			return fmt.Errorf("no machine has %s%s", c, p.nearValue(c))
		}
		return fmt.Errorf("no machine fits %q", c)
	}
	return fmt.Errorf("no machine fits all of %q: each part of it fits some (`diskcast machine list --select` shows "+
		"which)", t)
}

// nearValue asks whether another value of the label was meant.
func (p *picker) nearValue(c cond) string {
	values := map[string]bool{}
	for _, m := range p.Machines {
		if v, ok := p.label(m, c.key); ok {
			values[v] = true
		}
	}
	sorted := slices.Sorted(maps.Keys(values))
	if near := nearest.Of(c.value, sorted, 1); len(near) > 0 {
		return fmt.Sprintf(": did you mean %s=%s?", c.key, near[0])
	}
	return fmt.Sprintf(": its values are %s", strings.Join(sorted[:min(len(sorted), 5)], ", "))
}

func (p *picker) groupNames() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(p.Groups)) {
		out = append(out, "@"+name)
	}
	return out
}
