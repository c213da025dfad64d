package erase

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// Name is the descriptor's action.
const Name = "erase"

// maxSpec bounds the descriptor's part that is ours, in bytes.
const maxSpec = 4 << 10

// ParseSpec reads what a descriptor asks for.
func ParseSpec(raw []byte) (Spec, error) {
	if len(raw) > maxSpec {
		return Spec{}, fmt.Errorf("erase: a spec of %d bytes is longer than %d", len(raw), maxSpec)
	}
	var s Spec
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("erase: what is asked for cannot be read: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return Spec{}, fmt.Errorf("erase: something follows what is asked for")
	}
	return s, s.Check()
}

// Eraser is Erase with its options filled in.
type Eraser func(ctx context.Context, d *session.Descriptor, spec Spec) error

// Action is the node's action "erase". spec takes the part out of a descriptor that is ours.
func Action(run Eraser, spec func(d *session.Descriptor) json.RawMessage) node.Action {
	return func(d *session.Descriptor) node.Job { return &job{run, d, spec(d)} }
}

// job is an erase under way.
type job struct {
	run  Eraser
	d    *session.Descriptor
	spec json.RawMessage
}

// Run erases the disk.
func (j *job) Run(ctx context.Context) error {
	spec, err := ParseSpec(j.spec)
	if err != nil {
		return err
	}
	return j.run(ctx, j.d, spec)
}

// Takes goes on with a descriptor of the same session, which asks for nothing new.
func (j *job) Takes(nd *session.Descriptor, _ bool) bool {
	return nd.Action == j.d.Action && nd.Session == j.d.Session
}

// Unfinished is said when the job was replaced.
func (j *job) Unfinished() string { return "stopped before the disk was erased" }

// Leave leaves as the session asks.
func (j *job) Leave(ctx context.Context, exit *node.Exit) { exit.AsAsked(ctx, j.d.Boot) }
