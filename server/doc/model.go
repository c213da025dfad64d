// Package doc is the vocabulary of the operator API: what an operator asks for and what the server shows.
// docs/operator-api.md is its specification.
package doc

import (
	"encoding/json"
	"time"

	"github.com/diskcast/diskcast/internal/session"
)

// States of a session.
const (
	Waiting   = "waiting"   // for min-nodes or max-wait
	Casting   = "casting"   // nodes receive
	Open      = "open"      // nodes have a shell
	Capturing = "capturing" // a node reads its disk and sends it
	Done      = "done"      // every node has it; Session.Unbootable says how many will not start by themselves
	Failed    = "failed"    // Reason says what and what next
	Cancelled = "cancelled" // by the operator
)

// States of a node's part in a session, besides Waiting, Done, Failed and Cancelled.
const (
	Offered  = "offered"  // the descriptor is there for the node; nothing was heard about it yet
	Running  = "running"  // the node works on it; Step says where it is
	Starting = "starting" // it left to start its disk, and a sign of life of that is waited for
	Absent   = "absent"   // named in the session, and did not come before max-wait was over
)

// Steps of a timeline that the server itself sees; those that nodes report are in package session.
const (
	StepDHCP      = "dhcp"      // first request of the firmware
	StepBootfile  = "bootfile"  // first stage fetched
	StepScript    = "script"    // iPXE script or GRUB configuration fetched
	StepKernel    = "kernel"    // kernel fetched, all of it
	StepInitramfs = "initramfs" // initramfs fetched, all of it
	StepLocal     = "local"     // sent to its own disk
	StepPower     = "power"     // switched by its session; in events only
	StepHook      = "hook"      // a line of a session's hook; in events only, of no node
)

// TimelineSteps is the order in which a timeline is shown.
var TimelineSteps = []string{
	StepDHCP, StepBootfile, StepScript, StepKernel, StepInitramfs,
	session.StepAgent, session.StepPlan, session.StepTable, session.StepFirstByte, session.StepLastByte,
	session.StepWritten, session.StepVerified, session.StepGrown, session.StepPersonalized,
	session.StepEntry, session.StepUploaded,
	session.StepBoot,
}

// Spec is what an operator asks for: POST /v1/sessions. Exactly one of All, Count, Nodes and On is set, and one of
// Image, Capture and Kind, here or in the profile.
type Spec struct {
	V     int    `json:"v"`
	Image string `json:"image,omitempty"` // name or digest
	// Capture is the name for the image of a node's disk; Level is how it is compressed, Parent an image whose chunks
	// are preferred where several have the same.
	Capture string `json:"capture,omitempty"`
	Level   string `json:"level,omitempty"`
	Parent  string `json:"parent,omitempty"`
	// DropGaps leaves out of a capture what lies in no partition, except where boot loaders are by custom.
	DropGaps bool `json:"drop_gaps,omitempty"`
	// Kind names the kind of the session where neither Image nor Capture says it, and Job is what only that kind knows
	// of.
	Kind string          `json:"kind,omitempty"`
	Job  json.RawMessage `json:"job,omitempty"`

	All   bool     `json:"all,omitempty"`
	Count int      `json:"count,omitempty"` // the first so many nodes that come
	Nodes []string `json:"nodes,omitempty"` // node names or MAC addresses
	// On is a selector: the server puts the machines that it fits now into Nodes. One that is known by its board only
	// is there by its id until it comes.
	On string `json:"on,omitempty"`
	// Profile is the one that what was not asked for is taken from, and ProfileRevision which of it that was. Later
	// changes of it change no session.
	Profile         string `json:"profile,omitempty"`
	ProfileRevision uint64 `json:"profile_revision,omitempty"`
	// MinNodes is how many nodes the cast waits for; 0 means 1.
	MinNodes int `json:"min_nodes,omitempty"`
	// MaxWait, in seconds, ends the waiting for nodes; 0 waits for ever.
	MaxWait float64 `json:"max_wait,omitempty"`
	// GiveUp, in seconds: a node that is silent for so long has failed; 0 means DefaultGiveUp.
	GiveUp float64        `json:"give_up,omitempty"`
	Target session.Target `json:"target"`
	// MoreDisks are the disks that are written beside the one of Target, each with an image of its own. Machines start
	// from that of Target, and what personalizes them goes to it; mode, verify and no_grow are of all.
	MoreDisks []DiskImage `json:"more_disks,omitempty"`
	Mode      string      `json:"mode,omitempty"`
	Verify    bool        `json:"verify,omitempty"`
	// leaves the last partition of a larger disk as it was on the source
	NoGrow bool          `json:"no_grow,omitempty"`
	Boot   *session.Boot `json:"boot,omitempty"`
	// Personalize is personal.Settings: what nodes write into the restored system. It is shown without its secrets.
	Personalize json.RawMessage `json:"personalize,omitempty"`
	// Rate fixes the cast's pace, in bits a second; 0 leaves it to the cast.
	Rate int64 `json:"rate,omitempty"`
	// At is when the session starts at the earliest; zero: when its nodes are there.
	At time.Time `json:"at,omitzero"`
	// ExpectAlive, in seconds: a part fails whose machine gives no sign of life of its system for so long after it
	// left. 0: such signs are looked for and shown, and decide nothing.
	ExpectAlive float64 `json:"expect_alive,omitempty"`
	// Priority orders the sessions that wait for their turn where the casts at once are bounded; the highest is first.
	Priority int    `json:"priority,omitempty"`
	Notes    string `json:"notes,omitempty"` // the operator's own
	// Power is how machines come to the agent that are not in it when the session's time has come: PowerOn or
	// PowerCycle. PowerOffFailed has those whose part failed switched off at the end.
	Power          string `json:"power,omitempty"`
	PowerOffFailed bool   `json:"power_off_failed,omitempty"`
	// Before and After name hooks of the server that run before the session does anything, and when it is over.
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	// RetryOf is the session whose failed parts this one does again.
	RetryOf string `json:"retry_of,omitempty"`
	// Repeat is the repeating session that this one was made of; the server sets it.
	Repeat string `json:"repeat,omitempty"`
	// Menu is the menu from which somebody at a machine's console chose this; the server sets it.
	Menu string `json:"menu,omitempty"`
	// Within is the selector that the token is held to which this was made with; the server sets it.
	Within string `json:"within,omitempty"`
}

// DiskImage is an image and the disk that it goes to.
type DiskImage struct {
	Image  string         `json:"image"` // name or digest
	Target session.Target `json:"target"`
}

// SessionChange is what an operator changes of a session: PATCH /v1/sessions/{id}. What is nil stays.
type SessionChange struct {
	V        int        `json:"v"`
	MinNodes *int       `json:"min_nodes,omitempty"`
	MaxWait  *float64   `json:"max_wait,omitempty"` // seconds
	Rate     *int64     `json:"rate,omitempty"`     // bits a second
	At       *time.Time `json:"at,omitempty"`       // a zero time takes the start time away
	Priority *int       `json:"priority,omitempty"`
	Notes    *string    `json:"notes,omitempty"`
}

// Apply is the spec with the change.
func (c *SessionChange) Apply(s Spec) Spec {
	set(&s.MinNodes, c.MinNodes)
	set(&s.MaxWait, c.MaxWait)
	set(&s.Rate, c.Rate)
	set(&s.At, c.At)
	set(&s.Priority, c.Priority)
	set(&s.Notes, c.Notes)
	return s
}

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// DefaultGiveUp is Spec.GiveUp, in seconds, where the operator does not say.
const DefaultGiveUp = 1800

// Session is a session as shown.
type Session struct {
	ID    string        `json:"id"`
	Owner string        `json:"owner,omitempty"` // the server that runs it, or did when it ended
	Spec  Spec          `json:"spec"`
	Image session.Image `json:"image"`
	// MoreDisks are what goes to the disks of Spec.MoreDisks.
	MoreDisks []SessionDisk `json:"more_disks,omitempty"`
	State     string        `json:"state"`
	Reason    string        `json:"reason,omitempty"`
	Created   time.Time     `json:"created"`
	Started   time.Time     `json:"started,omitzero"`
	Ended     time.Time     `json:"ended,omitzero"`
	// Go says that the operator had it start with those that were there.
	Go bool `json:"go,omitempty"`
	// Waits is the one thing that a session which has not started waits for, with the command that ends that.
	Waits string `json:"waits,omitempty"`
	// ETA, in seconds, is that of the slowest node; 0 when nobody knows.
	ETA float64 `json:"eta,omitempty"`
	// RetriedBy are the sessions that do its failed parts again.
	RetriedBy []string `json:"retried_by,omitempty"`
	Cast      *Cast    `json:"cast,omitempty"`
	// Warnings are sentences about what goes wrong now: the server's own trouble, then the first sentence of each
	// node's warning.
	Warnings []string `json:"warnings,omitempty"`
	Notes    []string `json:"notes,omitempty"` // what the operator should know of the image before it is on disks
	// Hooks are what came of the hooks before and after the session, as they ran.
	Hooks []HookRun `json:"hooks,omitempty"`
	// Unbootable is the number of parts with a Part.Unbootable that have the image or may still get it.
	Unbootable int `json:"unbootable,omitempty"`
	// Parts is left out of watch lines: each part has a line of its own.
	Parts []Part `json:"parts,omitempty"`
}

// SessionDisk is what goes to one of the further disks of a session's machines, and how.
type SessionDisk struct {
	Image session.Image `json:"image"`
	Cast  *Cast         `json:"cast,omitempty"` // as Session.Cast
}

// When hooks run.
const (
	HookBefore = "before"
	HookAfter  = "after"
)

// HookRun is a hook that runs, or ran, for a session.
type HookRun struct {
	When  string `json:"when"` // HookBefore or HookAfter
	Name  string `json:"name"`
	State string `json:"state"` // Running, Done, Failed or Cancelled
	// Asked is how often it was begun: once, and once more after each restart of the server.
	Asked  int       `json:"asked"`
	Since  time.Time `json:"since"`            // it was first begun
	Time   time.Time `json:"time,omitzero"`    // it ended
	Words  string    `json:"words,omitempty"`  // why it failed
	Output string    `json:"output,omitempty"` // the last 4 KiB
}

// Going reports whether nodes work for the session. Each kind of session has its own word for that.
func (s *Session) Going() bool { return s.State != Waiting && !s.Over() }

// Over reports whether the session has ended.
func (s *Session) Over() bool { return Over(s.State) }

// Over reports whether a session's state is final.
func Over(state string) bool { return state == Done || state == Failed || state == Cancelled }

// Cast is what may be shown of a cast: all but the key.
type Cast struct {
	ID       uint32 `json:"id"`
	Group    string `json:"group"`
	Feedback string `json:"feedback"`
	// Stats is zero while the cast does not run.
	Stats CastStats `json:"stats"`
}

// CastStats is a sender's account since it started; a server that restarts begins at zero.
type CastStats struct {
	Sending   bool       `json:"sending"`
	Sent      int64      `json:"sent"`   // object bytes sent to the group, repair included
	Repair    int64      `json:"repair"` // of Sent
	Wire      int64      `json:"wire"`   // bytes on the wire with all framing
	Pending   int64      `json:"pending"`
	Rate      float64    `json:"rate"` // bits a second that rate control allows now
	Receivers []Receiver `json:"receivers,omitempty"`
	Rejected  int64      `json:"rejected"` // packets dropped by the sender
	// Warning says what nodes saw of somebody else who sends with the cast's key; empty if nothing.
	Warning string `json:"warning,omitempty"`
}

// Receiver is a node as the cast's sender sees it.
type Receiver struct {
	// what it calls itself; where its address is not that node's, both, in words
	Node    string  `json:"node"`
	Addr    string  `json:"addr,omitempty"` // that its reports come from
	State   string  `json:"state"`
	Need    int64   `json:"need"`              // object bytes
	Loss    float64 `json:"loss"`              // 0..1
	Rate    float64 `json:"rate"`              // bits a second
	Warning string  `json:"warning,omitempty"` // as CastStats.Warning
}

// Mark is when a step was reached.
type Mark struct {
	Time time.Time `json:"time"` // server's clock
	// seconds since the node's kernel started, for steps that the node reports
	Since   float64 `json:"since,omitempty"`
	Message string  `json:"message,omitempty"`
}

// Part is a node's part in a session.
type Part struct {
	Session  string            `json:"session"`
	Node     string            `json:"node"`
	Name     string            `json:"name,omitempty"` // that the operator gave the machine
	State    string            `json:"state"`
	Reason   string            `json:"reason,omitempty"`
	Step     string            `json:"step,omitempty"` // last one reached
	Steps    map[string]Mark   `json:"steps,omitempty"`
	Progress *session.Progress `json:"progress,omitempty"`
	Boots    int               `json:"boots"` // how often the node was given the descriptor
	Joined   time.Time         `json:"joined,omitzero"`
	Heard    time.Time         `json:"heard,omitzero"` // last word from the node
	Warning  string            `json:"warning,omitempty"`
	// Identity is what is odd about who speaks as the node.
	Identity string `json:"identity,omitempty"`
	// Reboots are the boots of the node after the first in this part; Steps are of the last one.
	Reboots []Mark `json:"reboots,omitempty"`
	// Disk is what the node's first plan in the session chose; it touches no other.
	Disk *session.DiskID `json:"disk,omitempty"`
	// Confirmed is the disk that somebody at the machine's console agreed to lose; the part may have no other.
	Confirmed *session.DiskID `json:"confirmed,omitempty"`
	// MoreDisks are those of Session.MoreDisks on the node, in that order. Their steps have the disk's number before
	// them: 2/written is of the first one.
	MoreDisks []PartDisk `json:"more_disks,omitempty"`
	// Unbootable says why the machine will not start the disk by itself: before the node has written it, as far as
	// image and firmware tell; then, as the node found it. Empty if it will, and if nobody can tell.
	Unbootable string `json:"unbootable,omitempty"`
	// Power is what the session had done to the power of the machine last; nil for nothing.
	Power *PartPower `json:"power,omitempty"`
	// Waits says what a part that waits waits for, and for whom.
	Waits string `json:"waits,omitempty"`
	// Left says what is on the machine's disk when its part ended and was not done.
	Left string `json:"left,omitempty"`
	// Life is what was seen of the system that the machine was given, after it left; Alive says it in words.
	Life  *Life  `json:"life,omitempty"`
	Alive string `json:"alive,omitempty"`
	// Phase is what the node does now, in a word or two; Rate, in bytes a second, and ETA, in seconds, are of its bytes
	// on the disk, by its own word of late. They are 0 when nobody knows.
	Phase string  `json:"phase,omitempty"`
	Rate  float64 `json:"rate,omitempty"`
	ETA   float64 `json:"eta,omitempty"`
	// Planned is when the node first had a plan, in this offer or before it booted again: its disk may have been
	// written to since, and the part ends with a receipt. NoReceipt says why that could not be made.
	Planned   time.Time `json:"planned,omitzero"`
	NoReceipt string    `json:"no_receipt,omitempty"`
	Receipts  int       `json:"receipts,omitempty"` // with which it ended, as often as it was begun again
	// Result is what only the kind of the session knows of.
	Result json.RawMessage `json:"result,omitempty"`
	// Shell is where the shell is that the session gives before the machine starts (internal/rescue's Opened); it is
	// open while the part is not over and has no step "closed".
	Shell json.RawMessage `json:"shell,omitempty"`
	// Handed says when and to which boot of the node its personalization was given, since the part was begun.
	Handed *Handed `json:"handed,omitempty"`
}

// PartDisk is one of a node's further disks; Disk is nil until the node's plan has chosen it.
type PartDisk struct {
	Disk *session.DiskID `json:"disk,omitempty"`
}

// PartPower is what a session asks of the power of a machine, and what came of it.
type PartPower struct {
	Want  string    `json:"want"`            // PowerOn, PowerCycle or PowerOff
	State string    `json:"state"`           // Waiting (asked for, and not known yet), Done, Failed or Cancelled
	Asked int       `json:"asked"`           // how often: once, and once more after each restart of the server
	Since time.Time `json:"since"`           // it was first asked for
	Time  time.Time `json:"time,omitzero"`   // of what came of it
	Power string    `json:"power,omitempty"` // on, off or unknown, as read back
	Words string    `json:"words,omitempty"` // what came of it
}

// Handed is a personalization that was given away.
type Handed struct {
	Time time.Time `json:"time"`
	Boot string    `json:"boot"`
	Ask  string    `json:"ask"` // SHA-256, in hex, of what only the asker knows
	// Addresses and Hostname are those that it gave the machine.
	Addresses []string `json:"addresses,omitempty"`
	Hostname  string   `json:"hostname,omitempty"`
}

// Life is whether the system that a machine was given was seen to live.
type Life struct {
	Since time.Time `json:"since"`          // the machine left
	Sign  string    `json:"sign,omitempty"` // in words; empty: none was seen
	Time  time.Time `json:"time,omitzero"`  // of the sign
}

// Over reports whether nothing more is expected of the part.
func (p *Part) Over() bool { return p.State == Absent || Over(p.State) }

// Where a node is.
const (
	Booting = "booting" // asked for boot files, did not say hello yet
	Ready   = "agent"   // the agent runs
	Left    = "left"    // it booted what it received
	Silent  = "silent"  // the agent ran and was not heard for a minute
)

// Node is a node as shown.
type Node struct {
	ID        string    `json:"id"`
	MACs      []string  `json:"macs"`
	Where     string    `json:"where"`
	Addr      string    `json:"addr,omitempty"`
	Agent     string    `json:"agent,omitempty"` // version
	Session   string    `json:"session,omitempty"`
	Last      string    `json:"last,omitempty"`   // the last session it had a part in
	Imaged    bool      `json:"imaged,omitempty"` // its next network boot goes to its own disk
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Machine   string    `json:"machine,omitempty"` // that it is a sighting of
	Name      string    `json:"name,omitempty"`    // of that machine, which the operator gave it
	Problem   string    `json:"problem,omitempty"` // why it cannot boot, when that is known
	// Relay is who passed the latest requests of its firmware on, by his own word: ADDRESS/SWITCH/PORT, with a dash for
	// what is not known (DHCP's option 82); empty where it was heard itself.
	Relay string          `json:"relay,omitempty"`
	Waits string          `json:"waits,omitempty"` // Machine.Waits of its machine
	Trace map[string]Mark `json:"trace,omitempty"` // its latest boot
	// Warnings are what is odd about who speaks as the node.
	Warnings  []string          `json:"warnings,omitempty"`
	Inventory session.Inventory `json:"inventory"`
	// Surveyed is when the node looked at its disks for Inventory.Survey, by the server's clock.
	Surveyed time.Time `json:"surveyed,omitzero"`
}

// Event is a stored event of a node. Boot is empty for what the server saw itself.
type Event struct {
	N     uint64        `json:"n"` // grows with each event of the node
	Node  string        `json:"node"`
	Boot  string        `json:"boot,omitempty"`
	Event session.Event `json:"event"`
}

// Types of lines.
const (
	LineSession  = "session"
	LinePart     = "node"     // a node's part in a session
	LineSighting = "sighting" // what was seen of a machine: a node
	LineMachine  = "machine"
	LineEvent    = "event"
	LineJob      = "job"
	LineGroup    = "group"
	LineProfile  = "profile"
	LineRule     = "rule"
	LineMenu     = "menu"
	LineRepeat   = "repeat"
	LineLive     = "live" // all up to the line's cursor was told
	LineLost     = "lost" // lines are missing here: said by a client whose cursor was too old, and to such a browser
)

// Alive is how long a stream is silent at most, so that a reader knows a connection that is dead from one on which
// nothing happens.
const Alive = 30 * time.Second

// Line is one line of GET /v1/events and of GET /v1/sessions/{id}/watch; Type says which field is set.
type Line struct {
	Type string `json:"type"`
	// Cursor is where to go on after this line; a line without one is followed by others that belong to it.
	Cursor   string   `json:"cursor,omitempty"`
	Session  *Session `json:"session,omitempty"`
	Node     *Part    `json:"node,omitempty"`
	Sighting *Node    `json:"sighting,omitempty"`
	Machine  *Machine `json:"machine,omitempty"`
	Event    *Event   `json:"event,omitempty"`
	Job      *Job     `json:"job,omitempty"`
	Group    *Group   `json:"group,omitempty"`
	Profile  *Profile `json:"profile,omitempty"`
	Rule     *Rule    `json:"rule,omitempty"`
	Menu     *Menu    `json:"menu,omitempty"`
	Repeat   *Repeat  `json:"repeat,omitempty"`
	// Gone names what exists no more, in place of its state: a session, a node, SESSION/NODE for its part, a machine, a
	// job, a group, a profile, a rule, a menu.
	Gone string `json:"gone,omitempty"`

	shared *lineText // nil: nobody else has this line
}
