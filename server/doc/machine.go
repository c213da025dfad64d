package doc

import (
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// Machine is a computer that the operator owns: GET /v1/machines/{machine}. Name, labels and notes are the operator's;
// the rest was seen.
type Machine struct {
	ID     string            `json:"id"` // m1, m2, ...: never given twice
	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Notes  string            `json:"notes,omitempty"`
	// Profile is what it becomes where a session does not say.
	Profile string `json:"profile,omitempty"`
	// WhenIdle is what was entered of what it boots when nothing is asked of it; Idle is what holds, and by whose word.
	WhenIdle string `json:"when_idle,omitempty"`
	Idle     string `json:"idle"`
	// OwnDisk is why its own disk is not started, or slowly; empty where there is nothing to say.
	OwnDisk  string `json:"own_disk,omitempty"`
	Approved bool   `json:"approved"`           // sessions may take it, as it was seen last
	Approval string `json:"approval,omitempty"` // whose word that is, or why it is not approved
	// ByHand is what the operator said of it: true, it is approved; false, its approval was taken away; or nothing.
	ByHand   *bool    `json:"by_hand,omitempty"`
	Declared bool     `json:"declared,omitempty"` // it was entered before it came
	Revision uint64   `json:"revision,omitempty"` // grows with each change of what was entered
	Boots    []string `json:"boots"`              // MACs of the NICs that it booted from
	Boards   []Board  `json:"boards,omitempty"`   // oldest first
	Nodes    []string `json:"nodes"`              // sightings of it, the latest last
	Where    string   `json:"where,omitempty"`    // its latest node's
	// Switch and Port are where the NIC that it booted from last is plugged in, by the word of the switch.
	Switch string    `json:"switch,omitempty"`
	Port   string    `json:"port,omitempty"`
	Relay  string    `json:"relay,omitempty"` // Node.Relay of its latest node
	Made   time.Time `json:"made"`
	Seen   time.Time `json:"seen,omitzero"` // its last word: the latest last_seen of its nodes
	// Waits is the one thing that it waits for, with the command that ends that; empty when it waits for nothing.
	Waits string `json:"waits,omitempty"`
	// Warnings are what the operator should know of how it is told from other machines.
	Warnings []string `json:"warnings,omitempty"`
}

// Board is the identity that a maker gave a board. What makers write in place of one is not there.
type Board struct {
	UUID   string `json:"uuid,omitempty"`
	Serial string `json:"serial,omitempty"`
}

// MachineChange is what an operator enters: PATCH /v1/machines/{machine}. What is not there stays as it is.
type MachineChange struct {
	V      int                `json:"v"`
	Name   *string            `json:"name,omitempty"`   // empty takes it away
	Notes  *string            `json:"notes,omitempty"`  // empty takes them away
	Labels map[string]*string `json:"labels,omitempty"` // null takes the label away
	// Profile is the name of one; empty takes it away.
	Profile *string `json:"profile,omitempty"`
	// WhenIdle is one of IdleWords.
	WhenIdle *string `json:"when_idle,omitempty"`
	// Revision is the one that the machine must have; 0: any.
	Revision uint64 `json:"revision,omitempty"`
}

// MachineMerge makes one machine of two: POST /v1/machines/{machine}/merge. From goes.
type MachineMerge struct {
	V    int    `json:"v"`
	From string `json:"from"`
}

// MachineSplit makes a sighting a machine of its own: POST /v1/machines/{machine}/split.
type MachineSplit struct {
	V    int    `json:"v"`
	Node string `json:"node"`
}

// NodeLook is what a node saw of its network when it was asked: POST /v1/nodes/{node}/look. The times are the server's.
type NodeLook struct {
	Node     string             `json:"node"`
	Asked    time.Time          `json:"asked"`
	Answered time.Time          `json:"answered"`
	Look     session.LookResult `json:"look"`
}
