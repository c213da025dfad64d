package capturing

import (
	"context"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/session"
)

// Capturer is Capture with its options filled in. It reports every step.
type Capturer func(ctx context.Context, d *session.Descriptor) error

// Action is the node's action "capture".
func Action(run Capturer) node.Action {
	return func(d *session.Descriptor) node.Job { return &job{run, d} }
}

// job is a capture under way.
type job struct {
	run Capturer
	d   *session.Descriptor
}

// Run sends the disk.
func (j *job) Run(ctx context.Context) error { return j.run(ctx, j.d) }

// Takes goes on with a descriptor of the same session, which asks for nothing new.
func (j *job) Takes(nd *session.Descriptor, _ bool) bool {
	return nd.Action == j.d.Action && nd.Session == j.d.Session
}

// Unfinished is said when the job was replaced.
func (j *job) Unfinished() string { return "stopped before the disk was captured" }

// Leave leaves as the session asks.
func (j *job) Leave(ctx context.Context, exit *node.Exit) { exit.AsAsked(ctx, j.d.Boot) }
