// Package fleet is which machines an operator has, apart from what was seen of them on the network. A Machine has an id
// that is no MAC address, and what the operator entered: a name, labels, notes. A Sighting is what a node says of
// itself at its hello; Weigh tells whose it is.
//
// Nothing here waits, reads a clock or stores: the engine calls it under its lock, and stores the machines that Changes
// names.
package fleet

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/diskcast/diskcast/internal/session"
)

// Bounds of what is kept of a machine, and of how many there are, in all and on one NIC, that nobody entered anything
// of and no node is of now.
const (
	maxBoots  = 16
	maxBoards = 8
	maxNICs   = 32
	maxLoose  = 4096
	maxShare  = 256
)

// Board is the identity that a maker gave a board; what is no identity (session.Filler) is empty.
type Board struct{ UUID, Serial string }

// BoardOf takes out of what firmware says what makers write in place of an identity.
func BoardOf(uuid, serial string) Board {
	b := Board{UUID: strings.ToLower(strings.TrimSpace(uuid)), Serial: strings.TrimSpace(serial)}
	if session.Filler(b.UUID) {
		b.UUID = ""
	}
	if session.Filler(b.Serial) {
		b.Serial = ""
	}
	return b
}

// Machine is a computer that the operator owns.
type Machine struct {
	ID string
	// What the operator entered.
	Name   string
	Labels map[string]string
	Notes  string
	// Profile is the name of what it becomes where a session does not say.
	Profile string
	// WhenIdle is a word of what it boots when nothing is asked of it; empty: the default.
	WhenIdle string
	Approval *Approval // nil: nobody has approved it by hand
	Refused  bool      // the operator took its approval away, and no rule gives it back
	Declared bool      // it was entered before it was seen
	Revision uint64    // grows with each change of what was entered
	// What it is known by.
	Boots  []string // MACs of the NICs that it booted from
	Boards []Board  // oldest first; more than one when its board was changed
	NICs   []string // MACs of all NICs that its last sighting told of, which is its own word only
	Nodes  []string // sightings of it, the latest last
	Made   time.Time
	Seen   time.Time // last sighting
}

// Entered reports whether the operator has entered anything of the machine.
func (m *Machine) Entered() bool {
	return m.Name != "" || len(m.Labels) > 0 || m.Notes != "" || m.Profile != "" || m.WhenIdle != "" ||
		m.Approval != nil || m.Refused || m.Declared
}

// Title is what to call the machine to the operator.
func (m *Machine) Title() string {
	if m.Name != "" {
		return m.Name
	}
	return m.ID
}

func (m *Machine) clone() *Machine {
	c := *m
	c.Labels = maps.Clone(m.Labels)
	c.Boots, c.Boards, c.NICs, c.Nodes = slices.Clone(m.Boots), slices.Clone(m.Boards), slices.Clone(m.NICs),
		slices.Clone(m.Nodes)
	return &c
}

// Fleet is all machines.
type Fleet struct {
	machines map[string]*Machine
	seq      uint64 // number of the last machine
	byBoot   map[string]set
	byUUID   map[string]set
	bySerial map[string]set
	byName   map[string]string
	byNode   map[string]string
	loose    int                 // machines of which nothing was entered and that no node is of
	before   map[string]*Machine // what changed was before: see Changes
}

// New makes a fleet of machines that were stored; seq is the number of the last one ever made.
func New(seq uint64, stored []*Machine) *Fleet {
	f := &Fleet{machines: map[string]*Machine{}, seq: seq, byBoot: map[string]set{}, byUUID: map[string]set{},
		bySerial: map[string]set{},
		byName:   map[string]string{}, byNode: map[string]string{}, before: map[string]*Machine{}}
	for _, m := range stored {
		for k, v := range m.Labels {
			m.Labels[k] = norm.NFC.String(v) // entered before labels had one form
		}
		f.put(m)
		f.seq = max(f.seq, Number(m.ID))
	}
	f.Settle()
	return f
}

// Number is the number in a machine's id: machines are m1, m2, ...; 0 for what is no such id.
func Number(id string) uint64 {
	digits, ok := strings.CutPrefix(id, "m")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || strconv.FormatUint(n, 10) != digits {
		return 0
	}
	return n
}

// Seq is the number of the last machine that was made.
func (f *Fleet) Seq() uint64 { return f.seq }

// Changes returns the ids of machines that came, changed or went since Settle or Revert. Get tells which are there.
func (f *Fleet) Changes() []string { return slices.Sorted(maps.Keys(f.before)) }

// Settle is told that the changes are stored, or will be.
func (f *Fleet) Settle() { f.before = map[string]*Machine{} }

// Revert undoes the changes.
func (f *Fleet) Revert() {
	was := f.before
	for id := range was {
		f.drop(id)
	}
	for _, m := range was {
		if m != nil {
			f.put(m)
		}
	}
	f.Settle()
}

func (f *Fleet) note(id string) {
	if _, noted := f.before[id]; !noted {
		f.before[id] = f.machines[id]
	}
}

// Get returns a machine by id, nil when there is none. Callers do not change it.
func (f *Fleet) Get(id string) *Machine { return f.machines[id] }

// Of returns the machine that the node is a sighting of, nil for none.
func (f *Fleet) Of(node string) *Machine { return f.machines[f.byNode[node]] }

// Find returns a machine by id or name, nil when there is none.
func (f *Fleet) Find(word string) *Machine {
	if m := f.machines[word]; m != nil {
		return m
	}
	return f.machines[f.byName[strings.ToLower(word)]]
}

// Booted returns the machines that have booted from the NIC, by id.
func (f *Fleet) Booted(mac string) []*Machine {
	var out []*Machine
	for _, id := range f.byBoot[mac].sorted() {
		out = append(out, f.machines[id])
	}
	return out
}

// All returns all machines, in the order of their numbers.
func (f *Fleet) All() []*Machine {
	return slices.SortedFunc(maps.Values(f.machines),
		func(a, b *Machine) int { return int(Number(a.ID)) - int(Number(b.ID)) })
}

// put makes m what the fleet knows of the machine.
func (f *Fleet) put(m *Machine) {
	f.note(m.ID)
	f.drop(m.ID)
	f.machines[m.ID] = m
	for _, mac := range m.Boots {
		add(f.byBoot, mac, m.ID)
	}
	for _, b := range m.Boards {
		add(f.byUUID, b.UUID, m.ID)
		add(f.bySerial, b.Serial, m.ID)
	}
	if m.Name != "" {
		f.byName[strings.ToLower(m.Name)] = m.ID
	}
	for _, n := range m.Nodes {
		f.byNode[n] = m.ID
	}
	if f.isLoose(m) {
		f.loose++
	}
}

// drop takes a machine out of the fleet.
func (f *Fleet) drop(id string) {
	m := f.machines[id]
	if m == nil {
		return
	}
	for _, mac := range m.Boots {
		remove(f.byBoot, mac, id)
	}
	for _, b := range m.Boards {
		remove(f.byUUID, b.UUID, id)
		remove(f.bySerial, b.Serial, id)
	}
	if m.Name != "" {
		delete(f.byName, strings.ToLower(m.Name))
	}
	for _, n := range m.Nodes {
		delete(f.byNode, n)
	}
	if f.isLoose(m) {
		f.loose--
	}
	f.note(id)
	delete(f.machines, id)
}

func (f *Fleet) isLoose(m *Machine) bool { return !m.Entered() && len(m.Nodes) == 0 }
