package session

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Steps that events report, in the order of a restore.
const (
	StepAgent     = "agent"      // the agent runs
	StepPlan      = "plan"       // the plan was checked against the disk
	StepTable     = "table"      // the partition table is on the disk
	StepFirstByte = "first-byte" // the first byte of the object came
	StepProgress  = "progress"   // at most one a second
	StepMulticast = "multicast"  // what the receiver saw of the cast when it is worth telling (silence, loss, unicast)
	StepChunk     = "chunk"      // a chunk was refused: its hash is not the index's
	StepLastByte  = "last-byte"  // everything needed was received
	StepWritten   = "written"    // everything is on the disk and flushed
	StepVerified  = "verified"   // read back and hashed
	// the last file system fills a larger disk, or Message says why not; not with Descriptor.NoGrow
	StepGrown = "grown"
	// the restored system was made this machine's own; only with Descriptor.Personalize
	StepPersonalized = "personalized"
	// the server handed the node what is its own: said by the server itself
	StepHanded = "handed"
	// the machine has a boot entry for the disk; with level warn or error, Message says why not and what follows
	StepEntry    = "entry"
	StepBoot     = "boot"     // how the node leaves: kexec, reboot, ...; the last event of a good restore
	StepUploaded = "uploaded" // a capture is stored on the server
	StepFailed   = "failed"   // the session failed on this node; Message says why and what to do
	StepLog      = "log"      // a line of the node's log
)

// steps are the steps that the protocol has, those of an erase and a rescue among them.
var steps = []string{StepAgent, StepPlan, StepTable, StepFirstByte, StepLastByte, StepWritten, StepVerified, StepGrown,
	StepPersonalized, StepEntry, StepBoot, StepUploaded, StepFailed, "erased", "open", "login", "closed"}

// Known reports whether the protocol has the step. A node may tell of others, of which a server keeps only so many.
func Known(step string) bool { return slices.Contains(steps, step) }

// Levels of an event. At StepEntry and StepBoot, Error says that the machine will not start the disk by itself.
const (
	Info  = "info"
	Warn  = "warn"
	Error = "error"
)

// Events is a batch: POST /v1/node/{node}/events. The server stores each Seq of a boot once, so a batch may be sent
// again.
type Events struct {
	V      int     `json:"v"`
	Boot   string  `json:"boot"`
	Events []Event `json:"events"`
}

// Event is one step, or one line of log, of a node.
type Event struct {
	Seq     uint64    `json:"seq"`
	Session string    `json:"session,omitempty"`
	Step    string    `json:"step"`
	Level   string    `json:"level"`
	Message string    `json:"message,omitempty"`
	Since   float64   `json:"since"` // seconds since the node's kernel started; needs no clock that is right
	Time    time.Time `json:"time"`  // the server's clock, set on arrival
	// Disk is which of the session's disks the step is about, counted from 0.
	Disk int `json:"disk,omitempty"`
	// Chunk is the number of the chunk that StepChunk is about, in the image's index; nil when the node cannot say.
	Chunk *int `json:"chunk,omitempty"`
	// Progress is set with StepProgress and with the steps that end a phase.
	Progress *Progress `json:"progress,omitempty"`
	// Result is what only the action knows of, at most MaxResult bytes; the server keeps the last one with the node's
	// part.
	Result json.RawMessage `json:"result,omitempty"`
}

// MaxResult bounds Event.Result, in bytes.
const MaxResult = 16 << 10

// Progress counts bytes since the session began on the node.
type Progress struct {
	Received  int64   `json:"received"`  // object bytes, however they came
	Needed    int64   `json:"needed"`    // object bytes that this node needs in all
	Multicast int64   `json:"multicast"` // of Received, by multicast
	Unicast   int64   `json:"unicast"`   // of Received, by HTTP
	Written   int64   `json:"written"`   // bytes on the disk
	ToWrite   int64   `json:"to_write"`  // bytes that will be on the disk in the end
	Loss      float64 `json:"loss"`      // share of packets lost so far, 0..1
	Rejected  int64   `json:"rejected"`  // packets dropped as forged, replayed or foreign
	// Of a capture: bytes of the disk that were read, that will be, and bytes of frames that were sent.
	Read   int64 `json:"read,omitempty"`
	ToRead int64 `json:"to_read,omitempty"`
	Sent   int64 `json:"sent,omitempty"`
}

func (e *Events) version() int { return e.V }

func (e *Events) check() error {
	if e.Boot == "" {
		return fmt.Errorf("events: no boot id")
	}
	for i := range e.Events {
		if e.Events[i].Step == "" {
			return fmt.Errorf("event %d: no step", e.Events[i].Seq)
		}
	}
	return nil
}
