package doc

import (
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// Plan is what a session of a spec would do to each machine, as far as the server knows now: POST /v1/sessions/plan.
// Nothing is made or moved.
type Plan struct {
	Made   time.Time      `json:"made"`
	Action string         `json:"action"`
	Image  *session.Image `json:"image,omitempty"`
	Rule   string         `json:"rule"` // which disk, in words
	// MoreDisks are the further images, and the rules for their disks.
	MoreDisks []PlanImage `json:"more_disks,omitempty"`
	Then      string      `json:"then,omitempty"`
	On        string      `json:"on,omitempty"`
	Profile   string      `json:"profile,omitempty"`
	// ProfileRevision is which of the profile's revisions was taken.
	ProfileRevision uint64 `json:"profile_revision,omitempty"`
	// Refused says why no session is made of the spec, whatever the machines.
	Refused  []string      `json:"refused,omitempty"`
	Warnings []string      `json:"warnings,omitempty"`
	Notes    []string      `json:"notes,omitempty"` // of the image
	Machines []PlanMachine `json:"machines"`
}

// PlanImage is what goes to one of the further disks of each machine.
type PlanImage struct {
	Image session.Image `json:"image"`
	Rule  string        `json:"rule"`
}

// Verdicts of a plan on a machine.
const (
	PlanGoes    = "goes"    // it would begin at once
	PlanWaits   = "waits"   // nothing is in the way but that it is not there, or works for another session
	PlanRefused = "refused" // it would not be written to; PlanMachine.Refused says why
	PlanUnknown = "unknown" // this server knows of no such machine
)

// PlanMachine is what a session would do to one machine.
type PlanMachine struct {
	Node    string `json:"node"`
	Machine string `json:"machine,omitempty"`
	Name    string `json:"name,omitempty"`
	Verdict string `json:"verdict"`
	// Refused says why it would not be written to; Waits what it would wait for first.
	Refused  []string  `json:"refused,omitempty"`
	Waits    string    `json:"waits,omitempty"`
	Warnings []string  `json:"warnings,omitempty"`
	Where    string    `json:"where,omitempty"`
	Seen     time.Time `json:"seen,omitzero"` // its last word
	// Old says that the disks are those of its last word, which is longer ago than an agent that is there is silent.
	Old      bool      `json:"old,omitempty"`
	Surveyed time.Time `json:"surveyed,omitzero"`
	PlanDisk
	// MoreDisks are those of Plan.MoreDisks on this machine, in that order.
	MoreDisks []PlanDisk `json:"more_disks,omitempty"`
	Boot      PlanBoot   `json:"boot"`
}

// PlanDisk is what a session would do to one disk of a machine. Disk is what the rule chooses; Content what is on it by
// the node's own word, as it was at PlanMachine.Surveyed. Since says what may have changed it after that.
type PlanDisk struct {
	Disk    *session.Disk             `json:"disk,omitempty"`
	Content *session.Content          `json:"content,omitempty"`
	Since   string                    `json:"since,omitempty"`
	Last    *PlanLast                 `json:"last,omitempty"`
	Target  *session.PartitionContent `json:"target,omitempty"` // the partition that is meant, of a session on one
	// Bytes is what the node receives at the most, or sends; Receives says what may be less, and why.
	Bytes    int64  `json:"bytes,omitempty"`
	Receives string `json:"receives,omitempty"`
	// Differs is what it receives if the disk is still as Last left it, and what is there is taken into account.
	Differs *int64 `json:"differs,omitempty"`
}

// PlanLast is what a session put on the disk last.
type PlanLast struct {
	Session  string    `json:"session"`
	Image    string    `json:"image"`
	Manifest string    `json:"manifest"`
	Time     time.Time `json:"time"`
}

// PlanBoot is how the machine comes up again.
type PlanBoot struct {
	Firmware   string `json:"firmware,omitempty"` // empty where it is not known
	SecureBoot bool   `json:"secure_boot,omitempty"`
	Words      string `json:"words"`
	// Unbootable says why it will not start the disk by itself, as far as image and firmware tell.
	Unbootable string `json:"unbootable,omitempty"`
}

// Counts is how many machines have each verdict.
func (p *Plan) Counts() map[string]int {
	n := map[string]int{}
	for i := range p.Machines {
		n[p.Machines[i].Verdict]++
	}
	return n
}

// Hopeless reports whether the session would do nothing: it is refused, or all of its machines are.
func (p *Plan) Hopeless() bool {
	n := p.Counts()
	return len(p.Refused) > 0 || len(p.Machines) > 0 && n[PlanGoes]+n[PlanWaits] == 0
}
