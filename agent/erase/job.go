package erase

import (
	"context"

	"github.com/diskcast/diskcast/agent/node"
	"github.com/diskcast/diskcast/internal/erasure"
	"github.com/diskcast/diskcast/internal/session"
)

// Eraser is Erase with its options filled in.
type Eraser func(ctx context.Context, d *session.Descriptor, spec erasure.Spec) error

// Action is the node's action "erase". What is asked for is the descriptor's Job.
func Action(run Eraser) node.Action {
	return func(d *session.Descriptor) node.Job { return &job{run, d} }
}

// job is an erase under way.
type job struct {
	run Eraser
	d   *session.Descriptor
}

// Run erases the disk.
func (j *job) Run(ctx context.Context) error {
	spec, err := erasure.ParseSpec(j.d.Job)
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
