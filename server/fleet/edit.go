package fleet

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/diskcast/diskcast/internal/plain"
)

// Bounds of what the operator enters.
const (
	maxLabels = 64
	maxValue  = 255
	maxNotes  = 4096
)

var word = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
})

// NameRule says what a name of a machine, a label, a group or a profile may be.
const NameRule = "has letters, digits, dots, dashes and underscores, begins with a letter and ends with a letter or " +
	"digit, 63 at most"

// MayBeName reports whether the word could be a machine's name or id.
func MayBeName(s string) bool { return word().MatchString(s) }

// Change is what the operator enters; nil leaves as it is.
type Change struct {
	Name   *string            // empty takes it away
	Notes  *string            // empty takes them away
	Labels map[string]*string // nil takes the label away
	// Profile is the name of a profile; empty takes it away.
	Profile *string
	// WhenIdle is a word that the caller has checked; empty: the default.
	WhenIdle *string
	// Revision is the one that the machine must have; 0: any.
	Revision uint64
}

// Edit enters a change. It is refused as a whole or done as a whole.
func (f *Fleet) Edit(id string, c Change) error {
	m := f.machines[id]
	if m == nil {
		return fmt.Errorf("there is no machine %q", id)
	}
	if c.Revision != 0 && c.Revision != m.Revision {
		return fmt.Errorf("machine %s was changed meanwhile: it is at revision %d, and the change is of %d; look at "+
			"it again (`diskcast machine show %s`)", m.Title(), m.Revision, c.Revision, m.Title())
	}
	was := m
	m = m.clone()
	if c.Profile != nil {
		m.Profile = *c.Profile
	}
	if c.WhenIdle != nil {
		m.WhenIdle = *c.WhenIdle
	}
	if c.Name != nil {
		if err := f.mayName(m, *c.Name); err != nil {
			return err
		}
		m.Name = *c.Name
	}
	if c.Notes != nil {
		if err := notesOK(*c.Notes); err != nil {
			return err
		}
		m.Notes = *c.Notes
	}
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		v := c.Labels[k]
		switch {
		case !word().MatchString(k):
			return fmt.Errorf("label %q: a label "+NameRule, k)
		case v == nil:
			delete(m.Labels, k)
			continue
		case len(*v) > maxValue || plain.Line(*v, 0) != *v:
			return fmt.Errorf("the value of label %q is longer than %d bytes, or has characters that cannot be printed",
				k, maxValue)
		case strings.TrimSpace(*v) != *v:
			return fmt.Errorf("the value of label %q begins or ends with a blank, which no selector could name and "+
				"nobody sees: leave the blank out", k)
		}
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		m.Labels[k] = norm.NFC.String(*v) // one form of what looks the same
	}
	if len(m.Labels) > maxLabels {
		return fmt.Errorf("machine %s would have %d labels, and %d are the most", m.Title(), len(m.Labels), maxLabels)
	}
	if m.differs(was) {
		m.Revision++
		f.put(m)
	}
	return nil
}

// differs reports whether what was entered of the machine is not the same.
func (m *Machine) differs(o *Machine) bool {
	return m.Name != o.Name || m.Notes != o.Notes || m.Profile != o.Profile ||
		m.WhenIdle != o.WhenIdle || !maps.Equal(m.Labels, o.Labels)
}

func notesOK(s string) error {
	for line := range strings.SplitSeq(s, "\n") {
		if plain.Line(line, 0) != line {
			return errors.New("notes have characters that cannot be printed")
		}
	}
	if len(s) > maxNotes {
		return fmt.Errorf("notes are longer than %d bytes", maxNotes)
	}
	return nil
}

// mayName refuses names that could mean something else.
func (f *Fleet) mayName(m *Machine, name string) error {
	_, macErr := net.ParseMAC(name)
	switch other := f.machines[f.byName[strings.ToLower(name)]]; {
	case name == "":
		return nil
	case !word().MatchString(name):
		return fmt.Errorf("name %q: a name "+NameRule, name)
	case Number(strings.ToLower(name)) > 0 || strings.EqualFold(name, "m0"):
		return fmt.Errorf("name %q could be a machine's id", name)
	case macErr == nil:
		return fmt.Errorf("name %q is a MAC address, and could mean a NIC", name)
	case strings.EqualFold(name, "all"):
		return errors.New("name \"all\" means all machines")
	case other != nil && other.ID != m.ID:
		return fmt.Errorf("machine %s is called %s already", other.ID, other.Name)
	}
	return nil
}

// Merge makes one machine of two: into has what from was known by, and all that the operator entered of either.
func (f *Fleet) Merge(from, into string) error {
	a, b := f.machines[from], f.machines[into]
	switch {
	case a == nil || b == nil:
		return fmt.Errorf("there is no machine %q", map[bool]string{true: from, false: into}[a == nil])
	case a.ID == b.ID:
		return fmt.Errorf("%s and %s are the same machine", from, into)
	}
	m := b.clone()
	var notes []string
	if m.Notes != "" {
		notes = append(notes, m.Notes)
	}
	if a.Notes != "" {
		notes = append(notes, a.Notes)
	}
	if m.Name == "" {
		m.Name = a.Name
	} else if a.Name != "" {
		notes = append(notes, "It was called "+a.Name+" too.")
	}
	for _, k := range slices.Sorted(maps.Keys(a.Labels)) {
		v := a.Labels[k]
		if m.Labels == nil {
			m.Labels = map[string]string{}
		}
		if was, both := m.Labels[k]; !both {
			m.Labels[k] = v
		} else if was != v {
			notes = append(notes, fmt.Sprintf("Its label %s was %s too.", k, v))
		}
	}
	if m.Profile == "" {
		m.Profile = a.Profile
	} else if a.Profile != "" && a.Profile != m.Profile {
		notes = append(notes, "Its profile was "+a.Profile+" too.")
	}
	if m.WhenIdle == "" {
		m.WhenIdle = a.WhenIdle
	} else if a.WhenIdle != "" && a.WhenIdle != m.WhenIdle {
		notes = append(notes, "When idle, it was "+a.WhenIdle+" too.")
	}
	m.Refused, m.Declared = m.Refused || a.Refused, m.Declared || a.Declared
	m.Revision++
	m.Notes = strings.Join(notes, "\n")
	if len(m.Notes) > maxNotes || len(m.Labels) > maxLabels {
		return fmt.Errorf("notes or labels of %s and %s together are more than a machine can have: shorten them first",
			a.Title(), b.Title())
	}
	for _, mac := range a.Boots {
		m.Boots = latest(m.Boots, mac, maxBoots)
	}
	for _, board := range a.Boards {
		m.Boards = withBoard(m.Boards, board)
	}
	m.Nodes = append(m.Nodes, a.Nodes...)
	if a.Seen.After(m.Seen) {
		m.Seen, m.NICs = a.Seen, slices.Clone(a.NICs)
	}
	if a.Made.Before(m.Made) {
		m.Made = a.Made
	}
	f.drop(a.ID)
	f.put(m)
	return nil
}

// Split makes the sighting, and what it says, a new machine's, and returns that one's id. What the operator entered
// stays with the old one.
func (f *Fleet) Split(id string, s Sighting, now time.Time) (string, error) {
	m := f.machines[id]
	switch {
	case m == nil:
		return "", fmt.Errorf("there is no machine %q", id)
	case f.byNode[s.Node] != id:
		return "", fmt.Errorf("node %s is no sighting of machine %s", s.Node, m.Title())
	case len(m.Nodes) == 1 && len(m.Boots) == 1 && len(m.Boards) <= 1:
		return "", fmt.Errorf("node %s is all that is known of machine %s: there is nothing to split", s.Node,
			m.Title())
	}
	m = m.clone()
	m.Nodes = slices.DeleteFunc(m.Nodes, func(n string) bool { return n == s.Node })
	if len(m.Boots) > 1 {
		m.Boots = slices.DeleteFunc(m.Boots, func(mac string) bool { return mac == s.Boot })
	}
	if len(m.Boards) > 1 {
		m.Boards = slices.DeleteFunc(m.Boards, func(b Board) bool { return b == s.Board })
	}
	m.NICs = slices.DeleteFunc(m.NICs, func(mac string) bool { return slices.Contains(s.MACs, mac) })
	f.put(m)
	other := f.make(now)
	f.attach(other, s, now)
	return other, nil
}

// Remove forgets a machine and all that was entered of it. One that a node is of comes again with the node's next
// hello, as a new one.
func (f *Fleet) Remove(id string) error {
	if f.machines[id] == nil {
		return fmt.Errorf("there is no machine %q", id)
	}
	f.drop(id)
	return nil
}

// Warnings are what the operator should know of how the machine is told from others.
func (f *Fleet) Warnings(m *Machine) []string {
	var out []string
	others := func(ids set) string {
		var names []string
		for _, id := range ids.sorted() {
			if id != m.ID {
				names = append(names, f.machines[id].Title())
			}
		}
		return list(names)
	}
	for _, mac := range m.Boots {
		if with := others(f.byBoot[mac]); with != "" {
			out = append(out, fmt.Sprintf("it shares the NIC %s, a dock or a USB NIC, with %s: that NIC says no more "+
				"which machine it is", mac, with))
		}
	}
	for _, b := range m.Boards {
		for _, x := range []struct {
			what, v string
			index   map[string]set
		}{{"UUID", b.UUID, f.byUUID}, {"serial", b.Serial, f.bySerial}} {
			if with := others(x.index[x.v]); with != "" {
				out = append(out, fmt.Sprintf("its %s %s is that of %s too: the maker gave it to several, and it "+
					"alone says no more which machine "+
					"it is", x.what, x.v, with))
			}
		}
	}
	if n := len(m.Boards); n > 1 {
		out = append(out, fmt.Sprintf("it was seen with %d boards, the last two with %s and %s", n, m.Boards[n-2],
			m.Boards[n-1]))
	}
	return out
}
