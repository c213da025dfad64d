package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	day  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	pcA  = Board{"4c4c4544-0000-2010-8020-00000000000a", "SN-A"}
	pcB  = Board{"4c4c4544-0000-2010-8020-00000000000b", "SN-B"}
	pcC  = Board{"4c4c4544-0000-2010-8020-00000000000c", "SN-C"}
	none = Board{}
)

const dock = "52:54:00:00:00:dd"

// mac is the nth NIC of a machine.
func mac(machine, n int) string { return fmt.Sprintf("52:54:00:00:%02x:%02x", machine, n) }

// sight is a sighting that boots from the first of the NICs.
func sight(b Board, macs ...string) Sighting {
	return Sighting{Node: strings.ReplaceAll(macs[0], ":", "-"), Boot: macs[0], MACs: macs, Board: b}
}

// TestWeigh has a rule a row. before is said in order, each by the next machine of the fleet; then one more comes.
func TestWeigh(t *testing.T) {
	a1, a2, b1, b2, c1 := mac(1, 1), mac(1, 2), mac(2, 1), mac(2, 2), mac(3, 1)
	onlyUUID := Board{UUID: pcA.UUID}
	for _, c := range []struct {
		name   string
		before []Sighting
		awake  bool // the agents of those before run
		now    Sighting
		is     string
		rule   Rule
		words  string // that the verdict has; empty: none at all
	}{
		{"nobody was here", nil, false, sight(pcA, a1), "", Newcomer, ""},
		{"as before", []Sighting{sight(pcA, a1)}, false, sight(pcA, a1), "m1", Known, ""},
		{"as before, without an identity", []Sighting{sight(none, a1)}, false, sight(none, a1), "m1", Known, ""},
		{"another machine", []Sighting{sight(pcA, a1)}, true, sight(pcB, b1), "", Newcomer, ""},
		{"another machine, both without an identity", []Sighting{sight(none, a1)}, true, sight(none, b1), "", Newcomer,
			""},
		{"lists another's NIC as its second one", []Sighting{sight(pcA, a1)}, true, sight(pcB, b1, a1), "", Newcomer,
			""},
		{"a card is added", []Sighting{sight(none, a1)}, false, sight(none, a1, a2), "m1", Known, ""},
		{"a card is taken out", []Sighting{sight(none, a1, a2)}, false, sight(none, a1), "m1", Known, ""},

		{"the card was changed", []Sighting{sight(pcA, a1)}, false, sight(pcA, a2), "m1", Card,
			"from which it was not seen to boot"},
		{"it boots from its other NIC", []Sighting{sight(pcA, a1, a2)}, false, sight(pcA, a2, a1), "m1", Card,
			"another port"},
		{"its other NIC, and half an identity", []Sighting{sight(onlyUUID, a1, a2)}, false, sight(onlyUUID, a2, a1),
			"m1", Second, ""},
		{"another's second NIC, without an identity", []Sighting{sight(none, a1, b1)}, false, sight(none, b1), "",
			Newcomer, ""},
		{"another's second NIC, another identity", []Sighting{sight(pcA, a1, b1)}, false, sight(pcB, b1), "", Newcomer,
			""},
		{"half an identity and no NIC", []Sighting{sight(onlyUUID, a1)}, false, sight(onlyUUID, b1), "", Alike,
			"machine merge 52-54-00-00-02-01 m1"},

		{"the board was changed", []Sighting{sight(pcA, a1, a2)}, false, sight(pcB, a1, a2), "m1", Rebuilt,
			"its board was changed"},
		{"the serial was set anew", []Sighting{sight(pcA, a1)}, false, sight(Board{pcA.UUID, "NEW"}, a1), "m1",
			Serviced, "firmware was set anew"},
		{"the UUID was set anew", []Sighting{sight(pcA, a1)}, false, sight(Board{pcB.UUID, pcA.Serial}, a1), "m1",
			Serviced, "firmware was set anew"},
		{"the serial came with an update", []Sighting{sight(onlyUUID, a1)}, false, sight(pcA, a1), "m1", Known, ""},
		{"the identity is gone", []Sighting{sight(pcA, a1)}, false, sight(none, a1), "m1", Known, ""},

		{"a dock goes to a new machine", []Sighting{sight(pcA, dock, a1)}, false, sight(pcB, dock, b1), "", Dock,
			"machine merge 52-54-00-00-00-dd m1"},
		{"a USB NIC goes to a new machine that has no other", []Sighting{sight(pcA, dock)}, false, sight(pcB, dock), "",
			Dock, "never did"},
		{"a dock goes to a machine that is known", []Sighting{sight(pcA, dock, a1), sight(pcB, b1)}, false,
			sight(pcB, dock, b1), "m2", Moved, "which of them"},
		{"a dock between two without identity", []Sighting{sight(none, dock, a1)}, false, sight(none, dock, b1), "",
			Dock, "none of that machine's other NICs"},
		{"a dock from one with to one without", []Sighting{sight(pcA, dock, a1)}, false, sight(none, dock, b1), "",
			Dock, "none of that machine's other NICs"},
		{"a dock from one without to one that is known", []Sighting{sight(none, dock, a1), sight(pcB, b1)}, false,
			sight(pcB, dock, b1), "m2", Moved, "which of them"},
		{"a shared dock, back", []Sighting{sight(pcA, dock, a1), sight(pcB, dock, b1)}, false, sight(pcA, dock, a1),
			"m1", Shared, ""},
		{"a shared dock, the same again", []Sighting{sight(pcA, dock, a1), sight(pcB, dock, b1)}, false,
			sight(pcB, dock, b1), "m2", Shared, ""},
		{"a shared dock, a third", []Sighting{sight(pcA, dock), sight(pcB, dock)}, false, sight(pcC, dock), "",
			Newcomer, "is none of them"},
		{"a shared dock, one that is known elsewhere", []Sighting{sight(pcA, dock), sight(pcB, dock), sight(pcC, c1)},
			false, sight(pcC, dock, c1), "m3", Shared, ""},
		{"a shared dock, half an identity", []Sighting{sight(onlyUUID, dock, a1), sight(pcB, dock, b1)}, false,
			sight(onlyUUID, dock), "m1", Shared, ""},
		{"a shared dock, no identity, its own NIC", []Sighting{sight(none, dock, a1), sight(none, dock, b1)}, false,
			sight(none, dock, b1), "m2", Shared, ""},
		{"a shared dock, nothing else", []Sighting{sight(none, dock, a1), sight(none, dock, b1)}, false,
			sight(none, dock), "", Untold, "neither UUID, serial nor another NIC"},
		{"a shared dock, a third without identity", []Sighting{sight(pcA, dock, a1), sight(pcB, dock, b1)}, false,
			sight(none, dock, c1), "", Newcomer, "is none of them"},

		{"one UUID on all boards", []Sighting{sight(Board{pcA.UUID, "1"}, a1)}, true, sight(Board{pcA.UUID, "2"}, b1),
			"", Alike, "taken for a machine of its own"},
		{"one UUID on all boards, the third",
			[]Sighting{sight(Board{pcA.UUID, "1"}, a1), sight(Board{pcA.UUID, "2"}, b1)}, true,
			sight(Board{pcA.UUID, "3"}, c1), "", Alike, ""},
		{"one UUID on all boards, no serial", []Sighting{sight(onlyUUID, a1)}, true, sight(onlyUUID, b1), "", Alike,
			"counts no more"},
		{"one UUID on all boards, each known by its NIC", []Sighting{sight(onlyUUID, a1), sight(onlyUUID, b1)}, true,
			sight(onlyUUID, b1), "m2", Known, ""},
		{"one UUID on all boards, the second NIC says nothing then",
			[]Sighting{sight(onlyUUID, a1, a2), sight(onlyUUID, b1)}, false,
			sight(onlyUUID, a2), "", Alike, ""},
		{"one serial on all boards", []Sighting{sight(Board{pcA.UUID, "1"}, a1)}, true, sight(Board{pcB.UUID, "1"}, b1),
			"", Alike, "counts no more"},
		{"two boards with one identity, both run", []Sighting{sight(pcA, a1)}, true, sight(pcA, b1), "", Twin,
			"gave two boards one identity"},
		{"two boards with one identity, each known by its NIC", []Sighting{sight(pcA, a1), sight(pcA, b1)}, true,
			sight(pcA, b1), "m2", Known, ""},
		{"a third of those", []Sighting{sight(pcA, a1), sight(pcA, b1)}, false, sight(pcA, b2), "", Alike, ""},
		{"a twin in another's dock", []Sighting{sight(pcA, a1), sight(pcB, dock)}, true, sight(pcA, dock), "", Twin,
			"agent runs elsewhere"},
		{"a twin in a shared dock", []Sighting{sight(pcA, a1), sight(pcB, dock), sight(pcC, dock)}, true,
			sight(pcA, dock), "", Twin, "agent runs elsewhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := New(0, nil)
			for i, s := range c.before {
				s.Awake = func(string) bool { return true } // so that each is a machine of its own
				f.Sight(s, day)
				if f.Seq() != uint64(i+1) {
					t.Fatalf("what came before made %d machines of %d", f.Seq(), i+1)
				}
			}
			f.Settle()
			c.now.Awake = func(string) bool { return c.awake }
			v := f.Weigh(c.now)
			if v.Machine != c.is || v.Rule != c.rule || (v.Words == "") != (c.words == "") ||
				!strings.Contains(v.Words, c.words) {
				t.Errorf("got %+v, want %q by rule %s with words %q", v, c.is, c.rule, c.words)
			}
			if l := f.Changes(); len(l) > 0 {
				t.Errorf("weighing changed %v", l)
			}
			// What is decided once holds: the same sighting again is the same machine, and makes none.
			first := f.Sight(c.now, day)
			seq := f.Seq()
			for range 3 {
				again := f.Sight(c.now, day)
				if f.Seq() != seq || (again.Machine != first.Machine && again.Rule != Untold) {
					t.Errorf("said again it is %+v, was %+v", again, first)
				}
			}
		})
	}
}

// TestSharedFromThenOn follows a dock between two machines: what it was seen on is known to both, and neither is taken
// for the other.
func TestSharedFromThenOn(t *testing.T) {
	f := New(0, nil)
	a, b := sight(pcA, dock, mac(1, 1)), sight(pcB, dock, mac(2, 1))
	for i, s := range []Sighting{a, b, a, b, b, a} {
		v := f.Sight(s, day.Add(time.Duration(i)*time.Hour))
		if want := map[Board]string{pcA: "m1", pcB: "m2"}[s.Board]; v.Machine != want || f.Of(s.Node).ID != want {
			t.Fatalf("sighting %d is of %s, and the node of %s; want %s", i, v.Machine, f.Of(s.Node).ID, want)
		}
	}
	for id, with := range map[string]string{"m1": "m2", "m2": "m1"} {
		if w := f.Warnings(f.Get(id)); len(w) != 1 || !strings.Contains(w[0], "shares the NIC "+dock) ||
			!strings.Contains(w[0], "with "+with) {
			t.Errorf("%s: %q", id, w)
		}
	}
	if m := f.Get("m2"); len(m.Nodes) != 0 {
		t.Errorf("the node is of both: %+v", m)
	}
	// With a NIC of its own it is the same machine.
	if v := f.Sight(sight(pcB, mac(2, 1)), day); v.Machine != "m2" || v.Rule != Card {
		t.Errorf("by its own NIC: %+v", v)
	}
}

// TestAlikeWords: machines of one UUID all say so.
func TestAlikeWords(t *testing.T) {
	f := New(0, nil)
	for i := range 3 {
		f.Sight(sight(Board{pcA.UUID, fmt.Sprintf("SN-%d", i)}, mac(i, 1)), day)
	}
	for _, m := range f.All() {
		if w := f.Warnings(m); len(w) != 1 || !strings.Contains(w[0], "the maker gave it to several") ||
			!strings.Contains(w[0], pcA.UUID) {
			t.Errorf("%s: %q", m.ID, w)
		}
	}
}

// TestNoMerge says hello in a thousand ways from a few NICs and boards: no machine ever loses to another what it is
// known by.
func TestNoMerge(t *testing.T) {
	f := New(0, nil)
	real := f.Sight(sight(pcA, mac(1, 1), mac(1, 2)), day).Machine
	name := "lab-01"
	if err := f.Edit(real, Change{Name: &name}); err != nil {
		t.Fatal(err)
	}
	boards := []Board{pcA, pcB, pcC, none, {UUID: pcA.UUID}, {Serial: pcA.Serial}, {pcA.UUID, "x"},
		{pcB.UUID, pcA.Serial}}
	macs := []string{mac(1, 1), mac(1, 2), mac(2, 1), mac(3, 1), dock}
	for i := range 4000 {
		n := i * 7919
		nics := []string{macs[n%5], macs[n/5%5], macs[n/25%5]}
		s := sight(boards[n/125%len(boards)], nics...)
		s.Awake = func(string) bool { return n/1000%2 == 0 }
		f.Sight(s, day.Add(time.Duration(i)*time.Second))
	}
	m := f.Find(name)
	if m == nil || m.ID != real || !slices.Contains(m.Boots, mac(1, 1)) || !slices.Contains(m.Boards, pcA) {
		t.Errorf("the machine that was there: %+v", m)
	}
	if len(m.Boots) > maxBoots || len(m.Boards) > maxBoards || len(m.NICs) > maxNICs {
		t.Errorf("it grew without bounds: %+v", m)
	}
	nodes := map[string]bool{}
	for _, m := range f.All() {
		for _, n := range m.Nodes {
			if nodes[n] {
				t.Errorf("node %s is of two machines", n)
			}
			nodes[n] = true
		}
	}
}
