package jobs

import (
	"time"

	"github.com/diskcast/diskcast/server/doc"
)

// Node is what sessions have to do with a node.
type Node struct {
	ID string
	Assignment
	Facts
}

// Assignment is what sessions have made of a node; it is stored with the node's record.
type Assignment struct {
	Session string // that it works for
	Last    string // the last one that it had a part in
	Imaged  bool   // its next network boot goes to its own disk
	Claim   *Claim
}

// Claim is the end of a part that a boot of the node told, and that does not count yet. Boot is empty when it told all
// but the last step.
type Claim struct {
	Session string `json:"session"`
	Boot    string `json:"boot"`
}

// Step is a step that a node has reached.
type Step struct {
	Name string
	doc.Mark
}

// Facts are what the shell knows of a node. It tells them by Seen before the step that may need them.
type Facts struct {
	Here     bool      // its agent runs
	Boot     string    // id of its present boot
	Heard    time.Time // its last word
	Rival    time.Time // when another boot of it was last heard; zero: there is none
	Loading  bool      // it fetches its boot files
	Booted   bool      // it fetched a kernel from this server
	Worked   bool      // it reported a step of a session
	Firmware string    // session.BIOS or UEFI
	// Doubt is why it may be another machine than the one of its name; Odd is all that is odd about it.
	Doubt string
	Odd   []string
	Trace []Step // of its present boot before those of a session
	// Unapproved is why no session may take it; empty when one may.
	Unapproved string
}
