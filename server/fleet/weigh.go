package fleet

import (
	"fmt"
	"slices"
	"strings"
)

// Sighting is what a node says of itself at its hello. It is believed as far as that: whoever is on the LAN can say it.
type Sighting struct {
	Node string   // its id
	Boot string   // MAC of the NIC that it booted from
	MACs []string // of all its NICs
	Board
	// Awake reports whether the agent of another node was heard of late. nil: of none.
	Awake func(node string) bool
}

// Rule is why a sighting is of a machine.
type Rule string

// The rules. Those after Awaited make a new machine, but for Untold, which is of none.
const (
	Known    Rule = "known"    // it boots from the machine's NIC, and its board does not deny it
	Serviced Rule = "serviced" // it boots from the machine's NIC, and one of UUID and serial is another one
	// it boots from the machine's NIC and has another of its NICs, and the board is another one
	Rebuilt Rule = "rebuilt"
	Moved   Rule = "moved"  // it boots from another machine's NIC, and has the machine's board
	Card    Rule = "card"   // it boots from a NIC that no machine booted from before, and has the machine's board
	Shared  Rule = "shared" // it boots from a NIC that several machines have booted from, and has the machine's board
	// it boots from what the machine called its second NIC, and what is known of the board is the machine's
	Second Rule = "second"
	// it has the UUID, the serial or both that were entered of a machine that never came
	Awaited  Rule = "awaited"
	Newcomer Rule = "new" // nothing that is known fits
	// it boots from another machine's NIC, and its board or its other NICs deny that it is that one
	Dock Rule = "dock"
	// it has the board of a machine whose agent runs elsewhere: the maker gave two boards one identity
	Twin  Rule = "twin"
	Alike Rule = "alike" // its UUID or its serial is another machine's, and that is all
	// it boots from a NIC that several machines have booted from, and nothing else tells them apart
	Untold Rule = "untold"
)

// Verdict is whose a sighting is.
type Verdict struct {
	Machine string // its id; empty: of a new one, or with Untold of none
	Rule    Rule
	Words   string // for the operator; empty when there is nothing to wonder at
}

// likeness is how what a sighting says of its board agrees with a machine's.
type likeness int

const (
	denied  likeness = iota // what is known of both differs
	partly                  // one of UUID and serial is the same, the other differs
	unknown                 // nothing is known of both, or only what many have
	alike                   // all that is known of both is the same
)

// compare is the best likeness of a board with those of a machine. What several machines have says nothing for it, and
// still something against it.
func (f *Fleet) compare(m *Machine, b Board) likeness {
	best, first := denied, true
	for _, o := range m.Boards {
		same, differ := 0, 0
		for _, x := range []struct {
			mine, theirs string
			index        map[string]set
		}{{b.UUID, o.UUID, f.byUUID}, {b.Serial, o.Serial, f.bySerial}} {
			switch {
			case x.mine == "" || x.theirs == "":
			case x.mine != x.theirs:
				differ++
			case x.index[x.mine].size() == 1:
				same++
			}
		}
		l := unknown
		switch {
		case differ > 0 && same > 0:
			l = partly
		case differ > 0:
			l = denied
		case same > 0 || (b == o && b.UUID != "" && b.Serial != ""):
			l = alike
		}
		if first || l > best {
			best, first = l, false
		}
	}
	if first {
		return unknown
	}
	return best
}

// withBoard is the one machine that has a board of the same UUID and serial, both known; nil when there is none, or
// several.
func (f *Fleet) withBoard(b Board) *Machine {
	if b.UUID == "" || b.Serial == "" {
		return nil
	}
	var found *Machine
	for id := range f.byUUID[b.UUID].all() {
		if m := f.machines[id]; slices.Contains(m.Boards, b) {
			if found != nil {
				return nil
			}
			found = m
		}
	}
	return found
}

// Weigh tells which machine a sighting is of. It changes nothing, and never makes one of two machines: only the
// operator merges.
func (f *Fleet) Weigh(s Sighting) Verdict {
	owners := f.Booted(s.Boot)
	switch len(owners) {
	case 0:
		return f.weighBoard(s)
	case 1:
		return f.weighOwner(s, owners[0])
	}
	return f.weighShared(s, owners)
}

// weighOwner weighs a sighting that boots from the NIC of m and of no other machine.
func (f *Fleet) weighOwner(s Sighting, m *Machine) Verdict {
	like := f.compare(m, s.Board)
	if d := f.withBoard(s.Board); d != nil && d != m && like != alike {
		if f.awake(d, s) {
			return f.twin(s, d)
		}
		return Verdict{d.ID, Moved, fmt.Sprintf("machine %s boots from the NIC %s, from which machine %s has booted: "+
			"a dock or USB NIC that both use; from now on it does not say which of them it is", d.Title(), s.Boot,
			m.Title())}
	}
	common, estranged := f.nics(s, m)
	switch {
	case like == alike, like == unknown && !estranged:
		return Verdict{Machine: m.ID, Rule: Known}
	case like == partly:
		return Verdict{m.ID, Serviced,
			fmt.Sprintf("machine %s says %s now, and said %s: its firmware was set anew or its board repaired; "+
				"if it is another machine, `diskcast machine split %s %s`", m.Title(), s.Board, m.lastBoard(),
				m.Title(), s.Node)}
	case like == denied && common != "":
		return Verdict{m.ID, Rebuilt,
			fmt.Sprintf("machine %s says %s now, and said %s: its board was changed, for its NICs %s and %s are the "+
				"same; "+
				"if it is another machine, `diskcast machine split %s %s`", m.Title(), s.Board, m.lastBoard(), s.Boot,
				common, m.Title(), s.Node)}
	}
	why := fmt.Sprintf("says %s, which that machine never did", s.Board)
	if like == unknown {
		why = "has none of that machine's other NICs"
	}
	return Verdict{"", Dock,
		fmt.Sprintf("it boots from the NIC %s, from which machine %s has booted, and %s: a dock or USB NIC that both "+
			"use, "+
			"and a machine of its own; if it is %s with another board or other cards, `diskcast machine merge %s %s`",
			s.Boot, m.Title(), why, m.Title(), s.Node, m.Title())}
}

// weighShared weighs a sighting that boots from a NIC from which several machines have booted.
func (f *Fleet) weighShared(s Sighting, owners []*Machine) Verdict {
	if d := f.withBoard(s.Board); d != nil {
		if f.awake(d, s) {
			return f.twin(s, d)
		}
		return Verdict{Machine: d.ID, Rule: Shared}
	}
	var names []string
	var byBoard, byNIC, open []*Machine
	for _, m := range owners {
		names = append(names, m.Title())
		switch like := f.compare(m, s.Board); {
		case like == alike:
			byBoard = append(byBoard, m)
		case like == unknown:
			common, estranged := f.nics(s, m)
			if common != "" {
				byNIC = append(byNIC, m)
			}
			if !estranged {
				open = append(open, m)
			}
		}
	}
	who := list(names)
	switch {
	case len(byBoard) == 1:
		return Verdict{Machine: byBoard[0].ID, Rule: Shared}
	case len(byBoard) == 0 && len(byNIC) == 1:
		return Verdict{Machine: byNIC[0].ID, Rule: Shared}
	case len(byBoard) > 1 || len(open) > 0:
		return Verdict{"", Untold,
			fmt.Sprintf("it boots from the NIC %s, which machines %s share, and neither UUID, serial nor another NIC "+
				"tells "+
				"which of them it is: name the one you mean by a NIC of its own", s.Boot, who)}
	}
	return Verdict{"", Newcomer,
		fmt.Sprintf("it boots from the NIC %s, which machines %s share, says %s, and is none of them: "+
			"taken for a machine of its own", s.Boot, who, s.Board)}
}

// weighBoard weighs a sighting that boots from a NIC from which no machine has booted.
func (f *Fleet) weighBoard(s Sighting) Verdict {
	if d := f.withBoard(s.Board); d != nil {
		if f.awake(d, s) {
			return f.twin(s, d)
		}
		if len(d.Boots) == 0 {
			return Verdict{Machine: d.ID, Rule: Awaited}
		}
		return Verdict{d.ID, Card,
			fmt.Sprintf("machine %s boots from the NIC %s, from which it was not seen to boot: a card that was "+
				"changed, "+
				"another port, or a dock; if it is another machine, `diskcast machine split %s %s`", d.Title(), s.Boot,
				d.Title(), s.Node)}
	}
	var fit, similar, awaited []*Machine
	for _, id := range union(f.byUUID[s.UUID], f.bySerial[s.Serial]) {
		m := f.machines[id]
		similar = append(similar, m)
		if f.compare(m, s.Board) == alike && slices.Contains(m.NICs, s.Boot) && !f.awake(m, s) {
			fit = append(fit, m)
		}
		if len(m.Boots) == 0 && m.Seen.IsZero() && f.compare(m, s.Board) == alike {
			awaited = append(awaited, m)
		}
	}
	switch {
	case len(awaited) == 1 && len(similar) == 1:
		return Verdict{Machine: awaited[0].ID, Rule: Awaited}
	case len(fit) == 1:
		return Verdict{Machine: fit[0].ID, Rule: Second}
	case len(similar) > 1: // it is known by then that they are alike
		return Verdict{Rule: Alike}
	case len(similar) == 1:
		m := similar[0]
		return Verdict{"", Alike,
			fmt.Sprintf("it says %s, of which machine %s has said a part: it is taken for a machine of its own, and "+
				"what "+
				"both say counts no more; if it is %s with another NIC, `diskcast machine merge %s %s`", s.Board,
				m.Title(), m.Title(), s.Node, m.Title())}
	}
	return Verdict{Rule: Newcomer}
}

func (f *Fleet) twin(s Sighting, d *Machine) Verdict {
	return Verdict{"", Twin,
		fmt.Sprintf("it says %s, as machine %s does, whose agent runs elsewhere: the maker gave two boards one "+
			"identity, or somebody "+
			"speaks in that machine's name; it is taken for a machine of its own, and what both say counts no more",
			s.Board, d.Title())}
}

// awake reports whether the agent of another node of the machine runs.
func (f *Fleet) awake(m *Machine, s Sighting) bool {
	return s.Awake != nil && slices.ContainsFunc(m.Nodes, func(n string) bool { return n != s.Node && s.Awake(n) })
}

// nics compares the NICs of the sighting and of the machine, besides the one that it boots from and those that are
// known to be shared: common is one that both have, empty for none; estranged is that both have some, and none in
// common.
func (f *Fleet) nics(s Sighting, m *Machine) (common string, estranged bool) {
	mine, theirs := 0, 0
	for _, mac := range s.MACs {
		if mac == s.Boot || f.byBoot[mac].size() > 1 {
			continue
		}
		mine++
		if slices.Contains(m.Boots, mac) || slices.Contains(m.NICs, mac) {
			return mac, false
		}
	}
	for _, mac := range m.NICs {
		if mac != s.Boot && f.byBoot[mac].size() <= 1 {
			theirs++
		}
	}
	return "", mine > 0 && theirs > 0
}

func (m *Machine) lastBoard() string {
	if len(m.Boards) == 0 {
		return Board{}.String()
	}
	return m.Boards[len(m.Boards)-1].String()
}

func (b Board) String() string {
	return fmt.Sprintf("UUID %s, serial %s", orNone(b.UUID), orNone(b.Serial))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// list is the first of the names, and how many more.
func list(names []string) string {
	const most = 4
	if n := len(names) - most; n > 0 {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("%d more", n))
	}
	return strings.Join(names, ", ")
}
