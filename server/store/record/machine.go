package record

import (
	"time"

	"github.com/diskcast/diskcast/server/fleet"
)

// Keys of machines.
const (
	MachineSeq    = "meta/machine-seq" // number of the last machine
	MachinePrefix = "machine/"         // + machine: Machine
)

// Machine is a computer that the operator owns.
type Machine struct {
	ID     string            `json:"id"`
	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Notes  string            `json:"notes,omitempty"`
	Boots  []string          `json:"boots,omitempty"` // MACs of the NICs that it booted from
	Boards []DMI             `json:"boards,omitempty"`
	NICs   []string          `json:"nics,omitempty"` // MACs that its last sighting told of
	Nodes  []string          `json:"nodes,omitempty"`
	Made   time.Time         `json:"made"`
	Seen   time.Time         `json:"seen,omitzero"`

	Profile  string    `json:"profile,omitempty"`
	WhenIdle string    `json:"when_idle,omitempty"`
	Approval *Approval `json:"approval,omitempty"`
	Refused  bool      `json:"refused,omitempty"`  // its approval was taken away
	Declared bool      `json:"declared,omitempty"` // entered before it was seen
	Revision uint64    `json:"revision,omitempty"`
}

// Approval is what a machine was known by when the operator approved it.
type Approval struct {
	At    time.Time `json:"at"`
	MACs  []string  `json:"macs,omitempty"`
	Board DMI       `json:"board,omitzero"`
}

// OfMachine is the record of a machine.
func OfMachine(m *fleet.Machine) *Machine {
	return &Machine{ID: m.ID, Name: m.Name, Labels: m.Labels, Notes: m.Notes, Boots: m.Boots, NICs: m.NICs,
		Nodes: m.Nodes, Made: m.Made, Seen: m.Seen,
		Boards:  each(m.Boards, func(b fleet.Board) DMI { return DMI(b) }),
		Profile: m.Profile, WhenIdle: m.WhenIdle, Refused: m.Refused, Declared: m.Declared, Revision: m.Revision,
		Approval: to(m.Approval, func(a fleet.Approval) Approval { return Approval{a.At, a.MACs, DMI(a.Board)} })}
}

// Machine is the machine that the record is of.
func (r *Machine) Machine() *fleet.Machine {
	return &fleet.Machine{ID: r.ID, Name: r.Name, Labels: r.Labels, Notes: r.Notes, Boots: r.Boots, NICs: r.NICs,
		Nodes: r.Nodes, Made: r.Made,
		Seen: r.Seen, Boards: each(r.Boards, func(d DMI) fleet.Board { return fleet.Board(d) }),
		Profile: r.Profile, WhenIdle: r.WhenIdle, Refused: r.Refused, Declared: r.Declared, Revision: r.Revision,
		Approval: to(r.Approval, func(a Approval) fleet.Approval {
			return fleet.Approval{At: a.At, MACs: a.MACs, Board: fleet.Board(a.Board)}
		})}
}
