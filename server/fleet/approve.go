package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Approval is the operator's word that sessions may take a machine, with what it was known by then. A node that speaks
// as the machine is approved as far as it is like that: a hello changes no approval.
type Approval struct {
	At    time.Time
	MACs  []string // of the NICs that it had booted from, or that were entered
	Board Board    // its last one; what was not known is empty
}

// Approve enters that sessions may take the machine, as it is known now.
func (f *Fleet) Approve(id string, now time.Time) error {
	m := f.machines[id]
	if m == nil {
		return fmt.Errorf("there is no machine %q", id)
	}
	m = m.clone()
	m.Approval, m.Refused = &Approval{At: now, MACs: slices.Clone(m.Boots)}, false
	if n := len(m.Boards); n > 0 {
		m.Approval.Board = m.Boards[n-1]
	}
	m.Revision++
	f.put(m)
	return nil
}

// Revoke takes the approval of the machine away, also that of rules.
func (f *Fleet) Revoke(id string) error {
	m := f.machines[id]
	if m == nil {
		return fmt.Errorf("there is no machine %q", id)
	}
	m = m.clone()
	m.Approval, m.Refused = nil, true
	m.Revision++
	f.put(m)
	return nil
}

// first is the approval of a machine that comes for the first time. What was entered of it holds; where nothing was
// entered of its board, the board that it comes with is the one that is approved from then on.
func (a *Approval) first(s Sighting) *Approval {
	if a.Board != (Board{}) || !slices.Contains(a.MACs, s.Boot) {
		return a
	}
	c := *a
	c.Board = s.Board
	return &c
}

// Unapproved says why a node that speaks as the machine, and boots from the NIC and has the board, is not approved by
// hand; empty when it is. What was known at the approval must be said again.
func (m *Machine) Unapproved(boot string, b Board) string {
	a := m.Approval
	switch {
	case m.Refused:
		return "its approval was taken away"
	case a == nil:
		return "it was not approved"
	}
	denied := a.Board.UUID != "" && a.Board.UUID != b.UUID || a.Board.Serial != "" && a.Board.Serial != b.Serial
	switch {
	case !denied && slices.Contains(a.MACs, boot):
		return ""
	case !denied && a.Board.UUID != "" && a.Board.Serial != "":
		return "" // another card in the same machine
	case !denied && len(a.MACs) == 0 && a.Board != (Board{}):
		return "" // of its board only was something entered
	}
	return fmt.Sprintf("it boots from the NIC %s and says %s, and what was approved boots from %s and has %s", boot, b,
		orNone(strings.Join(a.MACs, ", ")), a.Board)
}
