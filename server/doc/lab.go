package doc

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Lab is what an operator wrote down beside machines: GET /v1/lab. Lists are by name.
type Lab struct {
	Groups   []Group   `json:"groups"`
	Profiles []Profile `json:"profiles"`
	Rules    []Rule    `json:"rules"`
	Menus    []Menu    `json:"menus"`
	// Approve is which machines sessions may take: ApproveAll, ApproveRules or ApproveHand.
	Approve string `json:"approve"`
}

// Ways to approve machines.
const (
	ApproveAll   = "all"   // every machine is approved
	ApproveRules = "rules" // by hand, and those that a rule fits
	ApproveHand  = "hand"  // by hand only
)

// Kinds of what a lab is made of.
const (
	KindMachine = "machine"
	KindGroup   = "group"
	KindProfile = "profile"
	KindRule    = "rule"
	KindMenu    = "menu"
)

// Group is a selector that the server keeps under a name. Revision grows with each change; in a change it is the one
// that there must be, or 0 for any. Owner is the server that wrote it, and Changed when.
type Group struct {
	Name     string    `json:"name"`
	Select   string    `json:"select"`
	Revision uint64    `json:"revision,omitempty"`
	Owner    string    `json:"owner,omitempty"`
	Changed  time.Time `json:"changed,omitzero"`
}

// Profile is what machines of a sort become: a part of a Spec, with the same fields. Revision, Owner and Changed are as
// those of a Group.
type Profile struct {
	Name     string          `json:"name"`
	Spec     json.RawMessage `json:"spec"`
	Revision uint64          `json:"revision,omitempty"`
	Owner    string          `json:"owner,omitempty"`
	Changed  time.Time       `json:"changed,omitzero"`
}

// Rule approves the nodes of which all that it has holds. Vendor, Product and Serial are patterns of what their
// firmware says; MACs are addresses, or the first bytes of some, of the NIC that they boot from; Nets are the networks
// that their requests come from. One that has WhenIdle, of IdleWords, approves nothing: it says what the machines boot
// when nothing is asked of them, where the machine itself has no word. Revision, Owner and Changed are as those of a
// Group.
type Rule struct {
	Name     string    `json:"name"`
	Vendor   string    `json:"vendor,omitempty"`
	Product  string    `json:"product,omitempty"`
	Serial   string    `json:"serial,omitempty"`
	MACs     []string  `json:"macs,omitempty"`
	Nets     []string  `json:"nets,omitempty"`
	Port     string    `json:"port,omitempty"`  // pattern of SWITCH/PORT
	Relay    string    `json:"relay,omitempty"` // pattern of ADDRESS/SWITCH/PORT, as Node.Relay
	All      bool      `json:"all,omitempty"`   // every machine, said in so many words
	WhenIdle string    `json:"when_idle,omitempty"`
	Revision uint64    `json:"revision,omitempty"`
	Owner    string    `json:"owner,omitempty"`
	Changed  time.Time `json:"changed,omitzero"`
}

// MachineEntry is a machine as the operator writes it down, whether it has come or not. It is of the machine that has
// the id, one of the MAC addresses, the UUID and serial, or the name; of a new one when there is none. What is not
// there stays as it is; a label of null is taken away.
type MachineEntry struct {
	ID       string             `json:"id,omitempty"`
	Name     string             `json:"name,omitempty"`
	MACs     []string           `json:"macs,omitempty"`
	UUID     string             `json:"uuid,omitempty"`
	Serial   string             `json:"serial,omitempty"`
	Labels   map[string]*string `json:"labels,omitempty"`
	Notes    *string            `json:"notes,omitempty"`
	Profile  *string            `json:"profile,omitempty"`
	Approved *bool              `json:"approved,omitempty"`
	WhenIdle *string            `json:"when_idle,omitempty"`
	Revision uint64             `json:"revision,omitempty"`
}

// LabChange is POST /v1/lab: all of it is done, or nothing.
type LabChange struct {
	V        int            `json:"v"`
	DryRun   bool           `json:"dry_run,omitempty"`
	Machines []MachineEntry `json:"machines,omitempty"`
	Groups   []Group        `json:"groups,omitempty"`
	Profiles []Profile      `json:"profiles,omitempty"`
	Rules    []Rule         `json:"rules,omitempty"`
	Menus    []Menu         `json:"menus,omitempty"`
	Remove   []LabName      `json:"remove,omitempty"`
	// Prune are kinds of which what the change does not name is removed; of machines, those of which something was
	// entered.
	Prune []string `json:"prune,omitempty"`
}

// LabName names a group, a profile, a rule or a menu. Revision is the one that it must have, or 0 for any.
type LabName struct {
	Kind     string `json:"kind"`
	Name     string `json:"name"`
	Revision uint64 `json:"revision,omitempty"`
}

// LabResult is what a change did, or would do.
type LabResult struct {
	Applied bool      `json:"applied"` // false after a dry run
	Changes []LabDiff `json:"changes"`
	// Warnings are what does not keep the change from being made, and keeps what it says from working.
	Warnings []string `json:"warnings,omitempty"`
}

// What a LabDiff does.
const (
	Adds    = "add"
	Alters  = "change"
	Removes = "remove"
)

// LabDiff is one thing that is not as it was.
type LabDiff struct {
	Kind  string   `json:"kind"`
	Name  string   `json:"name"` // of a machine that has none, its id
	Does  string   `json:"does"`
	Words []string `json:"words,omitempty"`
}

// MachinesChange changes all machines that a selector fits: POST /v1/machines.
type MachinesChange struct {
	V        int                `json:"v"`
	On       string             `json:"on"`
	Labels   map[string]*string `json:"labels,omitempty"`
	Profile  *string            `json:"profile,omitempty"` // empty takes it away
	Approved *bool              `json:"approved,omitempty"`
	WhenIdle *string            `json:"when_idle,omitempty"` // of IdleWords
}

// notOfProfile are the fields of a Spec that say which machines, how long to wait for them, and what a capture makes.
var notOfProfile = []string{"v", "all", "count", "nodes", "on", "min_nodes", "max_wait", "capture", "level", "parent",
	"drop_gaps", "profile", "profile_revision", "at", "notes", "retry_of",
	"repeat", "menu", "within"}

// ProfileFields are the fields that a profile may have: all of a Spec but which machines are meant and what a capture
// makes of one.
func ProfileFields() []string {
	var out []string
	t := reflect.TypeFor[Spec]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" && !slices.Contains(notOfProfile, name) {
			out = append(out, name)
		}
	}
	return out
}
