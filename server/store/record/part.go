package record

import (
	"encoding/json"
	"time"

	"github.com/diskcast/diskcast/internal/session"
	"github.com/diskcast/diskcast/server/doc"
)

// Part is a node's part in a session.
type Part struct {
	Session    string          `json:"session"`
	Node       string          `json:"node"`
	State      string          `json:"state"`
	Reason     string          `json:"reason,omitempty"`
	Step       string          `json:"step,omitempty"`
	Steps      map[string]Mark `json:"steps,omitempty"`
	Progress   *Progress       `json:"progress,omitempty"`
	Boots      int             `json:"boots"`
	Joined     time.Time       `json:"joined,omitzero"`
	Heard      time.Time       `json:"heard,omitzero"`
	Warning    string          `json:"warning,omitempty"`
	Identity   string          `json:"identity,omitempty"`
	Reboots    []Mark          `json:"reboots,omitempty"`
	Disk       *DiskID         `json:"disk,omitempty"`
	Confirmed  *DiskID         `json:"confirmed,omitempty"`
	MoreDisks  []PartDisk      `json:"more_disks,omitempty"`
	Unbootable string          `json:"unbootable,omitempty"`
	Life       *Life           `json:"life,omitempty"`
	Left       string          `json:"left,omitempty"`
	Planned    time.Time       `json:"planned,omitzero"`
	NoReceipt  string          `json:"no_receipt,omitempty"`
	Receipts   int             `json:"receipts,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"` // the kind's own
	Shell      json.RawMessage `json:"shell,omitempty"`
	Handed     *Handed         `json:"handed,omitempty"`
	Power      *PartPower      `json:"power,omitempty"`
}

// PartDisk is a further disk of the node.
type PartDisk struct {
	Disk *DiskID `json:"disk,omitempty"`
}

// PartPower is what a session asked of the power of a machine.
type PartPower struct {
	Want  string    `json:"want"`
	State string    `json:"state"`
	Asked int       `json:"asked"`
	Since time.Time `json:"since"`
	Time  time.Time `json:"time,omitzero"`
	Power string    `json:"power,omitempty"`
	Words string    `json:"words,omitempty"`
}

// Handed is a personalization that was given away.
type Handed struct {
	Time time.Time `json:"time"`
	Boot string    `json:"boot"`
	Ask  string    `json:"ask"`

	Addresses []string `json:"addresses,omitempty"`
	Hostname  string   `json:"hostname,omitempty"`
}

// Life is what was seen of a restored system.
type Life struct {
	Since time.Time `json:"since"`
	Sign  string    `json:"sign,omitempty"`
	Time  time.Time `json:"time,omitzero"`
}

// Mark is when a step was reached.
type Mark struct {
	Time    time.Time `json:"time"`
	Since   float64   `json:"since,omitempty"` // seconds
	Message string    `json:"message,omitempty"`
}

// Progress counts bytes.
type Progress struct {
	Received  int64   `json:"received"`
	Needed    int64   `json:"needed"`
	Multicast int64   `json:"multicast"`
	Unicast   int64   `json:"unicast"`
	Written   int64   `json:"written"`
	ToWrite   int64   `json:"to_write"`
	Loss      float64 `json:"loss"` // 0..1
	Rejected  int64   `json:"rejected"`
	Read      int64   `json:"read,omitempty"`
	ToRead    int64   `json:"to_read,omitempty"`
	Sent      int64   `json:"sent,omitempty"`
}

// DiskID names a disk.
type DiskID struct {
	WWN     string `json:"wwn,omitempty"`
	Serial  string `json:"serial,omitempty"`
	Model   string `json:"model,omitempty"`
	BusPath string `json:"bus_path,omitempty"`
	Size    int64  `json:"size"` // bytes
	Path    string `json:"path,omitempty"`
}

// Event is an event of a node.
type Event struct {
	N     uint64 `json:"n"`
	Node  string `json:"node"`
	Boot  string `json:"boot,omitempty"`
	Event Told   `json:"event"`
}

// Told is what was told.
type Told struct {
	Seq      uint64          `json:"seq"`
	Session  string          `json:"session,omitempty"`
	Step     string          `json:"step"`
	Level    string          `json:"level"`
	Message  string          `json:"message,omitempty"`
	Since    float64         `json:"since"` // seconds
	Time     time.Time       `json:"time"`
	Disk     int             `json:"disk,omitempty"` // of the session's, from 0
	Chunk    *int            `json:"chunk,omitempty"`
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
}

// OfPart is the record of a part.
func OfPart(p *doc.Part) *Part {
	return &Part{Session: p.Session, Node: p.Node, State: p.State, Reason: p.Reason, Step: p.Step,
		Steps:    OfMarks(p.Steps),
		Progress: to(p.Progress, ofProgress), Boots: p.Boots, Joined: p.Joined, Heard: p.Heard, Warning: p.Warning,
		Identity:  p.Identity,
		Confirmed: to(p.Confirmed, ofDiskID),
		Reboots:   each(p.Reboots, ofMark), Disk: to(p.Disk, ofDiskID), MoreDisks: each(p.MoreDisks, ofPartDisk),
		Unbootable: p.Unbootable,
		Life:       to(p.Life, func(l doc.Life) Life { return Life(l) }), Left: p.Left, Result: p.Result,
		Shell:   p.Shell,
		Planned: p.Planned, NoReceipt: p.NoReceipt, Receipts: p.Receipts,
		Handed: to(p.Handed, func(h doc.Handed) Handed { return Handed(h) }),
		Power:  to(p.Power, func(x doc.PartPower) PartPower { return PartPower(x) })}
}

// Part is the part that the record is of.
func (r *Part) Part() *doc.Part {
	return &doc.Part{Session: r.Session, Node: r.Node, State: r.State, Reason: r.Reason, Step: r.Step,
		Steps:    Marks(r.Steps),
		Progress: to(r.Progress, Progress.progress), Boots: r.Boots, Joined: r.Joined, Heard: r.Heard,
		Warning: r.Warning, Identity: r.Identity,
		Confirmed: to(r.Confirmed, DiskID.disk),
		Reboots:   each(r.Reboots, Mark.mark), Disk: to(r.Disk, DiskID.disk), MoreDisks: each(r.MoreDisks,
			PartDisk.disk), Unbootable: r.Unbootable,
		Life: to(r.Life, func(l Life) doc.Life { return doc.Life(l) }), Left: r.Left, Result: r.Result,
		Shell:   r.Shell,
		Planned: r.Planned, NoReceipt: r.NoReceipt, Receipts: r.Receipts,
		Handed: to(r.Handed, func(h Handed) doc.Handed { return doc.Handed(h) }),
		Power:  to(r.Power, func(x PartPower) doc.PartPower { return doc.PartPower(x) })}
}

func ofPartDisk(d doc.PartDisk) PartDisk { return PartDisk{to(d.Disk, ofDiskID)} }
func (d PartDisk) disk() doc.PartDisk    { return doc.PartDisk{Disk: to(d.Disk, DiskID.disk)} }

// OfEvent is the record of an event.
func OfEvent(e *doc.Event) *Event {
	t := e.Event
	return &Event{N: e.N, Node: e.Node, Boot: e.Boot,
		Event: Told{Seq: t.Seq, Session: t.Session, Step: t.Step, Level: t.Level, Message: t.Message,
			Since: t.Since, Time: t.Time, Disk: t.Disk, Chunk: t.Chunk,
			Progress: to(t.Progress, ofProgress), Result: t.Result}}
}

// Told is the event that the record is of.
func (r *Event) Told() doc.Event {
	t := r.Event
	return doc.Event{N: r.N, Node: r.Node, Boot: r.Boot,
		Event: session.Event{Seq: t.Seq, Session: t.Session, Step: t.Step, Level: t.Level,
			Message: t.Message, Since: t.Since, Time: t.Time, Disk: t.Disk, Chunk: t.Chunk,
			Progress: to(t.Progress, Progress.progress), Result: t.Result}}
}

// OfMarks are the records of marks by step; Marks is the way back.
func OfMarks(m map[string]doc.Mark) map[string]Mark { return every(m, ofMark) }

// Marks are the marks that the records are of.
func Marks(m map[string]Mark) map[string]doc.Mark { return every(m, Mark.mark) }

func ofMark(m doc.Mark) Mark                  { return Mark(m) }
func (m Mark) mark() doc.Mark                 { return doc.Mark(m) }
func ofProgress(p session.Progress) Progress  { return Progress(p) }
func (p Progress) progress() session.Progress { return session.Progress(p) }
func ofDiskID(d session.DiskID) DiskID        { return DiskID(d) }
func (d DiskID) disk() session.DiskID         { return session.DiskID(d) }
